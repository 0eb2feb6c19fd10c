"""Errors of pydantic as faults of a recipe, in the words of Fanin or of the dialect that a tensor is in."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from fanin.dialects import DIALECTS, in_its_words
from fanin.dtypes import STORAGE
from fanin.errors import Fault, pointer, shown
from fanin.recipe.defaults import is_valid
from fanin.recipe.members import MAX_FAULTS, MEMBERS
from fanin.schemes import ALIASES, SCHEMES
from fanin.validation import blamed, reason


def faults(error: ValidationError, document: Mapping[str, Any], prefix: tuple[str, ...]) -> list[Fault]:
    """Return the first faults of a document; `prefix` is the path in it that its author did not write."""
    return [_fault(details, document, prefix) for details in error.errors(include_url=False)[:MAX_FAULTS]]


def _fault(details: ErrorDetails, document: Mapping[str, Any], prefix: tuple[str, ...]) -> Fault:
    path = list(details["loc"])
    context = details.get("ctx", {})
    # Inside a tensor the union puts the scheme's name in the path; a bad tensor name is marked "[key]".
    if len(path) > 2 and path[0] in MEMBERS:
        del path[2]
    path += blamed(details)
    detail, value = reason(details), details["input"]
    match details["type"]:
        case "union_tag_invalid":
            path.append("scheme")
            value = context["tag"]
            detail = unknown_scheme(str(value))
        case "union_tag_not_found":
            path.append("scheme")
            value = None
        case "literal_error" if path[-1] == "dtype" and _SIX_BITS.fullmatch(str(value)):
            detail = f"{value}: {_UNDEFINED}"
        case "literal_error" if path[-1] == "dtype" and (near := _storage_type(value)):
            detail += f"; did you mean {near}?"
        case "int_type" if "shape" in path and re.fullmatch(r"[0-9]+(?:[xX*][0-9]+)+", str(value)):
            detail = f"must be an integer; sizes are separated by commas: {','.join(re.findall('[0-9]+', value))}"
        case "dict_type" if len(path) == 1 and path[0] in MEMBERS:
            detail = "must be an object of tensors by name"
        case "missing":
            value = None
    if details["type"] != "dialect":
        path, detail = _as_spelled(path, detail, document)
    if details["type"] in ("formula", "dialect"):
        value = _at(document, path)
    path = path[len(prefix) :] if tuple(path[: len(prefix)]) == prefix else path
    return Fault(pointer(path), detail, shown(value))


_SIX_BITS = re.compile(r"(?:\w+\.)*F(?:LOAT)?6_?(?:E2M3|E3M2)(?:FN)?", re.IGNORECASE)
_UNDEFINED = (
    "safetensors has a name for this type of 6 bits, but neither an order of its bits in a byte nor a reader;"
    " for packed data use the type F4, or quantized tensors such as mxfp4, nvfp4 and mxfp8"
)


def unknown_scheme(name: str) -> str:
    """The message about a name that is not a scheme: the closest scheme, and the dialects that have the name."""
    ours = [*SCHEMES, *ALIASES]
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).strip("_").lower()  # HeNormal, kaiming_normal_
    theirs = [dialect for dialect, library in DIALECTS.items() if name in {*library.initializers, *library.aliases}]
    # A name of a dialect gets no merely similar scheme: torch's trunc_normal_ has other bounds than truncated_normal.
    near = [snake] if snake in ours else [] if theirs else difflib.get_close_matches(snake, ours, n=1)
    meant = [*near, *(f'{name} with "dialect": "{dialect}"' for dialect in theirs)]
    return (
        f"unknown scheme; did you mean {', or '.join(meant)}?" if meant else "unknown scheme; `fanin schemes` lists all"
    )


def _storage_type(value: Any) -> str | None:
    """The storage type that other software calls `value`, such as `float32`, `torch.bfloat16` or `fp16`."""
    name = str(value).lower().rpartition(".")[2].removesuffix("fn")
    name = re.sub("^(bf|f|c|u?i)(loat|p|omplex|nt)", r"\1", name).removesuffix("ean").upper()
    name = re.sub("^F4_E2M1.*", "F4", name.replace("UI", "U"))
    return name if name in STORAGE else None


def _as_spelled(path: list[str | int], detail: str, document: Mapping[str, Any]) -> tuple[list[str | int], str]:
    """The path to a field and what is wrong with it, in the words of the dialect that the tensor is in."""
    tensor = _at(document, path[:2])
    if len(path) < 3 or path[0] not in MEMBERS or not isinstance(tensor, Mapping):
        return path, detail
    dialect, field = tensor.get("dialect", document.get("dialect", "fanin")), str(path[2])
    if dialect == "fanin" or not is_valid("dialect", dialect):
        return path, detail
    member, detail = in_its_words(tensor, dialect, field, detail)
    return [*path[:2], member, *(path[3:] if member == field else [])], detail


def _at(document: Any, path: Sequence[str | int]) -> Any:
    """The member of a document that `path` leads to, or `None`."""
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document
