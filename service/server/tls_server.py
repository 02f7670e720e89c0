"""A listener for HTTPS whose handshakes count as connections, have time limits, and can be aborted.

    accepted → handshake → the HTTP protocol, which hears of the connection only then

A server of asyncio with a TLS context hides the handshakes. Clients that never finish one would
escape every limit, keep files open, and delay the end of the service.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass

from service.monitoring import logs
from service.server.connections import IDLE_SECONDS, ConnectionLimits

log = logs.Log()

SHUTDOWN_SECONDS = 5.0  # for a client to confirm the end of the encryption
ACCEPTED_AT_ONCE = 100
PAUSE_SECONDS = 1.0  # without accepting, where no file can be opened


@dataclass
class _Handshake:
    connection: socket.socket
    since: float  # on the loop's clock
    has_begun: bool = False


class TlsServer:
    """A TLS server on a bound socket, with the methods of `asyncio.Server` that uvicorn calls.

    `protocol` makes the HTTP protocol of a connection. `connections` holds the connections whose
    handshake is complete.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        connections: Collection[object],
        limits: ConnectionLimits,
        backlog: int,
    ) -> None:
        self._listener, self._context, self._protocol = listener, context, protocol
        self._connections, self._limits = connections, limits
        self._loop = asyncio.get_running_loop()
        self._handshakes: dict[asyncio.Task[None], _Handshake] = {}  # the oldest first
        self._is_open = True
        listener.setblocking(False)
        listener.listen(backlog)
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Stop accepting. Accepted connections and their handshakes go on."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._listener.fileno())

    def abort_handshakes(self) -> None:
        """Abort the handshakes that are not complete."""
        for task in list(self._handshakes):
            self._abort(task)

    async def wait_closed(self) -> None:
        if self._handshakes:
            await asyncio.wait(list(self._handshakes))

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("not accepted", reason=error.strerror, again_in_s=PAUSE_SECONDS)
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(PAUSE_SECONDS, self._resume)
                return
            accepted.setblocking(False)
            if self._has_room():
                handshake = _Handshake(accepted, self._loop.time())
                task = self._loop.create_task(self._shake_hands(handshake))
                self._handshakes[task] = handshake
                task.add_done_callback(self._has_ended)
            else:
                self._limits.ended("refused")
                accepted.close()

    def _has_ended(self, task: asyncio.Task[None]) -> None:
        self._handshakes.pop(task, None)

    def _resume(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _has_room(self) -> bool:
        """Return True if another handshake may begin.

        At the limit of connections, the oldest handshake is aborted to make room, if it has taken
        `IDLE_SECONDS` already.
        """
        if len(self._connections) + len(self._handshakes) < self._limits.max_connections:
            return True
        oldest = next(iter(self._handshakes), None)
        if oldest is None or self._loop.time() - self._handshakes[oldest].since < IDLE_SECONDS:
            return False
        self._limits.ended("refused")
        self._abort(oldest)
        return True

    def _abort(self, task: asyncio.Task[None]) -> None:
        handshake = self._handshakes.pop(task)
        task.cancel()
        if not handshake.has_begun:  # else its transport closes it
            handshake.connection.close()

    async def _shake_hands(self, handshake: "_Handshake") -> None:
        handshake.has_begun = True
        try:
            await self._loop.connect_accepted_socket(
                self._protocol,
                handshake.connection,
                ssl=self._context,
                ssl_handshake_timeout=self._limits.head_timeout,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except OSError:  # it took too long, is no TLS or none of ours, or the client has left
            if self._loop.time() - handshake.since >= self._limits.head_timeout:
                self._limits.ended("unfinished_handshake")
