"""Traces by OpenTelemetry: a span for each request and for each batch.

    POST predict   the request, a child of what the client's `traceparent` names
      decode, queue, forward   the times that are measured anyway
    batch          a forward pass, linked to the requests whose images were in it

Spans are made once their time is over. The standard variables of OpenTelemetry say where they are
sent, and which are kept: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, …
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from models.extras import imported
from service.monitoring.work import WORK, Work

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

CLOSE_SECONDS = 2.0
_CARRIED = (b"traceparent", b"tracestate")
_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
_PARTS = ("decode", "queue", "forward")


class Tracing:
    """Makes spans; `processor` gets them, by default one that exports them as OTLP over HTTP."""

    def __init__(self, processor: "SpanProcessor | None" = None) -> None:
        sdk, resources, trace, propagation = (
            imported(f"opentelemetry.{module}", "otel", "the setting tracing")
            for module in ("sdk.trace", "sdk.resources", "trace", "trace.propagation.tracecontext")
        )
        self._provider = sdk.TracerProvider(resource=_resource(resources), shutdown_on_exit=False)
        self._provider.add_span_processor(processor or _exporting())
        self._tracer = self._provider.get_tracer("fanlight")
        self._trace = trace
        self._propagator = propagation.TraceContextTextMapPropagator()
        self._zero = time.time_ns() - time.perf_counter_ns()

    def close(self) -> None:
        """Send the remaining spans, for at most `CLOSE_SECONDS` since the collector may be down."""
        sending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        sending.start()
        sending.join(CLOSE_SECONDS)

    def begin(self, scope: Mapping[str, Any], started: float) -> "RequestSpan":
        """Start the span of a request that began at `started`, a time of `perf_counter`.

        It continues the trace that the request's headers name.
        """
        carrier = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in _CARRIED
        }
        parent = self._propagator.extract(carrier) if carrier else None
        span = self._tracer.start_span(
            "request", parent, self._trace.SpanKind.SERVER, start_time=self._at(started)
        )
        return RequestSpan(self, span)

    def batch(self, works: Sequence[Work | None], images: int, started: float) -> None:
        """Make the span of a batch that began at `started` and ends now.

        `works` belong to the requests whose images are in the batch, None if unknown. The batch's
        span is linked to the spans of these requests.
        """
        known = [work for work in works if work is not None]
        links = [self._trace.Link(work.span) for work in known if work.span is not None]
        attributes: dict[str, Any] = {"fanlight.images": images}
        if known:
            attributes |= {"fanlight.model": known[0].model, "fanlight.version": known[0].version}
        root = self._trace.set_span_in_context(self._trace.INVALID_SPAN)
        self._tracer.start_span(
            "batch", root, attributes=attributes, links=links, start_time=self._at(started)
        ).end()

    def _at(self, seconds: float) -> int:
        """Convert a time of `perf_counter` to nanoseconds since 1970."""
        return self._zero + int(seconds * 1e9)

    def failed(self, span: Any) -> None:
        """Give the span the status ERROR: the service failed."""
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))

    def parts(self, span: Any, work: Work) -> None:
        """Make the spans `decode`, `queue` and `forward` inside the span of a request."""
        context, start = self._trace.set_span_in_context(span), work.started
        for name in _PARTS:
            if seconds := getattr(work, name):
                part = self._tracer.start_span(name, context, start_time=self._at(start))
                part.end(self._at(start + seconds))
                start += seconds


class RequestSpan:
    """The span of a request, until it is over."""

    __slots__ = ("_span", "_tracing")

    def __init__(self, tracing: Tracing, span: Any) -> None:
        self._tracing, self._span = tracing, span

    @property
    def context(self) -> Any:
        return self._span.get_span_context()

    @property
    def trace_id(self) -> str:
        return f"{self.context.trace_id:032x}"

    def end(self, scope: Mapping[str, Any], operation: str, status: int, request_id: str) -> None:
        """End the span, with what is known of the request: operation, status, model, images.

        `scope` has method and path, and the request's `Work` if it was about a model.
        """
        span, work = self._span, scope.get(WORK)
        span.update_name(f"{scope['method']} {operation}")
        span.set_attributes(
            {
                "http.request.method": scope["method"],
                "url.path": scope["path"],
                "http.response.status_code": status,
                "fanlight.operation": operation,
                "fanlight.request_id": request_id,
            }
        )
        if work is not None:
            span.set_attributes({f"fanlight.{name}": value for name, value in work.fields()})
            self._tracing.parts(span, work)
        if status >= 500 or not status:
            self._tracing.failed(span)
        span.end()


def _resource(resources: ModuleType) -> Any:
    """The resource that spans carry: OTEL_RESOURCE_ATTRIBUTES, and the name of the service.

    The name is that of OTEL_SERVICE_NAME; without one, `fanlight`.
    """
    found = resources.Resource.create()
    if os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get(_ATTRIBUTES, ""):
        return found
    return found.merge(resources.Resource({resources.SERVICE_NAME: "fanlight"}))


def _exporting() -> "SpanProcessor":
    """A processor that gathers spans and sends them to the collector of OTEL_EXPORTER_OTLP_…."""
    export = imported("opentelemetry.sdk.trace.export", "otel", "the setting tracing")
    exporter = imported(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter", "otel", "the setting tracing"
    )
    processor: SpanProcessor = export.BatchSpanProcessor(exporter.OTLPSpanExporter())
    return processor
