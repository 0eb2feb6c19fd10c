"""Redaction: removes secrets that a client has sent in the wrong place from output."""

from __future__ import annotations

import logging
import re

_KEY = re.compile(r"fanin(?:_|%5[Ff])[0-9a-f]{12}(?:_|%5[Ff])\w*", re.ASCII)
_TOKEN = re.compile(r"eyJ[\w-]+(\.[\w.-]*)?", re.ASCII)
"""Pattern of tokens. It also matches a text that only begins like a token and has no dot: searching again from each of
its letters would take seconds for a long path."""


def redact(text: str) -> str:
    """Return the text without anything that has the form of an API key or a JSON web token, complete or truncated."""
    return _TOKEN.sub(lambda found: found[0] if found[1] is None else "[secret]", _KEY.sub("[secret]", text))


class RedactingFilter(logging.Filter):
    """Removes secrets from log messages. It is a filter of handlers, so that it sees the records of all loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        # Uvicorn's formatters need the arguments separately, so they are not merged into the message.
        if any(isinstance(each, str) and redact(each) != each for each in arguments):
            record.args = tuple(redact(each) if isinstance(each, str) else each for each in arguments)
        if isinstance(record.msg, str):
            record.msg = redact(record.msg)
        return True
