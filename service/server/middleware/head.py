"""HEAD wherever GET is (RFC 9110, 9.3.2): the same answer, without its body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware: gives the application a HEAD as a GET, and sends the answer's head alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}  # the server goes on seeing a HEAD

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                # for metrics and the log: the route, whose key it was, why there is no answer
                scope.update({key: asked[key] for key in asked.keys() - scope.keys()})
            else:
                message = {**message, "body": b""}
            await send(message)

        await self._app(asked, receive, send_head)
