"""The tensors of a recipe's JSON, whether or not it is valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from fanin.errors import Fault, RecipeError, pointer
from fanin.names import MAX_NAMES, count

MEMBERS = ("tensors", "repeated")
"""The members of a recipe that hold tensors, by names and by repeated names."""
MAX_FAULTS = 100
"""Most faults that an error reports: beyond them, finding near names for each would take minutes."""


def check_sizes(document: Mapping[str, Any]) -> None:
    """Refuse objects with more than `MAX_FAULTS` fields, and more tensors than a file can have."""
    distinct = {id(each): each for _, _, each in members(document)}
    if any(isinstance(each, Mapping) and len(each) > MAX_FAULTS for each in (document, *distinct.values())):
        for field, name, each in chain([("", "", document)], members(document)):
            if isinstance(each, Mapping) and len(each) > MAX_FAULTS:
                path = [field, str(name)] if field else []
                raise RecipeError([Fault(pointer(path), f"{len(each)} fields; an object may have {MAX_FAULTS}")])
    if (total := count_tensors(document)) > MAX_NAMES and "repeated" in document:
        raise RecipeError([Fault("/repeated", f"{total} tensors; no file has more than {MAX_NAMES}")])


def count_tensors(document: Any) -> int:
    """How many tensors a recipe's JSON has; repeated ones are counted and not written out."""
    return len(_tensors(document, "tensors")) + sum(map(count, _tensors(document, "repeated")))


def members(document: Any) -> Iterator[tuple[str, Any, Any]]:
    """Field, name and tensor of all that a recipe's JSON has, whether or not it is one."""
    for field in MEMBERS:
        for name, tensor in _tensors(document, field).items():
            yield field, name, tensor


def _tensors(document: Any, field: str) -> Mapping[str, Any]:
    """Return the tensors in one of `MEMBERS`, by name; nothing if the document has none there."""
    found = document.get(field) if isinstance(document, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def plain_shapes(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a recipe that a program wrote, with each shape as a list or tuple: an integer is one axis.

    JSON has no such shapes. Tensors that are one object stay one.
    """
    converted: dict[int, Any] = {}

    def plain(tensor: Any) -> Any:
        if not isinstance(tensor, Mapping) or isinstance(tensor.get("shape", ()), list | tuple):
            return tensor
        if id(tensor) not in converted:
            converted[id(tensor)] = {**tensor, "shape": _sizes(tensor["shape"])}
        return converted[id(tensor)]

    if "tensors" not in document:
        only: Mapping[str, Any] = plain(document)
        return only
    found = {field: document[field] for field in MEMBERS if isinstance(document.get(field), Mapping)}
    return {**document, **{field: {name: plain(each) for name, each in found[field].items()} for field in found}}


def _sizes(shape: Any) -> Any:
    """Return the sizes of a shape as a list; return anything else unchanged."""
    if hasattr(shape, "tolist"):  # an array or a number of NumPy, torch or JAX
        shape = shape.tolist()
    if isinstance(shape, int) and not isinstance(shape, bool):
        return [shape]
    return list(shape) if isinstance(shape, Sequence) and not isinstance(shape, str | bytes) else shape
