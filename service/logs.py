"""The log: events of our own and of libraries → lines of one form on stderr."""

import json
import logging
import sys
import warnings
from typing import Any

import orjson
import structlog


def configure(level: str, style: str) -> None:
    """Log to stderr, as text or as a JSON object a line; `auto` is text on a terminal.

    What libraries log through `logging` takes the same form.
    """
    as_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    common: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if as_json else []),
    ]
    own: Any  # events, of which there may be thousands a second: as bytes these cost half
    others: Any
    factory: Any
    if as_json:
        own = structlog.processors.JSONRenderer(serializer=_bytes)
        others = structlog.processors.JSONRenderer()
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)
    else:
        own = others = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        factory = structlog.PrintLoggerFactory(sys.stderr)
    threshold = getattr(logging, level.upper())
    structlog.configure(
        processors=[*common, own],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=factory,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=common,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, others],
        )
    )
    logging.basicConfig(level=threshold, handlers=[handler], force=True)
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata that no network sees


def _bytes(event: Any, **options: Any) -> bytes:
    try:
        return orjson.dumps(event, **options)
    except TypeError:  # names of files that are no UTF-8
        return json.dumps(event, **options).encode()
