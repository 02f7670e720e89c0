"""The log: events of our own and of libraries → lines of one form → `log_writer` → stderr.

A log call never blocks and never raises, even if stderr fails.
"""

import atexit
import json
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, MutableMapping
from types import FrameType
from typing import Any

import orjson
import structlog

from service.monitoring.log_writer import LOST, LineStream, LogWriter, encoded

Event = MutableMapping[str, Any]


class Log:
    """A logger of structlog whose calls never raise, however structlog is configured.

    Under another configuration than ours the log may be a stream that is closed, say.
    """

    def __init__(self) -> None:
        self._log = structlog.get_logger()

    def debug(self, event: str, **fields: Any) -> None:
        self._tell("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._tell("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._tell("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._tell("error", event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Log an error with the traceback of the exception that is being handled."""
        self._tell("exception", event, fields)

    def _tell(self, method: str, event: str, fields: Mapping[str, Any]) -> None:
        try:
            getattr(self._log, method)(event, **fields)
        except Exception:
            LOST.add(1)


def configure(level: str, style: str) -> None:
    """Log to stderr, as text or as a JSON object a line; `auto` is text on a terminal.

    The records of libraries in `logging`, and text written to `sys.stderr`, go the same way.
    Queued lines are written before the process ends.
    """
    end()
    original: Any = sys.stderr
    descriptor = _descriptor(original)
    is_terminal = descriptor is not None and os.isatty(descriptor)
    as_json = style == "json" or (style == "auto" and not is_terminal)
    common: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    own: Callable[..., str | bytes]  # events of our own, of which there may be thousands a second
    others: Any
    if as_json:
        common.append(structlog.processors.format_exc_info)
        own = structlog.processors.JSONRenderer(serializer=_bytes)
        others = structlog.processors.JSONRenderer()
    else:
        common.append(_printable)
        own = others = structlog.dev.ConsoleRenderer(
            colors=is_terminal, exception_formatter=structlog.dev.plain_traceback
        )
    render = _safe([*common, own])
    writer = LogWriter(descriptor, lambda lines: render(None, "warning", _lost(lines)))
    sink = _Sink(writer.write)
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: sink,
    )
    handler = _Handler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, others],
        )
    )
    logging.basicConfig(level=threshold, handlers=[handler], force=True)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata that no network sees
    _current.take_over(writer, None if descriptor is None else original)


def end() -> None:
    """Write the queued lines, and restore `sys.stderr`. Later lines are written directly."""
    _current.give_back()


class _Current:
    """The log writer of this process, and the streams and handlers that were redirected to it."""

    def __init__(self) -> None:
        self._writer: LogWriter | None = None
        self._stream: LineStream | None = None
        self._moved: list[logging.StreamHandler[Any]] = []
        self._is_prepared = False

    def take_over(self, writer: LogWriter, original: Any) -> None:
        self._writer = writer
        if original is not None:
            self._stream = LineStream(writer, original)
            sys.stderr = self._stream
            for handler in _stream_handlers():  # torch has one
                if handler.stream is original:
                    handler.setStream(self._stream)
                    self._moved.append(handler)
        if not self._is_prepared:
            self._is_prepared = True
            atexit.register(end)
            os.register_at_fork(after_in_child=self._restart)
            _end_on_sigterm()

    def give_back(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        if self._stream is not None:
            for handler in self._moved:
                handler.setStream(self._stream.original)
            self._moved.clear()
            if sys.stderr is self._stream:
                sys.stderr = self._stream.original
            self._stream = None

    def _restart(self) -> None:
        if self._writer is not None:
            self._writer.restart()


_current = _Current()


class _Sink:
    """The logger behind structlog: each method, named by a level, writes a rendered line."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = write


class _Handler(logging.Handler):
    """A handler that writes the `logging` records of libraries to the log."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._writer.write(encoded(self.format(record) + "\n"))
        except Exception:  # of arguments that don't fit the text, say
            LOST.add(1)


def _safe(processors: list[Any]) -> Callable[[Any, str, Event], bytes]:
    """Combine structlog processors into one that returns an encoded line and never raises."""

    def render(logger: Any, method: str, event: Event) -> bytes:
        name = event.get("event")
        try:
            line: Any = event
            for process in processors:
                line = process(logger, method, line)
            return line if isinstance(line, bytes) else encoded(line + "\n")
        except Exception as error:  # a value that can't be shown, say
            failed = {
                "event": "log line not rendered",
                "of": str(name),
                "error": type(error).__name__,
            }
            return orjson.dumps(failed, option=orjson.OPT_APPEND_NEWLINE)

    return render


def _lost(lines: int) -> dict[str, Any]:
    return {"event": "log lines lost", "lines": lines}


def _bytes(event: Any, **options: Any) -> bytes:
    try:
        return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE, **options)
    except TypeError:  # names of files that are no UTF-8
        return json.dumps(event, **options).encode() + b"\n"


def _printable(_logger: Any, _method: str, event: Event) -> Event:
    """Escape values that are not printable: they could forge a line, or control a terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and name != "exception":
            event[name] = ascii(value)[1:-1]
    return event


def _descriptor(stream: Any) -> int | None:
    """Return the file descriptor of a stream; None if it is closed, or is no file of the system."""
    try:
        descriptor: int = stream.fileno()
        os.fstat(descriptor)
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor


def _stream_handlers() -> list["logging.StreamHandler[Any]"]:
    """Return the stream handlers of all loggers but the root, except those that write to files."""
    loggers = [
        each
        for each in logging.root.manager.loggerDict.values()
        if isinstance(each, logging.Logger)
    ]
    handlers = [handler for each in loggers for handler in each.handlers]
    return [
        each
        for each in handlers
        if isinstance(each, logging.StreamHandler) and not isinstance(each, logging.FileHandler)
    ]


def _end_on_sigterm() -> None:
    """Let SIGTERM write the queued lines before it ends the process.

    Nothing is changed if SIGTERM has a handler already, or outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        end()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, handle)
