"""The body of an ASGI request: received and parsed under limits, while its deadline runs.

`http.request` messages → `Body` (see `bodies`) → encoded images, for as long as the block lasts
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from time import perf_counter
from typing import Any, Protocol, Self

from service.access.gate import client_of
from service.deadlines import Deadline, DeadlineTimer
from service.errors import ClientLeftError, ServiceError
from service.images.encoded import EncodedImage
from service.monitoring.work import WORK, Work, begin
from service.requests.bodies import Body, BodyLimits
from service.settings import Settings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]  # as in the ASGI specification


class OtherBody(Body, Protocol):
    """A parser of another kind of body than those in `bodies`.

    It is made from the headers of the request, and from how many images a request may have.
    """

    def __init__(self, headers: Mapping[bytes, bytes], max_images: int) -> None: ...


class Receiver:
    """Receives the bodies of all requests, each under its own deadline."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.limits = BodyLimits(settings)
        self.timer = DeadlineTimer()

    def receive(
        self, scope: MutableMapping[str, Any], receive: Receive, kind: type[OtherBody] | None = None
    ) -> "Reception":
        """Return a context manager that receives the images of the request's body.

        `kind` is the parser of the body, by default one of those in `bodies`.
        """
        seconds = self._settings.request_timeout
        return Reception(scope, self.limits, receive, seconds, self.timer, kind)

    def attend(self, receive: Receive) -> "Attendance":
        """Return a context manager for the work on a request without a body."""
        return Attendance(receive, self._settings.request_timeout, self.timer)


class Attendance:
    """Context manager: the work on a request, while its client waits and its deadline runs.

    The task inside the block is cancelled when the deadline passes or the client leaves; leaving
    the block then raises the reason in place of the cancellation.
    """

    def __init__(self, receive: Receive, seconds: float, timer: DeadlineTimer) -> None:
        self._receive = receive
        self._deadline = Deadline(seconds, timer, self._cancel, self._watch)
        self._reason: ServiceError | None = None
        self._watching: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._begin(received=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: object, /
    ) -> None:
        self._deadline.end()
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None  # its traceback leads here: in a cycle the body would stay
        reason, self._reason = self._reason, None
        if reason is not None:
            only_ours = self._task.uncancel() <= self._cancelling
            if only_ours and isinstance(error, asyncio.CancelledError):
                try:
                    raise reason from error
                finally:
                    del reason  # its traceback leads here, too

    def allow(self, seconds: float, limit: str) -> None:
        """Replace the deadline: the answer must be ready within `seconds` from now.

        The body must have arrived. `limit` names the setting or parameter in the error's text.
        """
        self._deadline.allow(seconds, limit)

    def _begin(self, *, received: bool) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a coroutine that is awaited has a task)
        self._task, self._cancelling = task, task.cancelling()
        self._deadline.begin(received=received)

    def _cancel(self, reason: ServiceError) -> None:
        self._reason = reason
        self._task.cancel()

    def _watch(self) -> None:
        self._watching = asyncio.create_task(self._await_disconnection())

    async def _await_disconnection(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._deadline.client_left()


class Reception(Attendance):
    """Context manager: `images` receives the body, leaving the block gives its memory back.

    Entering raises a `ServiceError` for headers that announce a body that is not acceptable.
    As an async context manager, entering receives the images.
    """

    def __init__(
        self,
        scope: MutableMapping[str, Any],
        limits: BodyLimits,
        receive: Receive,
        seconds: float,
        timer: DeadlineTimer,
        kind: type[OtherBody] | None = None,
    ) -> None:
        super().__init__(receive, seconds, timer)
        self._scope, self._headers = scope, dict(scope["headers"])
        self._limits, self._kind = limits, kind
        self._size = 0  # bytes

    def __enter__(self) -> Self:
        self._limits.check_declared(self._headers)
        if self._kind is None:
            self._body = self._limits.body(self._headers)
        else:
            self._body = self._kind(self._headers, self._limits.max_images)
        self._begin(received=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: object, /
    ) -> None:
        self._limits.held -= self._size
        super().__exit__(kind, error, where)

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

    @property
    def client(self) -> str:
        """Who sends the request, as `client_of` tells."""
        return client_of(self._scope)

    def begin(self, model: str, version: int) -> Work:
        """Start the `Work` of the request, which is about this version of a model."""
        return begin(self._scope, model, version)

    def _hold(self, size: int) -> None:
        """Count `size` more bytes of the body; raise a `ServiceError` if they are too many."""
        self._size += size
        self._limits.held += size
        self._limits.check(self._size)

    async def images(self) -> list[EncodedImage]:
        """Receive the body and return its images; raise a `ServiceError` for an invalid body."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientLeftError("the client left before its body had arrived")
            chunk = message.get("body", b"")
            more = message.get("more_body", False)
            if not more and (work := self._scope.get(WORK)) is not None:
                work.arrived = perf_counter()
            self._hold(len(chunk))
            for unpacked in self._body.feed(chunk, more):
                self._hold(unpacked or 0)
                await asyncio.sleep(0)
        found = self._body.images()
        self._deadline.received()
        return found
