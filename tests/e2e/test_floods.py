"""What a client sends besides a body is bounded too."""

import socket
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.e2e.servers import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("floods") / "log") as server:
        yield server


LINE = b"X-Filler: " + b"a" * 1000 + b"\r\n"


@pytest.mark.parametrize(
    "flood",
    [
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + LINE * 5000,
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Filler: " + b"a" * 5_000_000,
        b"GET /" + b"a" * 5_000_000,
    ],
    ids=["headers", "one header", "address"],
)
def test_a_head_without_end_is_cut_off(server: Server, flood: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        try:
            client.sendall(flood)
            answer = client.recv(100)
        except ConnectionError:
            answer = b"HTTP/1.1 400"  # closed while we still sent
    assert answer.startswith(b"HTTP/1.1 400")
    assert httpx.get(f"{server.url}/health/live").status_code == 200
