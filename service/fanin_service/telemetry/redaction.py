"""Redaction: secrets that a client put where they do not belong are not repeated."""

from __future__ import annotations

import logging
import re

_KEY = re.compile(r"fanin(?:_|%5[Ff])[0-9a-f]{12}(?:_|%5[Ff])\w*", re.ASCII)
_TOKEN = re.compile(r"eyJ[\w-]+(\.[\w.-]*)?", re.ASCII)
"""Matches as well what only begins like a token and has no dot: to look for the next one at each of its letters would
take seconds for a long path."""


def redact(text: str) -> str:
    """The text without anything that has the form of an API key or a JSON web token, whole or cut off."""
    return _TOKEN.sub(lambda found: found[0] if found[1] is None else "[secret]", _KEY.sub("[secret]", text))


class RedactingFilter(logging.Filter):
    """Takes secrets out of messages; for handlers, so that it sees every logger's."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        # Uvicorn's formatters want the arguments one by one.
        if any(isinstance(each, str) and redact(each) != each for each in arguments):
            record.args = tuple(redact(each) if isinstance(each, str) else each for each in arguments)
        if isinstance(record.msg, str):
            record.msg = redact(record.msg)
        return True
