"""The fast path: predictions without a task and without ASGI's messages.

    protocol → `FastPath.take` → `prediction.Predictor.predict` → `PendingAnswer` → bytes

Most requests are one small image that arrives in one piece. A task and the messages of ASGI cost
more time than decoding this image, so the protocol offers such requests to this module first. The
module decides when the fast path may be used, and how it waits: it starts the coroutine of the
prediction, and a callback of the batcher's future continues it. Everything else is as in the other
implementations of `prediction.Door`.
An unusual request (a larger image, many images, most invalid requests) is left to the application
before anything is queued.
"""

import asyncio
import time
from collections.abc import Coroutine, Generator, Iterable, Sequence
from functools import lru_cache
from types import coroutine
from typing import Protocol, Self

from starlette.responses import Response
from starlette.types import Scope

from models.preprocessing import InputSpec, Pixels
from service.access.forwarded import Forwarded
from service.deadlines import Deadline
from service.errors import QueueFullError, ServiceError, TooLargeError
from service.images.decoding import Decoder
from service.images.encoded import EncodedImage
from service.inference.batcher import Queued
from service.inference.engine import PredictionResult
from service.monitoring import logs
from service.prediction import Predicted
from service.process.event_loop import IMAGES_IN_A_ROW
from service.requests import parameters
from service.requests.parameters import PredictParameters
from service.responses import predictions, problems
from service.responses.predictions import EncodedAnswer
from service.server.backpressure import Backpressure
from service.server.middleware.security_headers import Header
from service.server.middleware.telemetry import Record, Telemetry
from service.server.shortcut import model_of
from service.state import AppState

log = logs.Log()

MAX_URL_BYTES = 256  # longer ones are not kept in the cache of parsed URLs


class Connection(Protocol):
    """The members of a connection that the fast path uses."""

    address: str
    """The address of the client, without its port."""

    @property
    def retry_after(self) -> int:
        """Seconds until the connection is read again if its request is refused now."""
        ...

    def waited(self) -> float:
        """Return how many seconds the last data that was read had waited in the socket."""
        ...

    def pause(self) -> None:
        """Read nothing for a while: a request was refused."""
        ...

    def answer(
        self, pending: "PendingAnswer", status: int, headers: Iterable[Header], body: bytes
    ) -> None: ...


class _UnusualError(Exception):
    """This request needs the application: it would wait for a thread, or has too many images."""


class FastPath:
    """The entrance to the fast path. Takes usual predictions, leaves others to the application."""

    is_offered_requests = False  # by our protocol, from the first connection on

    def __init__(
        self, state: AppState, telemetry: Telemetry, forwarded: Forwarded | None = None
    ) -> None:
        self._state, self._telemetry, self._forwarded = state, telemetry, forwarded
        self.backpressure = Backpressure()
        self._logged: set[type[Exception]] = set()

    def is_on(self, address: object) -> bool:
        """Return True if the server takes predictions at this address, (host, port) for TCP.

        The port of the setting `metrics_port` takes none.
        """
        port = self._state.settings.metrics_port
        return port is None or not isinstance(address, tuple) or address[1] != port

    @staticmethod
    def is_for(url: bytes) -> bool:
        """True if a POST to this URL asks for a prediction, in plain ASCII and without escapes."""
        return len(url) <= MAX_URL_BYTES and _parsed(url) is not None

    def take(
        self, connection: Connection, scope: Scope, url: bytes, body: bytes
    ) -> "PendingAnswer | None":
        """Start to answer a request. Return its pending answer, or None if the application must.

        `url` must be accepted by `is_for`, and `body` be complete. `scope` has the headers. If the
        request is taken, the method sets `method`, `path` and `operation` in `scope`.
        If the queue is full, the request is refused here, in a fraction of the time. After any
        other `ServiceError` the application answers, with the same error. It also answers after an
        unexpected error, which is counted, and logged with its traceback once for each type.
        """
        started = time.perf_counter()
        parsed = _parsed(url)
        state = self._state
        if parsed is None or len(body) > state.decoder.quick_bytes:
            return None
        path, model, asked_for = parsed
        if self._forwarded is not None:
            self._forwarded.apply(scope)
        waited = connection.waited() if self.backpressure.is_active else 0.0
        pending = PendingAnswer(connection, scope, body, asked_for, state, waited)
        predicting = state.predictor.predict(scope, model, asked_for, pending)
        refusal = None
        try:
            pending.start(predicting)
        except QueueFullError as error:
            refusal = error.with_traceback(None)  # it leads here: in a cycle the body would stay
        except (ServiceError, _UnusualError):
            return None
        except Exception as error:
            self._failed(error)
            return None
        scope.update(method="POST", path=path, operation="predict")
        scope[problems.ROOT] = state.settings.root_path or ""
        pending.record = self._telemetry.record(scope, started)
        pending.record.way = "fast_path"
        if refusal is not None:
            pending.refuse(refusal)
        return pending

    def _failed(self, error: Exception) -> None:
        self._state.metrics.fast_path_failed(type(error).__name__)
        if type(error) not in self._logged:
            self._logged.add(type(error))
            log.error("fast path failed", error=repr(error), exc_info=error)


