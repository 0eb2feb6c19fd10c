"""The registry: recently used layouts by digest or query. All of it may be lost: clients then send the recipe again."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from fanin import FileLayout, Recipe
from fanin.draws import Plain
from fanin.schemes.base import Tensor
from fanin_service.shared_cache import Kept

_PER_LAYOUT, _PER_NAME, _PER_RECIPE, _PER_TENSOR = 2_000, 210, 2_000, 1_100
"""Bytes that a layout takes, beside its texts; a name in it, beside its text; a recipe; and a tensor that names share,
beside its draw. Rounded up from what tracemalloc counts (tests/service/test_shared_cache.py)."""

K = TypeVar("K", str, bytes)


class Registry(Generic[K]):
    """Layouts by a text that names them, bounded in number and in memory, shared among parties.

    Used by the event loop's thread alone.
    """

    def __init__(self, *, max_recipes: int, max_bytes: int) -> None:
        self._layouts: Kept[K, FileLayout] = Kept(max_count=max_recipes, max_bytes=max_bytes)

    def __len__(self) -> int:
        return len(self._layouts)

    @property
    def size(self) -> int:
        """Bytes of memory that the layouts take."""
        return self._layouts.size

    def get(self, key: K) -> FileLayout | None:
        """The layout of this name, if it is remembered."""
        return self._layouts.get(key)

    def add(self, key: K, layout: FileLayout, party: str = "", size: int | None = None) -> bool:
        """Remember a layout for a party, whatever its size; true if it was not there before.

        `size` is `layout_bytes` of it, which takes milliseconds for many tensors.
        """
        if self.get(key) is not None:
            return False
        return self._layouts.add(key, layout, len(key) + (layout_bytes(layout) if size is None else size), party)


def layout_bytes(layout: FileLayout) -> int:
    """Bytes of memory that a layout takes, with its recipe: at least as many as it does."""
    texts = len(layout.header) + len(layout.recipe.canonical)
    return _PER_LAYOUT + texts + _PER_NAME * len(layout.entries) + recipe_bytes(layout.recipe)


def recipe_bytes(recipe: Recipe) -> int:
    """Bytes of memory that a recipe takes without its canonical text: at least as many as it does."""
    return sum(map(sys.getsizeof, recipe.tensors)) + recipe_bytes_beside_names(recipe)


def recipe_bytes_beside_names(recipe: Recipe) -> int:
    """As `recipe_bytes`, of a recipe that shares its names with another."""
    return _PER_RECIPE + sys.getsizeof(recipe.tensors) + tensor_bytes(recipe.tensors.values())


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of memory that these tensors take, each counted once."""
    distinct = {id(tensor): tensor for tensor in tensors}.values()
    composed = (tensor for tensor in distinct if not isinstance(tensor.draw, Plain))
    return _PER_TENSOR * len(distinct) + sum(_object_bytes(vars(tensor)) for tensor in composed)


def _object_bytes(value: Any) -> int:
    """Bytes of an object and of what it holds. An object that it holds twice counts twice."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(_object_bytes(key) + _object_bytes(member) for key, member in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return size + sum(map(_object_bytes, value))
    if hasattr(value, "__dict__"):
        return size + _object_bytes(vars(value))
    slots = getattr(type(value), "__slots__", ())
    return size + sum(_object_bytes(getattr(value, name)) for name in slots if hasattr(value, name))
