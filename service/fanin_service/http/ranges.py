"""Conditional and range requests: select the part of a file for a GET or HEAD (RFC 9110 sections 13 and 14).

These are pure functions from header texts to a verdict. Ranges are half-open; `ByteRange.content_range` converts to
HTTP's inclusive form.

A Range header with several ranges is ignored, and the response is the complete file. RFC 9110 section 14.2 allows it,
so every client that sends one must cope, and object stores respond in the same way. A `multipart/byteranges` response
would help no reader of safetensors files: they merge adjacent ranges and request the others in parallel. 416 would say
that the ranges lie outside the file, which is false. The response states its length, and a client that disconnects has
cost two chunks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

_RANGE_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_TAG_LIST = re.compile(rf"[ \t,]*{_ENTITY_TAG.pattern}(?:[ \t]*,[ \t,]*{_ENTITY_TAG.pattern})*[ \t,]*")
"""A list of entity tags, with empty elements as a recipient must accept them (RFC 9110 section 5.6.1.2)."""
_DATES = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y")
_EXACT_DIGITS = 19
"""Number of decimal digits of the largest file: 2^63 - 1 has this many."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes [start, stop) of a file, at least one."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        """Return the Content-Range value of this part of a file of `size` bytes (RFC 9110 section 14.4)."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


class Verdict(Enum):
    """The response to a request that does not get a part of the file."""

    WHOLE = auto()
    """The complete file (200)."""
    NOT_MODIFIED = auto()
    """The client already has the file (304)."""
    PRECONDITION_FAILED = auto()
    """No content: the client requires another version of the file (412)."""
    UNSATISFIABLE = auto()
    """No content: the range contains no byte of the file (416)."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional headers of a request. Each is a sequence of the values of all its lines."""

    if_match: Sequence[str] = ()
    if_none_match: Sequence[str] = ()
    if_range: Sequence[str] = ()
    range: Sequence[str] = ()
    if_modified_since: Sequence[str] = ()
    if_unmodified_since: Sequence[str] = ()


def select(
    method: str, conditions: Conditions, etag: str, size: int, modified: int | None = None
) -> ByteRange | Verdict:
    """Return the part of a file of `size` bytes that a GET or HEAD gets, or the verdict. `etag` is its strong entity
    tag.

    `modified` is its modification date in seconds since 1970. Without one, conditions on dates are ignored (RFC 9110
    sections 13.1.3 and 13.1.4). Conditions are evaluated in the order of section 13.2.2.
    """
    since, unmodified_since = _date(conditions.if_modified_since), _date(conditions.if_unmodified_since)
    if conditions.if_match:
        if not _matches(conditions.if_match, etag, weakly=False):
            return Verdict.PRECONDITION_FAILED
    elif modified is not None and unmodified_since is not None and modified > unmodified_since:
        return Verdict.PRECONDITION_FAILED
    if conditions.if_none_match:
        if _matches(conditions.if_none_match, etag, weakly=True):
            return Verdict.NOT_MODIFIED
    elif modified is not None and since is not None and modified <= since:
        return Verdict.NOT_MODIFIED
    # Range is defined for GET only (RFC 9110 section 14.2). Two Range lines are not a valid header.
    if method != "GET" or len(conditions.range) != 1:
        return Verdict.WHOLE
    # A date, a weak tag or another tag: the client's part may belong to another file, so it gets all of it (section
    # 13.1.5).
    if conditions.if_range and list(conditions.if_range) != [etag]:
        return Verdict.WHOLE
    return parse_range(conditions.range[0], size)


def permits(if_match: Sequence[str], if_none_match: Sequence[str], *, exists: bool) -> bool:
    """Return whether a PUT or DELETE of a resource without an entity tag is allowed (RFC 9110 sections 13.1.1 and
    13.1.2).

    Only `*` matches such a resource, if it exists. Each header is a sequence of the values of all its lines. A
    malformed If-None-Match, such as two lines with `*`, forbids any change of an existing resource.
    """
    if if_match and not (exists and _matches(if_match, "", weakly=False)):
        return False
    return not (if_none_match and exists) or _TAG_LIST.fullmatch(_joined(if_none_match)) is not None


def parse_range(header: str, size: int) -> ByteRange | Verdict:
    """Return the single range that a Range header names, cut to a file of `size` bytes (RFC 9110 section 14.1.2).

    Return `Verdict.WHOLE` if the header must or may be ignored: another unit, a malformed set, several ranges. Return
    `Verdict.UNSATISFIABLE` if the range contains no byte of the file.
    """
    unit, equals, ranges = header.partition("=")
    if not equals or unit.lower() != "bytes":
        return Verdict.WHOLE
    # Empty elements of a list are ignored (RFC 9110 section 5.6.1.2).
    specs = [spec for part in ranges.split(",") if (spec := part.strip(" \t"))]
    match = _RANGE_SPEC.fullmatch(specs[0]) if len(specs) == 1 else None
    if match is None:
        return Verdict.WHOLE
    first, last = match.groups()
    if first:
        start = _position(first)
        if last and _position(last) < start:
            return Verdict.WHOLE
        stop = min(_position(last) + 1, size) if last else size
        return ByteRange(start, stop) if start < size else Verdict.UNSATISFIABLE
    if not last:
        return Verdict.WHOLE
    length = min(_position(last), size)
    return ByteRange(size - length, size) if length else Verdict.UNSATISFIABLE


def _position(digits: str) -> int:
    """Return the number that ASCII digits express. Numbers beyond every file may become others, but keep their order.

    int() refuses thousands of decimal digits, but accepts hexadecimal ones. Longer numbers, read as hexadecimal, stay
    greater.
    """
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _EXACT_DIGITS else int(digits, 16)


def _date(values: Sequence[str]) -> int | None:
    """Return the seconds since 1970 of one HTTP date (RFC 9110 section 5.6.7); None for anything else."""
    if len(values) != 1:
        return None
    for form in _DATES:
        with suppress(ValueError, OverflowError):
            return int(datetime.strptime(values[0].strip(" \t"), form).replace(tzinfo=UTC).timestamp())
    return None


def _matches(values: Sequence[str], etag: str, *, weakly: bool) -> bool:
    """Return whether an If-Match or If-None-Match header is `*` or lists this strong tag (RFC 9110 section 8.8.3.2)."""
    text = _joined(values)
    if text == "*":
        return True
    tags: list[str] = _ENTITY_TAG.findall(text) if _TAG_LIST.fullmatch(text) else []
    return etag in ([tag.removeprefix("W/") for tag in tags] if weakly else tags)


def _joined(values: Sequence[str]) -> str:
    """Return the value of a header from the values of its lines (RFC 9110 section 5.3)."""
    return ", ".join(values).strip(" \t")
