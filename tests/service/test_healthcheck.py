"""The container's question whether its service is ready."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from service import healthcheck
from service.access import tls
from tests.certificates import issue


@contextmanager
def answering(status: int, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that gives every request this status; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_it_asks_as_the_settings_say(
    status: int, code: int, secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = None
    if secure:
        files = issue(trustme.CA(), tmp_path)
        context = tls.context(*files)
        monkeypatch.setenv("FANLIGHT_TLS_CERTIFICATE", str(files.certificate))
    with answering(status, context) as port:
        monkeypatch.setenv("FANLIGHT_PORT", str(port))
        assert healthcheck.main() == code


@pytest.mark.slow
def test_nobody_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(200) as port:
        pass
    monkeypatch.setenv("FANLIGHT_PORT", str(port))
    assert healthcheck.main() == 1
    assert f"http://127.0.0.1:{port}/health/ready: " in capsys.readouterr().err


def test_a_variable_of_kubernetes_is_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANLIGHT_PORT", "tcp://10.96.0.12:8000")
    assert healthcheck.address() == "http://127.0.0.1:8000/health/ready"
