"""JSON as RFC 8259 has it, and not as Python reads it: no name twice, no NaN, UTF-8."""

from __future__ import annotations

import json
import marshal
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from fanin.errors import Fault, RecipeError, pointer, shown
from fanin.float_mode import FLUSHED, flushes

_MANY = 100_000
_LEAST_BYTES = {"[": ("lists", 8), "{": ("objects", 16)}
"""Lists and objects that any text may have, and the minimum number of bytes for each in a text with more.

The shortest tensor with a list has 33 bytes, and the shortest part of `blocks` has 25. Python's parser lets no other
thread run meanwhile. 8 MB of `[],` or `{},` stop a server for a second.
"""


def parse_json(text: str | bytes) -> Any:
    """JSON as RFC 8259 has it: no duplicate names, no NaN or Infinity, UTF-8.

    Equal objects in the members of the document are one object: most of a recipe's tensors are equal to others, and are
    then validated once.

    Raises:
        RecipeError: it is not.
    """
    for bracket, (what, least) in _LEAST_BYTES.items():
        found = text.count(bracket) if isinstance(text, str) else text.count(bracket.encode())
        if found > max(_MANY, len(text) // least):
            raise RecipeError([Fault("", f"{found} {what} in {len(text)} bytes; no recipe has that many")])
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        document = json.loads(text, parse_constant=_refuse_constant, parse_float=_float if flushes() else None)
        _share(document)
        repetition = None if _names_are_unique(document, text) else _repetition(text)
    except RecipeError:
        raise
    except UnicodeDecodeError as error:
        raise RecipeError([Fault("", f"the text is not UTF-8: byte {error.start} cannot be decoded")]) from None
    except RecursionError:
        raise RecipeError([Fault("", "the JSON is nested too deeply")]) from None
    except ValueError as error:
        raise RecipeError([Fault("", f"not JSON: {error}")]) from None
    if repetition:
        raise RecipeError([repetition])
    return document


def _share(document: Any) -> None:
    """Make equal objects in the members of `document` one object."""
    members = document if isinstance(document, dict) else {}
    known: dict[bytes, Any] = {}
    for field, member in members.items():
        # Objects are compared as texts: 1, 1.0 and true are equal. Version 2 of these has no references.
        with suppress(ValueError):  # nested too deeply
            if isinstance(member, dict):
                members[field] = {
                    name: known.setdefault(marshal.dumps(value, 2), value) if isinstance(value, dict) else value
                    for name, value in member.items()
                }


def _names_are_unique(document: Any, text: str) -> bool:
    """Return whether `text`, from which `document` was read, has as many colons as that has members.

    Then no name stands twice in one object: each member has a colon in the text, and of two with one name `document`
    has one. False does not say that a name stands twice, since texts may have colons.
    """
    try:
        return text.count(":") == _members(document)
    except RecursionError:
        return False


def _members(value: Any) -> int:
    """Return the number of members of all objects in a JSON value."""
    if isinstance(value, dict):
        return len(value) + _members_of(value.values())
    return _members_of(value) if isinstance(value, list) else 0


def _members_of(values: Iterable[Any]) -> int:
    counts: dict[int, int] = {}
    found = {}
    for value in values:
        if isinstance(value, dict | list):
            key = id(value)
            found[key] = value
            counts[key] = counts.get(key, 0) + 1
    return sum(count * _members(found[key]) for key, count in counts.items())


class _Repeating(dict[str, Any]):
    """A JSON object in which a name stands twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)


def _repetition(text: str) -> Fault | None:
    """The first name that stands twice in one object of a JSON text."""
    repeating: list[_Repeating] = []

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) < len(pairs):
            document = _Repeating(pairs)
            repeating.append(document)
        return document

    document = json.loads(text, object_pairs_hook=kept)
    return _first(document) if repeating else None


def _first(document: Any) -> Fault | None:
    """The first name that stands twice in one object of `document`."""
    if isinstance(document, _Repeating):
        return Fault(pointer([document.name]), "this name is twice in one object", shown(document.name))
    if not isinstance(document, dict | list):
        return None
    for name, member in document.items() if isinstance(document, dict) else enumerate(document):
        if fault := _first(member):
            return Fault(pointer([name]) + fault.pointer, fault.detail, fault.value)
    return None


def _float(text: str) -> float:
    """Return a number in a thread that takes subnormal numbers for zero."""
    value = float(text)
    if not value and text.lower().partition("e")[0].strip("-0."):
        raise RecipeError([Fault("", f"{shown(text)}: {FLUSHED}")])
    return value


def _refuse_constant(name: str) -> Any:
    raise RecipeError([Fault("", f"{name} is not JSON; numbers are finite")])
