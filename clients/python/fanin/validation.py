"""Errors of pydantic in the words of this library. `recipe.faults`, `blocks` and the dialects share them."""

from __future__ import annotations

from pydantic_core import ErrorDetails

_REASONS = {
    "extra_forbidden": "unknown field",
    "unexpected_keyword_argument": "unknown field",
    "missing": "this field is required",
    "missing_keyword_only_argument": "this field is required",
    "union_tag_invalid": "unknown scheme; `fanin schemes` lists all",
    "union_tag_not_found": "a tensor needs a scheme; `fanin schemes` lists all",
}


def reason(details: ErrorDetails) -> str:
    """Return what is wrong, as the author of a recipe reads it."""
    return _REASONS.get(details["type"], details["msg"])


def blamed(details: ErrorDetails) -> list[str | int]:
    """Return what a validator of ours adds to the path of an error: a path within the value, and a field."""
    context = details.get("ctx", {})
    return [*context.get("path", []), *([context["field"]] if context.get("field") else [])]
