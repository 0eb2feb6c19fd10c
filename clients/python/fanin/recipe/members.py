"""The tensors of a recipe's JSON, whether or not it is valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from fanin.errors import Fault, RecipeError, pointer
from fanin.names import MAX_NAMES, count

MEMBERS = ("tensors", "repeated")
"""The members of a recipe that hold tensors, by names and by repeated names."""
_MAX_ITEMS = 1000
"""Most items of a list. The longest list of a recipe has 256."""
MAX_FAULTS = 100
"""Most faults that an error reports: beyond them, finding near names for each would take minutes."""


def check_sizes(document: Mapping[str, Any]) -> None:
    """Check the sizes of a recipe's objects and lists, and its number of tensors.

    Python writes or hashes a list of millions of items without letting another thread run. So refuse it before that.

    Raises:
        RecipeError: an object has so many fields, or a list so many items, that no recipe has it, or no file has so
            many tensors.
    """
    checked: set[int] = set()
    for field, name, tensor in chain([("", "", document)], members(document)):
        level: list[tuple[list[str], Any]] = [([field, str(name)] if field else [], tensor)]
        while level:
            path, each = level.pop()
            if id(each) in checked:
                continue
            checked.add(id(each))
            if isinstance(each, Mapping):
                if len(each) > MAX_FAULTS:
                    raise RecipeError([Fault(pointer(path), f"{len(each)} fields; nothing in a recipe has so many")])
                found: Iterator[tuple[Any, Any]] = iter(each.items())
            elif isinstance(each, list | tuple):
                if len(each) > _MAX_ITEMS:
                    raise RecipeError([Fault(pointer(path), f"{len(each)} items; no list in a recipe has so many")])
                found = enumerate(each)
            else:
                continue
            level.extend(
                ([*path, str(key)], value)
                for key, value in found
                if isinstance(value, Mapping | list | tuple) and (path or key not in MEMBERS or isinstance(value, list))
            )
    if (total := count_tensors(document)) > MAX_NAMES and "repeated" in document:
        raise RecipeError([Fault("/repeated", f"{total} tensors; no file has more than {MAX_NAMES}")])


def count_tensors(document: Any) -> int:
    """How many tensors a recipe's JSON has; repeated ones are counted and not written out."""
    return sum(count(name) if field == "repeated" else 1 for field, name, _ in members(document))


def members(document: Any) -> Iterator[tuple[str, Any, Any]]:
    """Field, name and tensor of all that a recipe's JSON has, whether or not it is one."""
    for field in MEMBERS:
        found = document.get(field) if isinstance(document, Mapping) else None
        for name, tensor in found.items() if isinstance(found, Mapping) else ():
            yield field, name, tensor


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
