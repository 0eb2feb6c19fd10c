"""Dialects: translate the initializers of torch, Keras and JAX, under their names there, into schemes.

Each function of `dialects.torch`, `dialects.keras` and `dialects.jax` has the name, the parameters and the defaults of
one initializer. It returns the equivalent tensor members, with the fans, bounds and truncation of that library.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

from pydantic import ValidationError, validate_call

from fanin.dialects.jax import JAX
from fanin.dialects.keras import KERAS
from fanin.dialects.library import DialectError, Initializer, Library, Members
from fanin.dialects.torch import TORCH
from fanin.schemes.base import as_integer
from fanin.validation import reason

__all__ = ["DIALECTS", "Dialect", "DialectError", "in_its_words", "parameters_of", "translate"]

Dialect = Literal["fanin", "torch", "keras", "jax"]

DIALECTS: dict[str, Library] = {"torch": TORCH, "keras": KERAS, "jax": JAX}
"""The libraries whose names a recipe may use."""
_SHARED = ("shape", "dtype", "scheme", "dialect")
"""Members that mean the same in every dialect."""


def translate(tensor: Mapping[str, Any], dialect: str) -> Members:
    """Return the members of the tensor without a dialect.

    Raises:
        DialectError: the library has no such initializer, or the initializer no such parameters.
    """
    initializer = _initializer(tensor, dialect)
    if initializer is None:
        known = ", ".join(DIALECTS[dialect])
        raise DialectError(
            ["scheme"], f"{dialect} has no such initializer. The dialect has {known}. Or give dialect fanin"
        )
    given = {field: value for field, value in tensor.items() if field not in _SHARED}
    kept = {field: tensor[field] for field in ("shape", "dtype") if field in tensor}
    shape = tensor.get("shape")
    sizes = [as_integer(size) for size in shape] if isinstance(shape, list | tuple) else [None]
    if not all(isinstance(size, int) for size in sizes):
        return {**kept, "scheme": "zeros"}  # the validation of the tensor reports the wrong shape
    try:
        return {**kept, **_called(initializer)(tuple(sizes), **given)}
    except ValidationError as error:
        details = error.errors()[0]
        raise DialectError([str(details["loc"][0])], reason(details)) from None


def in_its_words(tensor: Mapping[str, Any], dialect: str, field: str, message: str) -> tuple[str, str]:
    """Return the member and the message of a fault of a translated tensor, in the names of its dialect."""
    initializer = _initializer(tensor, dialect)
    if initializer is None:
        return field, message
    known = parameters_of(initializer)
    theirs = {
        ours: next((name for name in names if name in known), ours)
        for ours, names in DIALECTS[dialect].parameters.items()
    }
    member = theirs.get(field, field)
    if member not in known and member not in _SHARED:
        member = "scheme"
    return member, re.sub(r"\w+", lambda word: theirs.get(word[0], word[0]), message)


def parameters_of(initializer: Initializer) -> dict[str, inspect.Parameter]:
    """Return the parameters of an initializer except the shape, with evaluated annotations."""
    signature = inspect.signature(initializer, eval_str=True)
    return {name: each for name, each in signature.parameters.items() if each.kind is each.KEYWORD_ONLY}


def _initializer(tensor: Mapping[str, Any], dialect: str) -> Initializer | None:
    library, name = DIALECTS[dialect], tensor.get("scheme")
    return library.initializers.get(library.aliases.get(name, name)) if isinstance(name, str) else None


@lru_cache
def _called(initializer: Initializer) -> Initializer:
    """Return the initializer with validation of its parameters."""
    return validate_call(initializer)
