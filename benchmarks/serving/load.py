"""A load generator: repeats a request over kept connections, in a closed or an open loop.

The benchmark uses wrk for the closed loop if it is installed (https://github.com/wg/wrk), else
`closed`, which needs more processor time.

Closed: each connection sends its next request once it has the answer. Open: requests are due at
fixed times, whether answers came or not, so that waiting is counted and not hidden.
"""

import asyncio
import re
import subprocess
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Result:
    """Requests a second with status 200, the number of others, and latencies in milliseconds."""

    rate: float
    errors: int
    p50: float
    p99: float


def _result(latencies: list[float], errors: int, seconds: float) -> Result:
    ordered = sorted(latencies) or [float("nan")]
    middle, high = (ordered[int(len(ordered) * part)] for part in (0.5, 0.99))
    return Result(len(latencies) / seconds, errors, middle, high)


def request(url: str, body: bytes, content_type: str) -> bytes:
    """Return a POST request as bytes."""
    target = urlsplit(url)
    head = (
        f"POST {target.path}?{target.query} HTTP/1.1\r\nHost: {target.netloc}\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """A connection with one request at a time. `ask` resolves to its status, 0 if it broke."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, sent: bytes) -> "asyncio.Future[int]":
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(sent)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = bytes(self._buffer[:end]).lower()
        start = head.find(b"content-length:")
        length = int(head[start + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) >= end + 4 + length:
            del self._buffer[: end + 4 + length]
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _connect(url: str, count: int) -> list[_Connection]:
    target, loop = urlsplit(url), asyncio.get_running_loop()
    host, port = target.hostname or "", target.port or 80
    made = [await loop.create_connection(_Connection, host, port) for _ in range(count)]
    return [protocol for _, protocol in made]


def by_wrk(url: str, body: bytes, content_type: str, *, connections: int, seconds: float) -> Result:
    """Measure as `closed` does, but with the program wrk."""
    with tempfile.TemporaryDirectory() as folder:
        script, sent = Path(folder, "post.lua"), Path(folder, "body")
        sent.write_bytes(body)
        script.write_text(
            f'wrk.method = "POST"\nlocal file = io.open("{sent}", "rb")\n'
            'wrk.body = file:read("*a")\nfile:close()\n'
            f'wrk.headers["Content-Type"] = "{content_type}"\n'
        )
        common = ("wrk", "-t1", f"-c{connections}", "--timeout", "30s", "--latency", "-s", script)
        lasting = max(1, round(seconds))
        for duration in (1, lasting):  # the first second doesn't count
            command = (*common, f"-d{duration}s", url)
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    refused = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", told)))
    broken = "".join(re.findall(r"Socket errors: (.*)", told))
    errors = refused + sum(map(int, re.findall(r"\d+", broken)))
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", told)
    p50, p99 = (
        float(value) * _MILLISECONDS[unit]
        for value, unit in re.findall(r"(?:50|99)%\s+([\d.]+)(us|ms|s)", told)
    )
    return Result(float(rate) - refused / lasting, errors, p50, p99)


_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


async def closed(
    url: str, body: bytes, content_type: str, *, connections: int, seconds: float, warm: float = 1
) -> Result:
    """Measure a closed loop: one request at a time on each connection.

    Latencies of the first `warm` seconds are not counted.
    """
    sent = request(url, body, content_type)
    latencies: list[float] = []
    errors = 0
    opened = await _connect(url, connections)
    begin = time.perf_counter() + warm
    end = begin + seconds

    async def keep_asking(connection: _Connection) -> None:
        nonlocal errors
        while (started := time.perf_counter()) < end:
            status = await connection.ask(sent)
            if status == 0:
                errors += 1
                return
            if started >= begin and status == 200:
                latencies.append(1000 * (time.perf_counter() - started))
            elif status != 200:
                errors += 1

    await asyncio.gather(*map(keep_asking, opened))
    for connection in opened:
        connection.close()
    return _result(latencies, errors, seconds)


async def open_loop(
    url: str, body: bytes, content_type: str, *, rate: float, seconds: float, connections: int = 256
) -> Result:
    """Send `rate` requests a second at even intervals. Latency counts from the time due."""
    sent = request(url, body, content_type)
    idle = deque(await _connect(url, connections))
    latencies: list[float] = []
    errors = 0
    free = asyncio.Semaphore(len(idle))
    begin = time.perf_counter()

    async def one(due: float) -> None:
        nonlocal errors
        async with free:
            connection = idle.popleft()
            status = await connection.ask(sent)
            idle.append(connection)
        if status == 200:
            latencies.append(1000 * (time.perf_counter() - due))
        else:
            errors += 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = begin + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.create_task(one(due))
    taken = time.perf_counter() - begin
    for connection in idle:
        connection.close()
    return _result(latencies, errors, taken)


async def admission(url: str, body: bytes, content_type: str, *, connections: int) -> list[float]:
    """How long new connections wait for their first answer while the server is fully loaded:
    milliseconds, the shortest first."""
    sent = request(url, body, content_type)
    busy = asyncio.create_task(
        closed(url, body, content_type, connections=connections, seconds=4, warm=0)
    )
    await asyncio.sleep(1)

    async def newcomer() -> float:
        started = time.perf_counter()
        [connection] = await _connect(url, 1)
        await connection.ask(sent)
        connection.close()
        return 1000 * (time.perf_counter() - started)

    waited = await asyncio.gather(*(newcomer() for _ in range(64)))
    await busy
    return sorted(waited)
