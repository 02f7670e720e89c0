"""Predictions whose request arrives in one piece: decoded, queued and answered without a task.

    protocol → `Direct.take` → quick images decoded → batcher → `Exchange` → bytes of the answer

Most requests are one small image. For these a task and the messages of ASGI cost more than decoding
does, so the protocol offers them here first. What is not usual (a larger image, many of them,
most of what is wrong) is not taken, and nothing has happened to it: the application answers it.
"""

import asyncio
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

from starlette.responses import Response
from starlette.types import Scope

from models.preprocessing import Pixels
from service import errors
from service.batching import Queued
from service.engine import Answer
from service.errors import ClientLeftError, ServiceError
from service.images import IN_A_ROW
from service.patience import Rounds, too_slow
from service.repository import Loaded
from service.routes import predict
from service.routes.dependencies import check_key
from service.routes.predict import Query
from service.services import Services
from service.telemetry import Header, Record, Telemetry

_MAX_URL = 256  # bytes of one that is remembered


class Connection(Protocol):
    """Where requests come from and answers go."""

    def answer(
        self, exchange: "Exchange", status: int, headers: Iterable[Header], body: bytes
    ) -> None: ...


class Direct:
    """Takes the requests that can be answered this way."""

    def __init__(self, services: Services, telemetry: Telemetry) -> None:
        self._services, self._telemetry = services, telemetry

    @staticmethod
    def asks(url: bytes) -> bool:
        """Whether a POST there asks for a prediction, in plain letters."""
        return len(url) <= _MAX_URL and _asked(url) is not None

    def take(
        self, connection: Connection, scope: Scope, url: bytes, body: bytes
    ) -> "Exchange | None":
        """What will answer on the connection, or None for what the application has to answer.

        `url` is one that `asks`. `scope` has the headers of the POST, and gets what else is known
        of the request once it is taken.
        """
        started = time.perf_counter()
        asked = _asked(url)
        services = self._services
        if asked is None or len(body) > services.decoder.quick_bytes:
            return None
        path, model, query = asked
        try:
            check_key(scope, services.settings)
            loaded = services.repository.ready(model, query.version)
            uploads = services.receiver.whole(dict(scope["headers"]), body, IN_A_ROW)
            if len(uploads) > loaded.batcher.room:
                return None
            try:
                pixels = services.decoder.at_once(uploads, loaded.checkpoint.card.input)
            except ServiceError as error:  # which took time, and is not to be met again
                queued = _failed(error)
            else:
                if pixels is None:
                    return None
                queued = loaded.batcher.enqueue(pixels)
        except Exception:  # the application meets it again, and tells it
            return None
        scope.update(method="POST", path=path, operation="predict")
        record = self._telemetry.record(scope, started)
        exchange = Exchange(connection, scope, query, loaded, queued, record)
        exchange.begin(services.receiver.rounds, services.settings.request_timeout)
        return exchange


def _failed(error: ServiceError) -> Queued[Pixels, Answer]:
    """What has nothing in the queue, and whose result is the error."""
    queued = Queued[Pixels, Answer]((), asyncio.get_running_loop())
    queued.future.set_exception(error)
    return queued


@lru_cache(1024)
def _asked(url: bytes) -> tuple[str, str, Query] | None:
    """The path, the model and what is asked of it, if a prediction is, in plain letters."""
    path, _, query = url.partition(b"?")
    if b"%" in path or b"#" in url or not url.isascii():
        return None
    model = predict.model_of(path.decode())
    try:
        return (path.decode(), model, predict.query_of(query)) if model else None
    except ServiceError:
        return None


class Exchange:
    """A request that was taken, until its answer is written.

    To uvicorn's connection it is a cycle like its own, which has the first five attributes.
    """

    response_started = False  # of which something is still to come
    message_event = asyncio.Event()  # nobody waits for it

    def __init__(
        self,
        connection: Connection,
        scope: Scope,
        query: Query,
        loaded: Loaded,
        queued: Queued[Pixels, Answer],
        record: Record,
    ) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True
        self._connection, self._scope, self._query = connection, scope, query
        self._loaded, self._queued, self._record = loaded, queued, record
        self._reason: ServiceError | None = None

    def begin(self, rounds: Rounds, seconds: float) -> None:
        """Answer when the predictions are there, or the seconds have passed."""
        loop = asyncio.get_running_loop()
        self.seconds, self._rounds = seconds, rounds
        self._deadline = loop.time() + seconds
        self._queued.future.add_done_callback(self._answer)
        rounds.join(self, loop)

    def look(self, now: float) -> float:
        """As `patience.Patient` has it."""
        if now >= self._deadline:
            self._end(too_slow(self.seconds))
        return max(0.0, self._deadline - now)

    def leave(self) -> None:
        """The client has left."""
        self.disconnected = True
        self._end(ClientLeftError("the client closed the connection"))

    def _end(self, reason: ServiceError) -> None:
        self._rounds.leave(self)
        if self._queued.future.cancel():
            self._reason = reason

    def _answer(self, future: "asyncio.Future[list[Answer]]") -> None:
        self._rounds.leave(self)
        try:
            status, headers, body = self._told(future)
        except Exception:
            self._record.failed()
            status, headers, body = _raw(errors.unexpected(self._scope))
        self.response_complete = True
        own = self._record.answered(status)
        self._connection.answer(self, status, (*headers, *own), body)
        self._record.log()
        # the connection keeps this until it asks for more, or closes
        del self._connection, self._loaded, self._queued

    def _told(self, future: "asyncio.Future[list[Answer]]") -> tuple[int, Iterable[Header], bytes]:
        error = self._reason or future.exception()
        if error is None:
            card = self._loaded.checkpoint.card
            body, batch_size = predict.told(card, future.result(), self._query)
            return 200, predict.headers_of(body, batch_size), body
        self._loaded.batcher.withdraw(self._queued)
        if not isinstance(error, ServiceError):
            raise error
        return _raw(errors.response(error, self._scope))


def _raw(response: Response) -> tuple[int, Iterable[Header], bytes]:
    return response.status_code, response.raw_headers, bytes(response.body)
