"""Estimates of the memory of layouts and recipes, for the caches that have them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from fanin import FileLayout, Recipe
from fanin.draws import Plain
from fanin.schemes.base import Tensor

_PER_LAYOUT, _PER_NAME, _PER_RECIPE, _PER_TENSOR = 2_000, 210, 2_000, 1_100
"""Estimated bytes of a layout, of a name in it, of a recipe, and of a tensor that names share. Texts and draws are
counted separately. The estimates are rounded up from tracemalloc's counts (tests/service/test_shared_cache.py)."""


def layout_bytes(layout: FileLayout) -> int:
    """Return an upper estimate of the bytes of memory that a layout takes, including its recipe."""
    texts = len(layout.header) + len(layout.recipe.tensors.canonical)
    return _PER_LAYOUT + texts + _PER_NAME * len(layout.entries) + recipe_bytes(layout.recipe)


def recipe_bytes(recipe: Recipe) -> int:
    """Return an upper estimate of the bytes of memory that a recipe takes without its canonical text."""
    return sum(map(sys.getsizeof, recipe.tensors)) + recipe_bytes_beside_names(recipe)


def recipe_bytes_beside_names(recipe: Recipe) -> int:
    """Return an upper estimate of the bytes of memory of a recipe that shares its names with another."""
    return _PER_RECIPE + sys.getsizeof(recipe.tensors) + tensor_bytes(recipe.tensors.distinct.values())


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of memory that these tensors take. A tensor with several names is counted once."""
    distinct = {id(tensor): tensor for tensor in tensors}.values()
    composed = (tensor for tensor in distinct if not isinstance(tensor.draw, Plain))
    return _PER_TENSOR * len(distinct) + sum(_object_bytes(vars(tensor)) for tensor in composed)


def _object_bytes(value: Any) -> int:
    """Return the bytes of an object and its members. A member that it has twice counts twice."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(_object_bytes(key) + _object_bytes(member) for key, member in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return size + sum(map(_object_bytes, value))
    if hasattr(value, "__dict__"):
        return size + _object_bytes(vars(value))
    slots = getattr(type(value), "__slots__", ())
    return size + sum(_object_bytes(getattr(value, name)) for name in slots if hasattr(value, name))
