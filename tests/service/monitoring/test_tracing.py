"""Traces: a span for each request with its parts inside, and one for each batch with links."""

import gzip
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from models.errors import InstallationError
from service import app as application
from service.monitoring.tracing import Tracing
from tests.e2e.servers import free_port, running
from tests.networks import encode, picture
from tests.service.conftest import Serve
from tests.service.connections import PREDICT, Serving
from tests.service.test_predict import parts
from tests.waiting import until

IMAGE = encode(picture(0))
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
Spans = Callable[[], list[ReadableSpan]]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """What the services of a test have exported."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(application, "Tracing", lambda: Tracing(SimpleSpanProcessor(exporter)))
    return lambda: list(exporter.get_finished_spans())


def one(spans: Spans, name: str) -> ReadableSpan:
    [found] = [each for each in spans() if each.name == name]
    return found


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def check_prediction(spans: Spans, request_id: str) -> None:
    """The span of one prediction of one image: its parts follow one another inside of it."""
    request = one(spans, "POST predict")
    told = attributes(request)
    assert told["fanlight.request_id"] == request_id
    assert (told["fanlight.model"], told["fanlight.version"]) == ("colors", 2)
    assert (told["fanlight.images"], told["fanlight.bytes"]) == (1, len(IMAGE))
    assert told["http.response.status_code"] == 200
    assert request.kind is SpanKind.SERVER
    assert request.start_time
    assert request.end_time
    ended = request.start_time
    for name in ("decode", "queue", "forward"):
        part = one(spans, name)
        assert part.parent == request.context
        assert part.start_time is not None
        assert part.end_time is not None
        assert ended <= part.start_time <= part.end_time <= request.end_time
        ended = part.end_time
    batch = one(spans, "batch")
    assert [link.context for link in batch.links] == [request.context]
    assert attributes(batch)["fanlight.images"] == 1
    assert attributes(batch)["fanlight.model"] == "colors"
    assert batch.parent is None


def test_a_prediction(serve: Serve, spans: Spans) -> None:
    client = serve(tracing=True)
    answer = client.post(PREDICT, files=parts(IMAGE))
    check_prediction(spans, answer.headers["x-request-id"])


@pytest.mark.anyio
async def test_also_on_the_fast_path(serving: Serving, spans: Spans) -> None:
    async with serving(tracing=True) as client:
        answer = await client.post(IMAGE)
        assert client.taken == [True]
        check_prediction(spans, answer.headers["x-request-id"])


def test_a_client_s_trace_goes_on_and_stands_in_the_log(serve: Serve, spans: Spans) -> None:
    client = serve(tracing=True)
    with capture_logs() as lines:
        client.post(PREDICT, files=parts(IMAGE), headers=PARENT)
        client.post(PREDICT, files=parts(IMAGE))
    first, second = (each for each in spans() if each.name == "POST predict")
    assert first.context is not None
    assert second.context is not None
    assert first.context.trace_id == int(TRACE, 16)
    assert first.parent is not None
    assert first.parent.span_id == 0x00F067AA0BA902B7
    assert second.parent is None
    told = [each["trace_id"] for each in lines if each["event"] == "request"]
    assert told == [TRACE, f"{second.context.trace_id:032x}"]


def test_a_batch_is_linked_to_all_whose_images_it_has(serve: Serve, spans: Spans) -> None:
    client = serve(tracing=True, max_batch_delay=0.5)
    threads = [
        threading.Thread(target=client.post, args=(PREDICT,), kwargs={"files": parts(IMAGE)})
        for _ in range(2)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    requests = [each.context for each in spans() if each.name == "POST predict"]
    batch = one(spans, "batch")
    assert len({each.span_id for each in requests if each}) == 2
    assert {link.context.span_id for link in batch.links} == {x.span_id for x in requests if x}
    assert attributes(batch)["fanlight.images"] == 2


@pytest.mark.parametrize(
    ("ask", "name", "status"),
    [
        (lambda c: c.get("/v1/models"), "GET list_models", 200),
        (lambda c: c.post(PREDICT, content=b"nothing"), "POST predict", 415),
        (
            lambda c: c.post("/v1/models/a/explain?method=saliency", files=parts(IMAGE)),
            "POST explain",
            404,
        ),
        (
            lambda c: c.post("/v2/models/colors/infer", json={"inputs": []}),
            "POST v2_infer",
            400,
        ),
        (lambda c: c.get("/nothing"), "GET other", 404),
    ],
)
def test_every_request_has_one(
    serve: Serve, spans: Spans, ask: Callable[[TestClient], Any], name: str, status: int
) -> None:
    client = serve(tracing=True)
    assert ask(client).status_code == status
    [request] = spans()
    assert attributes(request)["http.response.status_code"] == status
    assert request.status.status_code is StatusCode.UNSET  # the client's mistakes are no failures
    assert request.name == name


def test_a_failure_of_the_service_is_marked(
    serve: Serve, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    client = serve(tracing=True)
    monkeypatch.setattr("service.prediction.Predictor.admit", broken)
    assert client.post(PREDICT, files=parts(IMAGE)).status_code == 500
    [request] = spans()
    assert request.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("method", ["begin", "batch"])
def test_a_fault_of_tracing_fails_nothing(
    serve: Serve, spans: Spans, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Tracing, method, broken)
    client = serve(tracing=True)
    for _ in range(2):
        assert client.post(PREDICT, files=parts(IMAGE)).status_code == 200


def test_without_the_setting_nothing_is_made(serve: Serve, spans: Spans) -> None:
    assert serve().post(PREDICT, files=parts(IMAGE), headers=PARENT).status_code == 200
    assert spans() == []


def test_without_the_extra_the_start_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another package has brought a part of OpenTelemetry."""
    for name in [each for each in sys.modules if each.startswith("opentelemetry.sdk")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    with pytest.raises(InstallationError, match=re.escape("pip install 'fanlight[otel]'")):
        Tracing()


class Collector(HTTPServer):
    """Takes OTLP over HTTP, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.requests: list[ExportTraceServiceRequest] = []

    def spans(self) -> dict[str, str]:
        """The names of the spans, with the service that sent them."""
        return {
            span.name: next(
                each.value.string_value
                for each in of_service.resource.attributes
                if each.key == "service.name"
            )
            for request in self.requests
            for of_service in request.resource_spans
            for scope in of_service.scope_spans
            for span in scope.spans
        }


class Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        if self.path == "/v1/traces":
            self.server.requests.append(ExportTraceServiceRequest.FromString(content))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """The one to which the services of a test export."""
    with Collector() as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("name", "told"), [(None, "fanlight"), ("birds", "birds")])
def test_a_collector_gets_them(
    collector: Collector,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
    told: str,
) -> None:
    """Exported for real, over HTTP."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # milliseconds
    if name:
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    client = serve(tracing=True)
    assert client.post(PREDICT, files=parts(IMAGE)).status_code == 200
    wanted = {"POST predict", "decode", "queue", "forward", "batch"}
    until(lambda: wanted <= collector.spans().keys())
    assert set(collector.spans().values()) == {told}


@pytest.mark.thorough
def test_a_collector_gets_those_of_a_process_that_ends(
    collector: Collector, tmp_path: Path
) -> None:
    with running(tmp_path / "log", "--tracing", "on", "--device", "cpu") as server:
        url = f"{server.url}/v1/models/mnist-cnn/predict"
        assert httpx.post(url, content=IMAGE).status_code == 200
        assert server.stop() == 0
    until(lambda: "batch" in collector.spans(), 10)
    found = collector.spans()
    assert {"POST predict", "decode", "queue", "forward", "batch"} <= found.keys()
    assert set(found.values()) == {"fanlight"}


def listens(port: int) -> bool:
    with socket.socket() as each:
        return each.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.thorough
def test_a_real_collector_takes_them_and_passes_them_on(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotel, which hands the spans to the collector of this test."""
    rotel = pytest.importorskip("rotel", reason="pip install rotel")
    behind = f"http://127.0.0.1:{collector.server_address[1]}"
    http, grpc = free_port(), free_port()
    command = [
        str(Path(rotel.__file__).parent / "rotel-agent"),
        *("start", "--otlp-http-endpoint", f"127.0.0.1:{http}"),
        *("--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--batch-timeout", "100ms"),
        *("--exporter", "otlp", "--otlp-exporter-protocol", "http"),
        *("--otlp-exporter-endpoint", behind),
    ]
    with subprocess.Popen(command, env={}, stdout=subprocess.DEVNULL) as agent:
        try:
            until(lambda: listens(http), 10)
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{http}")
            with running(tmp_path / "log", "--tracing", "on", "--device", "cpu") as server:
                url = f"{server.url}/v1/models/mnist-cnn/predict"
                assert httpx.post(url, content=IMAGE).status_code == 200
                assert server.stop() == 0
            wanted = {"POST predict", "decode", "queue", "forward", "batch"}
            until(lambda: wanted <= collector.spans().keys(), 10)
            assert set(collector.spans().values()) == {"fanlight"}
        finally:
            agent.terminate()
