"""A uvicorn server that answers all accepted requests before it exits.

    signal → `drain` → grace period → stop accepting → answer what was accepted → exit code 0

After the signal, `/health/ready` answers 503, and each answer says `Connection: close` and closes
its connection. New connections are still accepted during the grace period, because a load balancer
needs some seconds to notice the 503.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from service.monitoring import logs
from service.server import listening
from service.server.connections import ConnectionLimits
from service.server.tls_server import TlsServer

log = logs.Log()


class DrainingState(ServerState):
    """The state that the connections of a server share. `draining` is True once it will end."""

    draining = False


class DrainingServer(uvicorn.Server):
    """A server that drains at the first signal, and ends the process at the second.

    SIGHUP counts as such a signal. (With several workers, the supervisor gets it, and replaces
    them.) Ctrl-C at a terminal skips the grace period, since no load balancer is there.
    """

    def __init__(self, config: uvicorn.Config, grace: float) -> None:
        super().__init__(config)
        self.server_state: DrainingState = DrainingState()
        self.grace = grace  # seconds
        self._ends_at = float("inf")  # on the loop's clock, once it drains
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signalled = asyncio.Event()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            os._exit(128 + sig)
        if is_from_terminal(sig):
            self.grace = 0
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.drain)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            if threading.current_thread() is not threading.main_thread() or (
                signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as nohup sets it
            ):
                yield
                return
            before = signal.signal(signal.SIGHUP, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(signal.SIGHUP, before)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the application, then listen. Raises `ListenError` if the port is taken by then.

        A signal during loading ends the server at once, since no connection was accepted.
        """
        self._loop = asyncio.get_running_loop()
        starting = asyncio.create_task(self._start(sockets or []))
        signalled = asyncio.create_task(self._signalled.wait())
        if self.should_exit:
            self._signalled.set()
        await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        if starting.done():
            try:
                await starting
            except OSError as error:  # another program listens on what was bound before
                host, port = sockets[0].getsockname()[:2] if sockets else (self.config.host, 0)
                raise listening.ListenError(listening.refusal(host, port, error)) from error
            self.listens(sockets or [])
            return
        starting.cancel()
        await asyncio.wait({starting})
        await self.lifespan.shutdown()
        log.info("ended before it was ready")

    async def _start(self, sockets: list[socket.socket]) -> None:
        """Start as uvicorn does, but with a `TlsServer` for each socket if TLS is used."""
        context = self.config.ssl
        await super().startup([] if context else sockets)
        if context is None:
            return
        application = self.config.loaded_app
        limits = getattr(application, "connection_limits", None) or ConnectionLimits()
        connections = self.server_state.connections
        for each in sockets:
            server: Any = TlsServer(
                each, context, self._protocol, connections, limits, self.config.backlog
            )
            self.servers.append(server)

    def _protocol(self) -> asyncio.Protocol:
        http: Any = self.config.http_protocol_class
        made: asyncio.Protocol = http(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def listens(self, sockets: list[socket.socket]) -> None:
        """Log the addresses. Called once the server listens."""
        scheme = "https" if self.config.is_ssl else "http"
        log.info("listening", urls=listening.urls(sockets, scheme))

    def drain(self) -> None:
        """Begin to drain: tell the application, and close every connection with its next answer.

        Calling it again changes nothing.
        """
        if self.server_state.draining:
            return
        assert self._loop is not None  # noqa: S101
        self.server_state.draining = True
        self._signalled.set()
        self._ends_at = self._loop.time() + self.grace
        application: Any = self.config.loaded_app
        if drain := getattr(application, "drain", None):
            drain()
        for connection in list(self.server_state.connections):
            connection.drain()  # type: ignore[union-attr]
        if self.started and self.grace:
            log.info("draining", seconds=self.grace)

    def grace_is_over(self) -> None:
        """End the grace period: stop as soon as the accepted requests are answered."""
        self.should_exit, self._ends_at = True, 0.0

    async def on_tick(self, counter: int) -> bool:
        assert self._loop is not None  # noqa: S101
        return await super().on_tick(counter) and self._loop.time() >= self._ends_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.drain()
        await self.stop_listening(sockets or [])
        for server in self.servers:
            if isinstance(server, TlsServer):
                server.abort_handshakes()
        await super().shutdown(sockets)

    async def stop_listening(self, sockets: list[socket.socket]) -> None:
        """Accept the connections that wait in the backlog, then close the listeners.

        If they can't be accepted, because too many files are open for example, the listeners are
        closed nevertheless after `listening.BACKLOG_SECONDS`.
        """
        for each in sockets:
            listening.hold_back(each)
        await asyncio.sleep(listening.LAST_HANDSHAKES)
        with suppress(TimeoutError):
            async with asyncio.timeout(listening.BACKLOG_SECONDS):
                # no event tells of a backlog that is empty
                while any(listening.has_input(each.fileno()) for each in sockets):  # noqa: ASYNC110
                    await asyncio.sleep(0)
        await self.close_listeners()

    async def close_listeners(self) -> None:
        """Close the listeners, then give the last clients that connected time to send a request."""
        self.refuse_connections()
        await asyncio.sleep(listening.LAST_HANDSHAKES)

    def refuse_connections(self) -> None:
        """Close the listeners of this process. Processes that share the sockets still accept."""
        for server in self.servers:
            server.close()


def is_from_terminal(sig: int) -> bool:
    """True if somebody at a terminal pressed Ctrl-C, or closed it."""
    interactive = sys.stdin is not None and sys.stdin.isatty()
    return sig in (signal.SIGINT, signal.SIGHUP) and interactive
