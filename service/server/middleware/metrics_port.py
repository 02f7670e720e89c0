"""A port of its own for /metrics, where the setting `metrics_port` names one."""

from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import NotFoundError
from service.responses import problems

PATH = "/metrics"


class MetricsPort:
    """ASGI middleware: /metrics is answered on its port only; that port answers nothing else."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app, self._port = app, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            is_here = scope["server"] is not None and scope["server"][1] == self._port
            if is_here != (scope["path"] == PATH):
                error = NotFoundError(
                    f"this port answers {PATH} only (setting metrics_port)"
                    if is_here
                    else f"{PATH} has a port of its own (setting metrics_port)"
                )
                await problems.response(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)
