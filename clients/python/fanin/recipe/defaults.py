"""Defaults that a recipe gives for all of its tensors: storage type, layout, dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic_core import PydanticCustomError

from fanin.dialects import Dialect, DialectError, translate
from fanin.dtypes import DTypeName, storage_name
from fanin.recipe.members import MEMBERS
from fanin.schemes import ALIASES, SCHEMES
from fanin.schemes.base import Tensor
from fanin.schemes.fans import KernelLayout

DEFAULTS: dict[str, tuple[str, ...]] = {
    "dtype": get_args(DTypeName),
    "layout": get_args(KernelLayout),
    "dialect": get_args(Dialect),
}
"""The members that a tensor inherits where it does not give its own, and the values of each."""


def is_valid(field: str, value: Any) -> bool:
    """Return whether a member of `DEFAULTS` has one of its values."""
    return isinstance(value, str) and value in DEFAULTS[field]


def hand_down(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with dtype and layout in the tensors that take them, and all schemes in Fanin's own names.

    Raises:
        PydanticCustomError: a tensor is wrong in its dialect.
    """
    given = {field: document[field] for field in DEFAULTS if field in document}
    if "dtype" in given:
        given["dtype"] = storage_name(given["dtype"])
    handed = {field: value for field, value in given.items() if is_valid(field, value)}
    others = {key: document[key] for key in document if key not in handed}
    if "dialect" in others:
        # It is not valid, so nobody knows what the tensors mean.
        return {key: value for key, value in others.items() if key not in MEMBERS} | {"tensors": {}}
    dialect = handed.pop("dialect", "fanin")
    written = {
        field: {
            name: _with_defaults(_translated(field, name, tensor, dialect), handed)
            for name, tensor in document[field].items()
        }
        for field in MEMBERS
        if field in document
    }
    return {**others, **written}


def _translated(field: str, name: Any, tensor: Any, dialect: str) -> Any:
    """The tensor without a dialect."""
    if not isinstance(tensor, Mapping):
        return tensor
    dialect = tensor.get("dialect", dialect)
    try:
        if not is_valid("dialect", dialect):
            raise DialectError(["dialect"], f"unknown dialect; there are {', '.join(DEFAULTS['dialect'])}")
        if dialect != "fanin":
            return translate(tensor, dialect)
    except DialectError as error:
        context = {"reason": str(error), "path": [field, name, *error.path]}
        raise PydanticCustomError("dialect", "{reason}", context) from error
    return {field: value for field, value in tensor.items() if field != "dialect"}


def _with_defaults(tensor: Any, defaults: Mapping[str, Any]) -> Any:
    if isinstance(tensor, Tensor):
        if not defaults:
            return tensor
        tensor = tensor.given()
    if not isinstance(tensor, Mapping):
        return tensor
    name = tensor.get("scheme")
    scheme = SCHEMES.get(ALIASES.get(name, name)) if isinstance(name, str) else None
    if scheme is None:
        return tensor
    wanted = {field: value for field, value in defaults.items() if field in scheme.model_fields}
    if tensor.get("in_axes") is not None or tensor.get("out_axes") is not None:
        wanted.pop("layout", None)
    if "layout" in defaults and "parts" in scheme.model_fields and isinstance(tensor.get("parts"), list | tuple):
        layout = {"layout": defaults["layout"]}
        tensor = {**tensor, "parts": [_with_defaults(part, layout) for part in tensor["parts"]]}
    if "layout" in defaults and "tensor" in scheme.model_fields and isinstance(tensor.get("tensor"), Mapping):
        tensor = {**tensor, "tensor": _with_defaults(tensor["tensor"], {"layout": defaults["layout"]})}
    return {**wanted, **tensor}
