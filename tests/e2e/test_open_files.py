"""At the limit of open files new connections are turned away, and old ones get their answers."""

import os
import resource
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2 as httpx
import pytest

from service.settings import SHIPPED
from tests.e2e.servers import Server, running
from tests.networks import DATA
from tests.waiting import spend, until

LIMIT = 256  # open files of the service
MANY = 600  # connections
IMAGE = (DATA / "digits" / "7.png").read_bytes()
PREDICT = (
    b"POST /v1/models/mnist/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    b"Content-Length: %d\r\n\r\n" % len(IMAGE)
) + IMAGE
BUSY = b"POST /v1/models/mnist/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
PAGE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"  # which opens a file


@contextmanager
def few_files() -> Iterator[None]:
    """What is started inside may open few files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("files")
    shutil.copytree(SHIPPED / "mnist", folder / "models" / "mnist")
    options = {"runtime": "torch", "repository": str(folder / "models"), "request-timeout": "120"}
    flags = [text for name, value in options.items() for text in (f"--{name}", value)]
    with ExitStack() as stack:
        with few_files():
            server = stack.enter_context(running(folder / "log", *flags))
        yield server


def connect(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def status(client: socket.socket, request: bytes) -> int:
    """Of the answer on a connection that stays open."""
    client.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = client.recv(2**16)
        assert more, "closed"
        answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    [length] = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while len(body) < int(length.partition(b":")[2]):
        body += (more := client.recv(2**16))
        assert more, "cut off"
    return int(head.split()[1])


def outcome(client: socket.socket) -> str:
    """What becomes of a new connection that asks something."""
    client.settimeout(0.2)
    try:
        client.sendall(PAGE)
        return client.recv(2**16)[9:12].decode() or "closed"
    except TimeoutError:
        return "waits"
    except ConnectionError:
        return "closed"


def seconds_of_processor(server: Server) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system has no /proc")
@pytest.mark.thorough
def test_old_connections_get_their_answers(server: Server) -> None:
    with connect(server) as first:  # what a prediction opens for good is open before
        assert status(first, PREDICT) == 200
    before = open_files(server)
    with ExitStack() as opened:
        old = [opened.enter_context(connect(server)) for _ in range(5)]
        assert {status(client, PAGE) for client in old} == {200}
        # requests whose bodies are awaited: none of these connections makes room
        crowd = [opened.enter_context(connect(server)) for _ in range(MANY)]
        for client in crowd:
            with suppress(ConnectionError):
                client.sendall(BUSY + b"Content-Length: 5000\r\n\r\n")
        for _ in range(5):
            assert {status(client, PAGE) for client in old} == {200}
            assert {status(client, PREDICT) for client in old} == {200}
        found = {outcome(opened.enter_context(connect(server))) for _ in range(20)}
        assert found <= {"503", "closed"}  # there is not time to tell all of them
        until(lambda: outcome(opened.enter_context(connect(server))) == "503")
        assert open_files(server) < LIMIT
        used = seconds_of_processor(server)
        spend(1)
        assert seconds_of_processor(server) - used < 0.5  # it does not ask again and again
    until(lambda: open_files(server) <= before)
    assert httpx.get(f"{server.url}/health/live").status_code == 200
    assert "Too many open files" not in server.log.read_text()


def is_answered(server: Server) -> bool:
    """Whether a new connection is."""
    with suppress(httpx.TransportError):
        return httpx.get(f"{server.url}/health/live").status_code == 200
    return False


@pytest.mark.thorough
def test_the_idlest_make_room(server: Server) -> None:
    with ExitStack() as opened:
        for _ in range(MANY):
            opened.enter_context(connect(server))
        until(lambda: is_answered(server))
