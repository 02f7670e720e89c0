"""The path prefix under which a proxy offers the service, removed if the proxy kept it."""

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from service.responses.problems import ROOT


class Prefix:
    """ASGI middleware: changes `/prefix/v1/models` to `/v1/models`; keeps paths without prefix.

    `/prefix` leads to `/prefix/`: from there the page's relative links stay below the prefix.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, prefix = scope["path"], self._prefix
            scope[ROOT] = prefix
            if path == prefix and scope["method"] in ("GET", "HEAD"):
                page = RedirectResponse(f"{prefix.rpartition('/')[2]}/", 308)
                await page(scope, receive, send)
                return
            if path == prefix or path.startswith(f"{prefix}/"):
                scope["path"] = path[len(prefix) :] or "/"
                raw = scope.get("raw_path")
                if raw is not None and raw.startswith(prefix.encode()):
                    scope["raw_path"] = raw[len(prefix) :] or b"/"
        await self._app(scope, receive, send)
