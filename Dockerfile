# syntax=docker/dockerfile:1
# docker build -t fanlight .
# For NVIDIA GPUs: docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 -t fanlight:cuda .

FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/fanlight
WORKDIR /src
# torch first, in a layer of its own: it is large and seldom changes
COPY constraints.txt ./
RUN /opt/fanlight/bin/pip install --constraint constraints.txt --extra-index-url "$TORCH_INDEX" torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY models models
COPY training training
COPY service service
COPY fanlight fanlight
RUN /opt/fanlight/bin/pip install --constraint constraints.txt ".[service]"

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin fanlight
COPY --from=build /opt/fanlight /opt/fanlight
ENV PATH=/opt/fanlight/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    FANLIGHT_HOST=0.0.0.0
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-m", "service.healthcheck"]
CMD ["fanlight", "serve"]
