"""Shards: a recipe cut into several, each that of a file of its own, as Hugging Face libraries lay out large models."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence

from fanin.dtypes import STORAGE
from fanin.recipe import Recipe
from fanin.tensor import Tensor

WHOLE = "model.safetensors"
"""The file of a model that is in one piece."""
INDEX = "model.safetensors.index.json"
"""The file that tells which tensor of a model in shards is in which file."""


def split(recipe: Recipe, size: int) -> dict[str, Sequence[str]]:
    """The tensors of each file, by the file's name, when no file is to have more than `size` bytes of them.

    They are taken in the recipe's order until the next one would be too much; one that is larger by itself has a file
    of its own. The layout does not depend on the seed.
    """
    groups = list(_groups(recipe.tensors, size))
    if len(groups) <= 1:
        return {WHOLE: tuple(recipe.tensors)}
    return {f"model-{place:05}-of-{len(groups):05}.safetensors": group for place, group in enumerate(groups, 1)}


def _groups(tensors: Mapping[str, Tensor], size: int) -> Iterator[tuple[str, ...]]:
    names: list[str] = []
    total = 0
    for name, tensor in tensors.items():
        count = bytes_of(tensor)
        if names and total + count > size:
            yield tuple(names)
            names, total = [], 0
        names.append(name)
        total += count
    if names:
        yield tuple(names)


def index(recipe: Recipe, shards: Mapping[str, Sequence[str]]) -> bytes:
    """The index of these shards of the recipe, as JSON."""
    document = {
        "metadata": {"total_size": sum(map(bytes_of, recipe.tensors.values()))},
        "weight_map": {name: file for file, names in shards.items() for name in names},
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def count_of(tensor: Tensor) -> int:
    """A tensor's elements."""
    return math.prod(tensor.shape)


def bytes_of(tensor: Tensor) -> int:
    """Bytes of a tensor's elements."""
    return count_of(tensor) * STORAGE[tensor.dtype].itemsize
