"""JSON as RFC 8259 has it, and not as Python reads it: no name twice, no NaN, UTF-8."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from fanin.errors import Fault, RecipeError, pointer, shown

_MANY_LISTS, _BYTES_PER_LIST = 100_000, 8
"""Lists that any text may have, and least bytes for each list of a text with more. The shortest tensor with a list has
33 bytes. Python's parser reads lists without letting another thread run: 8 MB of `[],` stop a server for a second."""
_LONG = 256
"""Most members of a list or an object that is compared as text; no list in a recipe has more."""


def parse_json(text: str | bytes) -> Any:
    """JSON as RFC 8259 has it: no duplicate names, no NaN or Infinity, UTF-8.

    Equal objects of plain values are one object: most of a recipe's tensors are, and are then validated once.

    Raises:
        RecipeError: it is not.
    """
    lists = text.count("[") if isinstance(text, str) else text.count(b"[")
    if lists > max(_MANY_LISTS, len(text) // _BYTES_PER_LIST):
        raise RecipeError([Fault("", f"{lists} lists in {len(text)} bytes; no recipe has that many")])
    repeating: list[_Repeating] = []
    known: dict[str, dict[str, Any]] = {}

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Objects of objects are left alone: their texts together would be quadratic in the document's.
        if len(pairs) <= _LONG and all(map(_is_plain, pairs)):
            text = repr(pairs)
            if text not in known:
                known[text] = made(pairs)
            return known[text]
        return made(pairs)

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) < len(pairs):
            document = _Repeating(pairs)
            repeating.append(document)
        return document

    try:
        document = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=keep,
            parse_constant=_refuse_constant,
        )
        repetition = _repetition(document) if repeating else None
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


class _Repeating(dict[str, Any]):
    """A JSON object in which a name stands twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)


def _repetition(document: Any) -> Fault | None:
    """The first name that stands twice in one object of `document`."""
    if isinstance(document, _Repeating):
        return Fault(pointer([document.name]), "this name is twice in one object", shown(document.name))
    if not isinstance(document, dict | list):
        return None
    for name, member in document.items() if isinstance(document, dict) else enumerate(document):
        if fault := _repetition(member):
            return Fault(pointer([name]) + fault.pointer, fault.detail, fault.value)
    return None


def _is_plain(member: tuple[str, Any]) -> bool:
    """Whether a member of a JSON object is a number, text or constant, or a list of at most `_LONG` of those."""
    value = member[1]
    if isinstance(value, list):
        return len(value) <= _LONG and not any(isinstance(x, dict | list) for x in value)
    return not isinstance(value, dict)


def _refuse_constant(name: str) -> Any:
    raise RecipeError([Fault("", f"{name} is not JSON; numbers are finite")])
