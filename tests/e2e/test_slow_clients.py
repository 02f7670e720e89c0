"""Clients that send slowly, or stop: they get an answer, hold nothing, and cost others nothing."""

import socket
import time
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.e2e.servers import Server, running
from tests.networks import DATA
from tests.waiting import spend

HEAD = b"POST /v1/models/mnist/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("slow") / "log"
    with running(log, "--request-timeout", "1") as server:
        yield server


def connect(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


@pytest.mark.parametrize(
    "start",
    [
        b"Content-Type: image/png\r\n\r\n\x89PNG",
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n",
    ],
)
def test_408_for_a_body_that_does_not_arrive(server: Server, start: bytes) -> None:
    with connect(server) as stalled:
        stalled.sendall(HEAD + start)
        answer = b"".join(iter(lambda: stalled.recv(10_000), b""))  # until it is closed
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"within 1 s (setting request_timeout)" in answer


def test_drops_do_not_extend_the_time(server: Server) -> None:
    with connect(server) as dripping:
        dripping.sendall(HEAD + b"Content-Type: image/png\r\n\r\n")
        dripping.settimeout(0.1)
        answer, deadline = b"", time.monotonic() + 30
        while not answer and time.monotonic() < deadline:
            dripping.sendall(b"x")
            try:
                answer = dripping.recv(10_000)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_crowd_of_them_delays_nobody(server: Server) -> None:
    crowd = [connect(server) for _ in range(200)]
    for stalled in crowd:
        stalled.sendall(HEAD + b"Content-Type: image/png\r\n\r\n")
    image = (DATA / "digits" / "7.png").read_bytes()
    url, type = f"{server.url}/v1/models/mnist/predict", {"Content-Type": "image/png"}
    for _ in range(10):
        assert httpx.post(url, content=image, headers=type).status_code == 200
    for stalled in crowd:
        stalled.close()


@pytest.mark.thorough
def test_an_idle_connection_stays_for_the_next_request(server: Server) -> None:
    """Clients keep theirs for 5 s; a server that closes it as early meets them half-way."""
    image = (DATA / "digits" / "7.png").read_bytes()
    url, type = f"{server.url}/v1/models/mnist/predict", {"Content-Type": "image/png"}
    limits = httpx.Limits(max_connections=1, keepalive_expiry=60)
    with httpx.Client(limits=limits) as client:
        ports = set()
        for pause in (6, 0):
            answer = client.post(url, content=image, headers=type)
            assert answer.status_code == 200
            ports.add(answer.extensions["network_stream"].get_extra_info("client_addr")[1])
            spend(pause)
    assert len(ports) == 1
