"""The tensors of a recipe's JSON, whether or not it is valid."""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from fanin.errors import Fault, RecipeError, pointer
from fanin.names import MAX_NAMES, count

MEMBERS = ("tensors", "repeated")
"""The members of a recipe that hold tensors, by names and by repeated names."""
_SCALARS = frozenset({str, int, float, bool, type(None)})
"""The types of JSON's values that have no members."""
_MAX_ITEMS = 1000
"""Most items of a list. The longest list of a recipe has 256."""
_MAX_DEPTH = 500
"""Most objects and lists within one another. A recipe has fewer than ten. Each level copies its path."""
MAX_FAULTS = 100
"""Most faults that an error reports: beyond them, finding near names for each would take minutes."""


def check_sizes(document: Mapping[str, Any]) -> None:
    """Check the sizes of a recipe's objects and lists, and its number of tensors.

    Python writes or hashes a list of millions of items without letting another thread run. So refuse it before that.

    Raises:
        RecipeError: an object has too many fields for any recipe, or a list too many items; or the document has too
            many tensors for any file.
    """
    distinct = {id(each): each for _, _, each in members(document)}
    if any(_oversized(each, []) for each in (document, *distinct.values())):
        for field, name, each in chain([("", "", document)], members(document)):
            if fault := _oversized(each, [field, str(name)] if field else []):
                raise RecipeError([fault])
    if (total := count_tensors(document)) > MAX_NAMES and "repeated" in document:
        raise RecipeError([Fault("/repeated", f"{total} tensors; no file has more than {MAX_NAMES}")])


def _oversized(value: Any, path: Sequence[str]) -> Fault | None:
    """Return the fault of an object or a list in `value` that is longer than any in a recipe; None if there is none.

    The objects of tensors in a document are not part of it: they are checked one by one.
    """
    field = len(path) + 1
    level: list[tuple[Sequence[str], Any]] = [(path, value)]
    while level:
        path, each = level.pop()
        if len(path) > _MAX_DEPTH:
            return Fault(pointer(path[:field]), "the recipe is nested too deeply")
        if isinstance(each, Mapping):
            if len(each) > MAX_FAULTS:
                return Fault(pointer(path), f"{len(each)} fields; no object in a recipe has that many")
            found: Iterable[tuple[Any, Any]] = each.items()
        elif isinstance(each, list | tuple):
            if len(each) > _MAX_ITEMS:
                return Fault(pointer(path), f"{len(each)} items; no list in a recipe has that many")
            found = enumerate(each)
        else:
            continue
        level.extend(
            ([*path, str(key)], item)
            for key, item in found
            if isinstance(item, list | tuple)
            or (isinstance(item, Mapping) and (each is not value or key not in MEMBERS))
        )
    return None


def count_tensors(document: Any) -> int:
    """Return the number of tensors of a recipe's JSON. Repeated names are counted without writing them out."""
    return len(_tensors(document, "tensors")) + sum(map(count, _tensors(document, "repeated")))


def members(document: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the field, name and tensor of each tensor in a JSON document, also if it is not a valid recipe."""
    for field in MEMBERS:
        for name, tensor in _tensors(document, field).items():
            yield field, name, tensor


def _tensors(document: Any, field: str) -> Mapping[str, Any]:
    """Return the tensors in one of `MEMBERS`, by name; nothing if the document has none there."""
    found = document.get(field) if isinstance(document, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def plain_document(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a recipe that a program wrote, with each shape as a list or tuple: an integer is one axis.

    JSON has no such shapes. Equal tensors are one object, and are then validated once.
    """
    known: dict[bytes | int, tuple[Any, Any]] = {}

    def plain(tensor: Any) -> Any:
        if not isinstance(tensor, Mapping):
            return tensor
        # With the original, so that no other object gets its id meanwhile.
        return known.setdefault(_key(tensor), (_with_plain_shape(tensor), tensor))[0]

    if "tensors" not in document:
        return _with_plain_shape(document)
    found = {field: document[field] for field in MEMBERS if isinstance(document.get(field), Mapping)}
    return {**document, **{field: {name: plain(each) for name, each in found[field].items()} for field in found}}


def _with_plain_shape(tensor: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(tensor.get("shape", ()), list | tuple):
        return tensor
    return {**tensor, "shape": _sizes(tensor["shape"])}


def _key(tensor: Any) -> bytes | int:
    """Return what only equal tensors of the same types have in common, or the id of a tensor with other than JSON's
    types.
    """
    try:
        # marshal would write a number of NumPy as bytes, without its type.
        return marshal.dumps(tensor, 2) if _has_plain_types(tensor) else id(tensor)
    except (ValueError, RecursionError):  # nested too deeply
        return id(tensor)


def _has_plain_types(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and _has_plain_types(item) for key, item in value.items())
    if kind is list or kind is tuple:
        return all(map(_has_plain_types, value))
    return kind in _SCALARS


def _sizes(shape: Any) -> Any:
    """Return the sizes of a shape as a list; return anything else unchanged."""
    if hasattr(shape, "tolist"):  # an array or a number of NumPy, torch or JAX
        shape = shape.tolist()
    if isinstance(shape, int) and not isinstance(shape, bool):
        return [shape]
    return list(shape) if isinstance(shape, Sequence) and not isinstance(shape, str | bytes) else shape
