"""Logs: one line for each event, as JSON or as text. No client can forge a line."""

from __future__ import annotations

import json
import logging
from asyncio import CancelledError
from datetime import UTC, datetime
from typing import Any, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from fanin.terminal import printable
from fanin_service.access.principal import ANONYMOUS
from fanin_service.context import RequestContext, current
from fanin_service.telemetry.redaction import RedactingFilter
from fanin_service.telemetry.stderr import StandardErrorHandler

_RESERVED = frozenset((*RESERVED_ATTRS, "color_message"))
"""Attributes of records that are not fields; `color_message` is uvicorn's."""

_access = logging.getLogger("fanin_service.access")


def config(format: Literal["console", "json"], level: str) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig`: all lines go to standard error."""
    level = level.upper()
    formatter = {"json": JsonLines, "console": ConsoleLines}[format]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request": {"()": RequestFilter},
            "redacted": {"()": RedactingFilter},
            "cut": {"()": CutFilter},
        },
        "formatters": {"lines": {"()": formatter}},
        "handlers": {
            "stderr": {
                "()": StandardErrorHandler,
                "formatter": "lines",
                "filters": ["request", "redacted", "cut"],
            }
        },
        "loggers": {"fanin_service": {"level": level}, "uvicorn": {"level": level}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


def access(context: RequestContext, *, quiet: bool) -> None:
    """Log a request at its end, in one line. It has no header, no query, and no path without a route.

    A `quiet` request is logged at level debug unless it failed.
    """
    failed = context.status is None or context.status >= 400
    level = logging.DEBUG if quiet and not failed else logging.INFO
    if not _access.isEnabledFor(level):
        return
    part = context.part
    fields = {
        "method": context.method,
        "route": context.route,
        "status": context.status,
        "sent_bytes": context.sent_bytes,
        "seconds": round(context.seconds, 6),
        "first_byte_seconds": context.first_byte_seconds and round(context.first_byte_seconds, 6),
        "recipe": context.recipe,
        "range": part and f"{part.start}-{part.stop - 1}",
        "client": None if context.principal is ANONYMOUS else context.principal.name,
        "address": context.address,
        "problem": context.problem,
        "ended": context.ended,
    }
    message = f"{context.method} {context.route or '-'} {context.status or '-'}"
    extra = {name: value for name, value in fields.items() if value is not None}
    # Logger.log would search the stack for the caller's line, which is always this one and in no format.
    _access.handle(_access.makeRecord(_access.name, level, __file__, 0, message, (), None, extra=extra))


class RequestFilter(logging.Filter):
    """Adds the ids of the request and of its trace to every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if context := current():
            record.request_id = context.request_id
            if context.trace_id:
                record.trace_id = context.trace_id
        return True


class CutFilter(logging.Filter):
    """Drops the tracebacks of requests that a stopping server has cancelled: their own lines report that."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], CancelledError))


class JsonLines(JsonFormatter):
    """One JSON object a line, in ASCII."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            reserved_attrs=sorted(_RESERVED),
            timestamp=True,
        )


class ConsoleLines(logging.Formatter):
    """One line for people: time, level, logger, message, and fields as name=value. Tracebacks follow, indented."""

    def format(self, record: logging.LogRecord) -> str:
        fields = [f"{name}={_value(value)}" for name, value in vars(record).items() if name not in _RESERVED]
        head = (_time(record), f"{record.levelname:7}", record.name, printable(record.getMessage()))
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        return "\n    ".join([" ".join([*head, *fields]), *map(printable, trace.splitlines())])


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _value(value: object) -> str:
    text = printable(str(value))
    return json.dumps(text) if " " in text or '"' in text or not text else text