@lru_cache(1024)
def _parsed(url: bytes) -> tuple[str, str, PredictParameters] | None:
    """The path, the model and the parameters, None if the application has to look at the URL."""
    path, _, query = url.partition(b"?")
    if b"%" in path or b"#" in url or not url.isascii():
        return None
    model = model_of(path.decode())
    try:
        asked_for = parameters.parse(PredictParameters, query)
    except ServiceError:
        return None
    return (path.decode(), model, asked_for) if model else None


class PendingAnswer:
    """A request on the fast path, until its answer is written; a `prediction.Door`.

    For uvicorn's protocol it takes the place of a `RequestResponseCycle`: it has the attributes of
    `uvicorn_members.OF_CYCLE` except `body`.
    """

    response_started = False  # of an answer that comes in parts
    more_body = False
    message_event = asyncio.Event()  # nobody waits for it

    __slots__ = (
        "_body",
        "_connection",
        "_deadline",
        "_decoding",
        "_parameters",
        "_predicting",
        "_scope",
        "_state",
        "client",
        "disconnected",
        "keep_alive",
        "record",
        "response_complete",
        "waited",
    )
    record: Record

    def __init__(
        self,
        connection: Connection,
        scope: Scope,
        body: bytes,
        parameters: PredictParameters,
        state: AppState,
        waited: float,
    ) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True
        self._decoding = False
        self.client = (scope.get("client") or (connection.address,))[0]
        self.waited = waited
        self._connection, self._scope, self._body = connection, scope, body
        self._parameters, self._state = parameters, state
        self._deadline = Deadline(
            state.settings.request_timeout, state.receiver.timer, self._give_up
        )

    def start(self, predicting: Coroutine[object, None, Predicted]) -> None:
        """Run the prediction until it waits for the batcher.

        Raises the prediction's errors, except a `ServiceError` after decoding has begun. That one
        is answered in the next turn of the event loop, so that nothing is decoded twice.
        """
        self._predicting = predicting
        try:
            predicting.send(None)
        except ServiceError as error:
            if not self._decoding:
                raise
            asyncio.get_running_loop().call_soon(self._answer, error)

    def refuse(self, error: QueueFullError) -> None:
        """Send the refusal at once, and stop reading from the connection for a while.

        The request gets no log line of its own: `Backpressure` logs the number of refusals.
        """
        connection = self._connection
        self._deadline.end()  # which otherwise holds this object, though it never began
        try:
            self._finish(*problems.encode(error, self._scope, connection.retry_after))
        finally:
            self.record.over(is_logged=False)
        connection.pause()

    def leave(self) -> None:
        """End the prediction, because the client has disconnected."""
        self.disconnected = True
        self._deadline.client_left()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._deadline.end()

    async def receive(self) -> list[EncodedImage]:
        limits = self._state.receiver.limits
        most = min(IMAGES_IN_A_ROW, self._state.settings.max_images)
        try:
            limits.check(len(self._body))
            body = limits.body(dict(self._scope["headers"]), most)
            for _ in body.feed(self._body, more=False):
                pass
        except TooLargeError:  # perhaps only for the fast path, which takes few images
            raise _UnusualError from None
        images = body.images()
        self._deadline.begin(received=True)
        return images

    async def decode(
        self, decoder: Decoder, images: Sequence[EncodedImage], spec: InputSpec
    ) -> list[Pixels]:
        self._decoding = True
        pixels = decoder.decode_now(images, spec)
        if pixels is None:
            raise _UnusualError
        return pixels

    @coroutine  # which `yield` stops until `send` or `throw` continues it
    def wait(
        self, queued: Queued[Pixels, PredictionResult]
    ) -> Generator[None, None, list[PredictionResult]]:
        queued.future.add_done_callback(self._continue)
        yield
        return queued.future.result()

    def _continue(self, _future: object) -> None:
        if self.response_complete:  # the deadline was earlier
            return
        try:
            self._predicting.send(None)
        except StopIteration as end:
            self._answer(end.value)
        except Exception as error:
            self._answer(error)

    def _give_up(self, reason: ServiceError) -> None:
        try:
            self._predicting.throw(reason)
        except Exception as error:
            self._answer(error)

    def _answer(self, outcome: Predicted | Exception) -> None:
        if isinstance(outcome, QueueFullError):
            self.refuse(outcome)
            return
        try:
            if isinstance(outcome, Exception):
                status, headers, body = self._problem(outcome)
            else:
                status, headers, body = predictions.encode(outcome, self._parameters)
        except Exception:
            self.record.failed()
            status, headers, body = _raw(problems.unexpected(self._scope))
        try:
            self._finish(status, headers, body)
        finally:
            self.record.over()

    def _finish(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        self.response_complete = True
        own = self.record.answered(status)
        self._connection.answer(self, status, (*headers, *own), body)
        # the connection keeps this object until it asks for more, or closes
        del self._connection, self._predicting, self._body

    def _problem(self, error: Exception) -> EncodedAnswer:
        """The answer for an error of the service; another error is raised."""
        if isinstance(error, ServiceError):
            return _raw(problems.response(error, self._scope))
        raise error


def _raw(response: Response) -> EncodedAnswer:
    return response.status_code, response.raw_headers, bytes(response.body)
