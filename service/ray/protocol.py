"""Fanlight's own HTTP protocol on the port of a replica.

    HAProxy → the replica's port → `ReplicaHttpProtocol` → the fast path or the application
                                        └→ paths under /-/: Ray's own handler

Behind HAProxy each replica has a port of its own, on which Ray starts a uvicorn server. By default
uvicorn would parse with its own protocol, and Ray would wrap each request in tasks and messages.
That costs more than most predictions. It also loses the fast path and the bounds on heads.
`install` therefore names this protocol as the one that uvicorn takes in this process.

If the server of Ray runs on another event loop than the application, requests go through Ray's
handler: correct, but slower. Heads have their bounds in any case.
"""

import asyncio
from typing import Any, ClassVar

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from service.app import Application
from service.monitoring import logs
from service.server.protocol import LimitedHttpProtocol

CHOICE = "auto"
"""The name of the protocol that uvicorn takes where nobody names another one."""
OF_RAY = "/-/"
"""The beginning of the paths that Ray answers itself, /-/healthz for HAProxy's checks."""
log = logs.Log()


class RayPathRouter:
    """ASGI application: Ray's handler for Ray's paths, the application for all others.

    Has the attributes of the application that the protocol looks for.
    """

    def __init__(self, application: Application, of_ray: ASGIApp) -> None:
        self._application, self._of_ray = application, of_ray
        self.fast_path = application.fast_path
        self.connection_limits = application.connection_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        of_ray = scope["type"] != "http" or scope["path"].startswith(OF_RAY)
        await (self._of_ray if of_ray else self._application)(scope, receive, send)


class ReplicaHttpProtocol(LimitedHttpProtocol):
    """The protocol of a connection to the replica of this process."""

    application: ClassVar[Application | None] = None
    of_loop: ClassVar[asyncio.AbstractEventLoop | None] = None
    has_warned: ClassVar[bool] = False

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if self.application is None:
            return
        if self.loop is self.of_loop:
            self.app = RayPathRouter(self.application, self.app)
        elif not self.has_warned:
            ReplicaHttpProtocol.has_warned = True
            log.warning(
                "other_loop",
                missing="the fast path for predictions",
                advice="start the cluster with RAY_SERVE_THROUGHPUT_OPTIMIZED=1",
            )

    def shutdown(self) -> None:
        """Drain: from now on /health/ready answers 503 on connections that are still busy."""
        if self.application is not None and self.loop is self.of_loop:
            self.application.drain()
        super().shutdown()


def install(application: Application) -> None:
    """Let the servers of this process that are started later use our protocol.

    Call it on the event loop of the application.
    """
    ReplicaHttpProtocol.application = application
    ReplicaHttpProtocol.of_loop = asyncio.get_running_loop()
    HTTP_PROTOCOLS[CHOICE] = f"{__name__}:{ReplicaHttpProtocol.__name__}"
