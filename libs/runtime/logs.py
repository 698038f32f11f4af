"""Structured logs on stderr: JSON where machines read, pretty on a terminal.

Personal data never gets into a log line: the values of the keys in `PERSONAL` are replaced at every
depth, and what database and validation errors repeat of their input is cut out of their texts.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog
from structlog.types import EventDict, Processor

PERSONAL: Final = frozenset(
    {
        "email",
        "name",
        "phone",
        "body",
        "subject",
        "description",
        "comment",
        "requester",
        "custom_fields",
    }
)
REDACTED: Final = "[redacted]"
_DEPTH_MAX = 8
# pydantic repeats the offending value, SQLAlchemy the parameters, PostgreSQL the whole row.
_ECHOES = re.compile(
    r"(input_value=).*?(?=, input_type=)|(\[parameters: ).*?(?=\]\n|\]$)|(Failing row contains ).*",
    re.DOTALL,
)
# These speak at INFO about every poll, request or rebalance.
_CHATTY: Final = ("aiokafka", "kafka", "uvicorn.access", "httpx", "httpcore", "sqlalchemy.engine")


def configure_logs(service: str, log_format: str = "auto", level: str = "info") -> None:
    """Route structlog and the standard library's loggers to stderr in one shape.

    `log_format` is `json`, `pretty` or `auto` (pretty when stderr is a terminal). Every line carries
    `service`, `level`, `logger`, `timestamp` (UTC, real time) and `event`.
    """
    pretty = log_format == "pretty" or (log_format == "auto" and sys.stderr.isatty())
    shared = _route_structlog(service)
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def _route_structlog(service: str) -> list[Processor]:
    """Send structlog's events to the standard library's loggers. Returns the common processors."""

    def add_service(_: Any, __: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_service,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    return shared


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; `name` is the module's `__name__`. Usable before `configure_logs`."""
    if not structlog.is_configured():
        # structlog's own default prints the local variables of a traceback: personal data.
        _route_structlog("bitacora")
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def redact(_: Any, __: str, event: EventDict) -> EventDict:
    """The structlog processor that takes personal data out of a log line."""
    for key, value in event.items():
        if key in PERSONAL:
            event[key] = REDACTED
        elif isinstance(value, str):
            if key in ("exception", "error", "event", "detail"):
                event[key] = without_echoes(value)
        elif isinstance(value, (Mapping, list, tuple)):
            event[key] = _redacted(value, 0)
        elif isinstance(value, BaseException):
            event[key] = without_echoes(f"{type(value).__name__}: {value}")
    return event


def without_echoes(text: str) -> str:
    """An error's text without the input that it repeats."""
    return _ECHOES.sub(lambda m: (m[1] or m[2] or m[3]) + REDACTED, text)


def _redacted(value: Any, depth: int) -> Any:
    if depth > _DEPTH_MAX:
        return REDACTED
    if isinstance(value, (Mapping, MutableMapping)):
        return {
            key: REDACTED if key in PERSONAL else _redacted(inner, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_redacted(inner, depth + 1) for inner in value]
    return value
