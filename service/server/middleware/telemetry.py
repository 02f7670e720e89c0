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
from service.access.origins import Origins
from service.monitoring.log_writer import LOST
from service.monitoring.metrics import Metrics
from service.monitoring.tracing import RequestSpan, Tracing
from service.monitoring.work import SPAN, WORK
from service.responses import problems
from service.server.middleware import security_headers
from service.server.middleware.security_headers import Header
from service.server.shortcut import model_of

_HEADER = b"x-request-id"
_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._:/+=@~,;#|{}-]{1,200}")  # UUIDs, base64, Amzn-Trace-Id, …
_TRACE = b"traceparent"
_PARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def _trace_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the trace id of `traceparent` (W3C Trace Context); None without a valid one."""
    for name, value in headers:
        if name == _TRACE and (found := _PARENT.fullmatch(value)) and found[1].strip(b"0"):
            return found[1].decode()
    return None


def _given_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the client's X-Request-ID; None if it has none or its form is unusual."""
    for name, value in headers:
        if name == _HEADER and _ACCEPTABLE.fullmatch(value):
            return value.decode()
    return None


def _operation(scope: Scope) -> str:
    """Return the operation of the request, as the OpenAPI document names it, or `other`."""
    return scope.get("operation") or getattr(scope.get("route"), "operation_id", None) or "other"


def _named(scope: Scope) -> str:
    """The model in the path of a request without `Work`, which nobody may serve; "" for none."""
    return scope.get("path_params", {}).get("model") or model_of(scope["path"]) or ""


def _of_model(scope: Scope) -> dict[str, str]:
    """The field `model` of the log, for a request that failed before its `Work` started."""
    return {"model": quote(model)} if (model := _named(scope)) else {}


class Record:
    """The telemetry of one request, from its head on: its id, metrics, a log line, a span.

    The id is the client's X-Request-ID if that has a usual form, otherwise a new one. The path,
    this id and the trace id are the only values from a client that reach the log. The line also has
    the name of the client's API key.
    """

    __slots__ = (
        "_is_logged",
        "_log",
        "_metrics",
        "_origins",
        "_scope",
        "_span",
        "_started",
        "request_id",
        "status",
        "way",
    )

    def __init__(
        self,
        scope: Scope,
        started: float,
        metrics: Metrics,
        log: Any,
        origins: Origins | None,
        span: RequestSpan | None,
        *,
        is_logged: bool,
    ) -> None:
        self.request_id = _given_id(scope["headers"]) or random.getrandbits(128).to_bytes(16).hex()
        scope.setdefault("state", {})["request_id"] = self.request_id
        self.status = 0  # until there is an answer
        self.way = "application"  # or "fast_path": which of them answers
        self._scope, self._started, self._metrics, self._log = scope, started, metrics, log
        self._origins, self._span, self._is_logged = origins, span, is_logged
        metrics.in_flight += 1
        if span is not None:
            scope[SPAN] = span.context
            if (work := scope.get(WORK)) is not None:  # the fast path began before
                work.span = span.context

    def answered(self, status: int) -> tuple[Header, ...]:
        """Count the answer. Return the headers to add to it: request id, Server-Timing and CORS."""
        self.status = status
        now = time.perf_counter()
        elapsed = now - self._started
        scope = self._scope
        operation = _operation(scope)
        work = scope.get(WORK)
        model = _named(scope) if work is None else work.model
        working = now - work.arrived if work is not None and work.arrived else None
        self._metrics.answered(operation, model, status, elapsed, working)
        if operation == "predict":
            self._metrics.predicted(self.way)
        if status >= 400 and (reason := scope.get(problems.REFUSED)):
            self._metrics.refused(reason)
        if work is not None and work.forward:
            work.answered(now)
            took = 1e3 * elapsed, 1e3 * work.decode, 1e3 * work.queue, 1e3 * work.forward
            timing = b"total;dur=%.3f, decode;dur=%.3f, queue;dur=%.3f, forward;dur=%.3f" % took
        elif work is not None and work.decode:
            timing = b"total;dur=%.3f, decode;dur=%.3f" % (1e3 * elapsed, 1e3 * work.decode)
        else:
            timing = b"total;dur=%.3f" % (1e3 * elapsed)
        own = ((_HEADER, self.request_id.encode()), (b"server-timing", timing))
        if self._origins is None:
            return own
        return (*own, *self._origins.headers(scope["headers"]))

    def ended_late(self, status: int) -> None:
        """Count a stream that began with status 200 and ended in a problem of this status."""
        self._metrics.ended_late(_operation(self._scope), status)
        if reason := self._scope.get(problems.REFUSED):
            self._metrics.refused(reason)

    def failed(self) -> None:
        """Log the exception that is being handled."""
        with suppress(Exception):  # no log call decides anything
            self._log.exception("unexpected error", request_id=self.request_id)

    def over(self, *, is_logged: bool = True) -> None:
        """End the request: log its line and end its span. Called once for each request."""
        self._metrics.in_flight -= 1
        if self._span is not None:
            with suppress(Exception):  # no trace decides anything
                self._span.end(self._scope, _operation(self._scope), self.status, self.request_id)
        if is_logged and self._is_logged and self._log.is_enabled_for(logging.INFO):
            scope = self._scope
            caller, work = scope.get(CALLER), scope.get(WORK)
            trace = self._span.trace_id if self._span else _trace_id(scope["headers"])
            try:
                self._log.info(
                    "request",
                    method=scope["method"],
                    path=quote(scope["path"]),
                    status=self.status,
                    ms=round((time.perf_counter() - self._started) * 1000, 2),
                    request_id=self.request_id,
                    **(dict(work.fields()) if work is not None else _of_model(scope)),
                    **({"late_status": late} if (late := scope.get(problems.LATE)) else {}),
                    **({"trace_id": trace} if trace else {}),
                    **({"api_key": caller} if caller else {}),
                )
            except Exception:  # as above; `suppress` would cost each request half a microsecond
                LOST.add(1)


class Telemetry:
    """ASGI middleware: keeps a `Record` of each request, and answers uncaught errors.

    Each answer gets the `security_headers` that it lacks. Without `is_logged`, only unexpected
    errors are logged, not each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        origins: Origins | None = None,
        tracing: Tracing | None = None,
        *,
        is_logged: bool = True,
    ) -> None:
        self._app, self._metrics, self._origins = app, metrics, origins
        self._tracing, self._is_logged = tracing, is_logged
        self._log = structlog.get_logger().bind()  # once, not for each request

    def record(self, scope: Scope, started: float) -> Record:
        """Start a request's record. Its head arrived at `started`, a time of `perf_counter`."""
        span = None
        if self._tracing is not None:
            try:
                span = self._tracing.begin(scope, started)
            except Exception:  # no trace decides anything
                LOST.add(1)
        return Record(
            scope,
            started,
            self._metrics,
            self._log,
            self._origins,
            span,
            is_logged=self._is_logged,
        )

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

        if self._origins is not None and scope["method"] == "OPTIONS":
            allowed = self._origins.preflight(scope["headers"])
            if allowed is not None:
                scope["operation"] = "preflight"
                try:
                    await named({"type": "http.response.start", "status": 204, "headers": allowed})
                    await named({"type": "http.response.body"})
                finally:
                    record.over()
                return
        try:
            await self._app(scope, receive, named)
        except Exception:
            record.failed()
            if not record.status:
                await problems.unexpected(scope)(scope, receive, named)
        finally:
            try:
                if (late := scope.get(problems.LATE)) is not None:
                    record.ended_late(late)
            finally:
                record.over()
