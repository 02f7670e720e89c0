"""What the server tells about its work: a request id on every answer, a log line for each."""

import logging
import random
import re
import sys
import time
import warnings
from collections.abc import Awaitable, Iterable
from typing import Any
from urllib.parse import quote

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors
from service.metrics import Metrics

_HEADER = b"x-request-id"
_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def configure(level: str, style: str) -> None:
    """Log to stderr, as text or as a JSON object a line; `auto` is text on a terminal.

    What libraries log through `logging` takes the same form.
    """
    json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    common: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if json else []),
    ]
    render = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[*common, render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(level=threshold, handlers=[handler], force=True)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata that no network sees


def _given_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The client's, if it is a plain word."""
    for name, value in headers:
        if name == _HEADER and _ACCEPTABLE.fullmatch(value):
            return value.decode()
    return None


def _operation(scope: Scope) -> str:
    """What was asked for, by its name in the OpenAPI document."""
    return scope.get("operation") or getattr(scope.get("route"), "operation_id", None) or "other"


class Telemetry:
    """ASGI middleware: gives requests their id, logs and counts them, answers what nobody caught.

    The id is the client's X-Request-ID if that is a plain word, otherwise a new one. The path and
    the id are the only things from a client that reach the log.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._log = structlog.get_logger().bind()  # once, not for each request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope["headers"]) or f"{random.getrandbits(128):032x}"
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.perf_counter(), 0

        def named(message: Message) -> Awaitable[None]:  # no coroutine around that of `send`
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                elapsed = time.perf_counter() - started
                message["headers"] += (
                    (_HEADER, request_id.encode()),
                    (b"server-timing", b"total;dur=%.3f" % (elapsed * 1000)),
                )
                self._metrics.answered(_operation(scope), status, elapsed)
            return send(message)

        try:
            await self._app(scope, receive, named)
        except Exception:
            self._log.exception("unexpected error", request_id=request_id)
            if not status:
                await errors.unexpected(scope)(scope, receive, named)
        finally:
            if self._log.is_enabled_for(logging.INFO):
                self._log.info(
                    "request",
                    method=scope["method"],
                    path=quote(scope["path"]),
                    status=status,
                    ms=round((time.perf_counter() - started) * 1000, 2),
                    request_id=request_id,
                )
