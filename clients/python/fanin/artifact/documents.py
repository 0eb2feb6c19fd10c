"""The JSON documents of an artifact: their keys, their limits and their text."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

VERSION = 1
OWN = ".fanin/"
"""Prefix of the keys of everything that is not a file of the checkpoint."""
PLAN, RECIPE, MANIFEST, DONE = OWN + "plan.json", OWN + "recipe.json", OWN + "manifest.json", OWN + "done/"
PROVENANCE = OWN + "provenance.json"
SIGNATURE = "model.sig"
"""Key of the signature: the name that the tools of OpenSSF use."""
MOST_BYTES = 256 << 20
"""Maximum bytes of a document. The manifest of a million files has fewer."""
RECORD_BYTES = 64 << 10
"""Maximum bytes of the record of an item."""


def canonical(document: Any) -> bytes:
    """Return the one JSON text of a document: sorted, without spaces."""
    # Not rfc8785, which has no integers above 2^53.
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parsed(document: bytes) -> Any:
    """Return the values in a JSON text.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        return json.loads(document)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_integer(value: object) -> TypeGuard[int]:
    """Return whether a value of JSON is an integer from 0 on. Booleans are integers in Python, and not in JSON."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def difference(found: bytes, expected: bytes) -> str:
    """Return a text that names the members of two claims that differ."""
    try:
        ours, theirs = json.loads(expected), parsed(found)
        keys = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    except (ValueError, AttributeError):
        return f"its {PLAN} is not one of Fanin"
    return "; ".join(f"{key} is {_short(theirs.get(key))} there, {_short(ours.get(key))} here" for key in keys)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 200 else text[:197] + "..."
