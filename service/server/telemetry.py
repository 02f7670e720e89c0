"""Telemetry of requests: an id on every response; a log line and metrics for each request."""

import logging
import random
import re
import time
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.gate import CALLER
from service.log_writer import LOST
from service.metrics import Metrics
from service.responses import problems
from service.server import security_headers
from service.server.security_headers import Header

_HEADER = b"x-request-id"
_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def _given_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The client's, if it is a plain word."""
    for name, value in headers:
        if name == _HEADER and _ACCEPTABLE.fullmatch(value):
            return value.decode()
    return None


def _operation(scope: Scope) -> str:
    """What was asked for, by its name in the OpenAPI document."""
    return scope.get("operation") or getattr(scope.get("route"), "operation_id", None) or "other"


class Record:
    """The telemetry of one request, from its head on: its id, metrics, a log line.

    The id is the client's X-Request-ID if that is a plain word, otherwise a new one. The path and
    the id are the only things from a client that reach the log. The line names its API key.
    """

    __slots__ = ("_log", "_metrics", "_scope", "_started", "request_id", "status", "way")

    def __init__(self, scope: Scope, started: float, metrics: Metrics, log: Any) -> None:
        self.request_id = _given_id(scope["headers"]) or f"{random.getrandbits(128):032x}"
        scope.setdefault("state", {})["request_id"] = self.request_id
        self.status = 0  # until there is an answer
        self.way = "application"  # or "fast_path": which of them answers
        self._scope, self._started, self._metrics, self._log = scope, started, metrics, log

    def answered(self, status: int) -> tuple[Header, ...]:
        """Count the answer; the headers that it gets besides its own."""
        self.status = status
        elapsed = time.perf_counter() - self._started
        operation = _operation(self._scope)
        self._metrics.answered(operation, status, elapsed)
        if operation == "predict":
            self._metrics.predicted(self.way)
        return (
            (_HEADER, self.request_id.encode()),
            (b"server-timing", b"total;dur=%.3f" % (elapsed * 1000)),
        )

    def failed(self) -> None:
        """A line with the exception that is being handled."""
        with suppress(Exception):  # no log call decides anything
            self._log.exception("unexpected error", request_id=self.request_id)

    def log(self) -> None:
        """The line, once the request is over."""
        if self._log.is_enabled_for(logging.INFO):
            scope = self._scope
            caller = scope.get(CALLER)
            try:
                self._log.info(
                    "request",
                    method=scope["method"],
                    path=quote(scope["path"]),
                    status=self.status,
                    ms=round((time.perf_counter() - self._started) * 1000, 2),
                    request_id=self.request_id,
                    **({"api_key": caller} if caller else {}),
                )
            except Exception:  # as above; `suppress` would cost each request half a microsecond
                LOST.add(1)


class Telemetry:
    """ASGI middleware: a record of each request, and an answer where nobody caught an error.

    Each answer gets the `security_headers` that it lacks.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._log = structlog.get_logger().bind()  # once, not for each request

    def record(self, scope: Scope, started: float) -> Record:
        """A request whose head was there at that time of `time.perf_counter`."""
        return Record(scope, started, self._metrics, self._log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = self.record(scope, time.perf_counter())

        def named(message: Message) -> Awaitable[None]:  # no coroutine around that of `send`
            if message["type"] == "http.response.start":
                headers = message["headers"]
                headers += security_headers.missing(headers)
                headers += record.answered(message["status"])
            return send(message)

        try:
            await self._app(scope, receive, named)
        except Exception:
            record.failed()
            if not record.status:
                await problems.unexpected(scope)(scope, receive, named)
        finally:
            record.log()
