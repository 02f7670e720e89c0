# syntax=docker/dockerfile:1
# docker build -t fanlight .
# docs/containers.md has the rest: NVIDIA GPUs, arm64, the list of packages, what each layer is for.
# Each layer installs from a file of its own pins (deploy/container/pins.py), so that a change of
# constraints.txt rebuilds a layer only if it changes what that layer holds.

# A tag moves with Debian's updates. To pin it: --build-arg BASE=docker.io/library/python:3.11-slim-bookworm@sha256:…
# docker buildx imagetools inspect python:3.11-slim-bookworm --format '{{.Manifest.Digest}}'
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1

# Fanlight as a wheel
FROM base AS wheel
RUN --mount=type=bind,source=deploy/container/build.txt,target=/tmp/build.txt \
    python -m venv --without-pip /opt/build \
    && pip --python /opt/build/bin/python install --requirement /tmp/build.txt
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY training training
COPY service service
COPY fanlight fanlight
RUN pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /wheels .

# torch, in a layer of its own: it is by far the largest, and seldom changes
FROM base AS torch
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=bind,source=deploy/container/torch.txt,target=/tmp/torch.txt \
    python -m venv --without-pip /opt/fanlight \
    && pip --python /opt/fanlight/bin/python install --extra-index-url "$TORCH_INDEX" --requirement /tmp/torch.txt

# the other dependencies
FROM torch AS dependencies
RUN --mount=type=bind,source=deploy/container/service.txt,target=/tmp/service.txt \
    pip --python /opt/fanlight/bin/python install --requirement /tmp/service.txt
# --build-arg REMOTE=1: what --repository s3://… and https://… need
ARG REMOTE=
RUN --mount=type=bind,source=deploy/container/remote.txt,target=/tmp/remote.txt \
    if [ -n "$REMOTE" ]; then \
    pip --python /opt/fanlight/bin/python install --requirement /tmp/remote.txt; fi

# the code
FROM dependencies AS installed
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip --python /opt/fanlight/bin/python install --no-deps /wheels/*.whl \
    && pip --python /opt/fanlight/bin/python check

# docker build --target sbom --output build .
FROM base AS inventory
RUN --mount=type=bind,source=deploy/container/inventory.txt,target=/tmp/inventory.txt \
    python -m venv --without-pip /opt/inventory \
    && pip --python /opt/inventory/bin/python install --requirement /tmp/inventory.txt
COPY pyproject.toml /src/
RUN --mount=type=bind,from=installed,source=/opt/fanlight,target=/opt/fanlight \
    /opt/inventory/bin/cyclonedx-py environment --output-reproducible --mc-type application \
    --pyproject /src/pyproject.toml --output-file /fanlight.cdx.json /opt/fanlight/bin/python

FROM scratch AS sbom
COPY --from=inventory /fanlight.cdx.json /

FROM installed AS image
ARG BASE
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin fanlight \
    && install --directory --owner=fanlight --mode=0700 /var/cache/fanlight
ENV PATH=/opt/fanlight/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    FANLIGHT_GRAPH_CACHE=/var/cache/fanlight \
    FANLIGHT_CACHE=/var/cache/fanlight/remote \
    FANLIGHT_HOST=0.0.0.0
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-m", "service.healthcheck"]
CMD ["fanlight", "serve"]
LABEL org.opencontainers.image.title="Fanlight" \
    org.opencontainers.image.description="Serves small image classifiers over HTTP, and looks inside them." \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="${BASE}"
