"""The body of an ASGI request: received and parsed under limits, while its deadline runs.

`http.request` messages → `Body` (see `bodies`) → encoded images, for as long as the block lasts
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Self

from service.deadlines import Deadline, DeadlineTimer
from service.errors import ClientLeftError, ServiceError
from service.images.encoded import EncodedImage
from service.requests.bodies import BodyLimits
from service.settings import Settings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]  # as in the ASGI specification


class Receiver:
    """Receives the bodies of all requests, each under its own deadline."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.limits = BodyLimits(settings)
        self.timer = DeadlineTimer()

    def receive(self, scope: Mapping[str, Any], receive: Receive) -> "Reception":
        """The images of the request's body, for the duration of an `async with` block."""
        seconds = self._settings.request_timeout
        return Reception(dict(scope["headers"]), self.limits, receive, seconds, self.timer)


class Reception:
    """Context manager: `images` receives the body, leaving the block gives its memory back.

    Entering raises a `ServiceError` for headers that announce a body that is not acceptable.

    The task inside the block is cancelled when the deadline passes or the client leaves; leaving
    the block then raises the reason in place of the cancellation.

    As an async context manager, entering receives the images.
    """

    def __init__(
        self,
        headers: Mapping[bytes, bytes],
        limits: BodyLimits,
        receive: Receive,
        seconds: float,
        timer: DeadlineTimer,
    ) -> None:
        self._headers, self._limits, self._receive = headers, limits, receive
        self._deadline = Deadline(seconds, timer, self._cancel, self._watch)
        self._size = 0  # bytes
        self._reason: ServiceError | None = None
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._body = self._limits.body(self._headers)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a coroutine that is awaited has a task)
        self._task, self._cancelling = task, task.cancelling()
        self._deadline.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: object, /
    ) -> None:
        self._limits.held -= self._size
        self._deadline.end()
        if self._watching is not None:
            self._watching.cancel()
        if self._reason is not None:
            only_ours = self._task.uncancel() <= self._cancelling
            if only_ours and isinstance(error, asyncio.CancelledError):
                raise self._reason from error

    async def __aenter__(self) -> list[EncodedImage]:
        self.__enter__()
        try:
            return await self.images()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: object, /
    ) -> None:
        self.__exit__(kind, error, where)

    async def images(self) -> list[EncodedImage]:
        """The images of the body; raises a `ServiceError` for one that is not acceptable."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeftError("the client left before its body had arrived")
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            self._size += len(chunk)
            self._limits.held += len(chunk)
            self._limits.check(self._size)
            for _ in self._body.feed(chunk, more):
                await asyncio.sleep(0)
        found = self._body.images()
        self._deadline.received()
        return found

    def _cancel(self, reason: ServiceError) -> None:
        self._reason = reason
        self._task.cancel()

    def _watch(self) -> None:
        self._watching = asyncio.create_task(self._await_disconnection())

    async def _await_disconnection(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._deadline.client_left()
