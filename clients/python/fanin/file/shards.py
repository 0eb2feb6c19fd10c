"""Shards: a recipe split into several, one for each file, as Hugging Face libraries lay out large models."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from fanin.dtypes import STORAGE
from fanin.recipe import Recipe
from fanin.schemes.base import Tensor

WHOLE = "model.safetensors"
"""The file of a model that is in one piece."""
INDEX = "model.safetensors.index.json"
"""Name of the file that maps each tensor of a sharded model to its file."""
LITERALS = "literals.safetensors"
"""Name of the file of a model's literals, which are tensors that its recipe does not describe."""
LITERALS_SEED = "fanin.seed"
"""Key in that file's metadata: the seed of its values, if they depend on the seed."""


def split(recipe: Recipe, size: int, *, has_literals: bool = False) -> dict[str, Sequence[str]]:
    """Return the names of the tensors of each file, by file name. A file has at most `size` bytes of tensors.

    Tensors fill a file in the recipe's order until the next one would exceed `size`. A tensor larger than `size` has a
    separate file. The layout does not depend on the seed. With literals the file names count one file more, and
    none is `WHOLE`: loaders that find a file of this name read no other.
    """
    groups = list(_groups(recipe.tensors, size))
    if len(groups) <= 1 and not has_literals:
        return {WHOLE: tuple(recipe.tensors)}
    count = len(groups) + has_literals
    return {numbered(place, count): group for place, group in enumerate(groups, 1)}


def literals_name(parts: Mapping[str, Sequence[str]]) -> str:
    """Return the name of the file of literals beside these parts, which were split with literals."""
    count = len(parts) + 1
    return numbered(count, count)


def numbered(place: int, count: int) -> str:
    """Return the name of a file of a sharded model; `place` is 1 for the first of `count` files."""
    return f"model-{place:05}-of-{count:05}.safetensors"


def bounds(sizes: Iterable[int], size: int) -> array[int]:
    """Return the index of the first tensor of each file, and the number of tensors; of no tensors, 0 alone.

    `sizes` are the bytes of the tensors. They fill files in this order, as in `split`.
    """
    firsts = array("Q")
    total = place = 0
    for place, count in enumerate(sizes, 1):
        if not firsts or total + count > size:
            firsts.append(place - 1)
            total = 0
        total += count
    firsts.append(place)
    return firsts


def _groups(tensors: Mapping[str, Tensor], size: int) -> Iterator[tuple[str, ...]]:
    names = tuple(tensors)
    firsts = bounds(map(bytes_of, tensors.values()), size)
    return (names[first:last] for first, last in pairwise(firsts))


def index(recipe: Recipe, shards: Mapping[str, Sequence[str]], literals: Mapping[str, int] | None = None) -> bytes:
    """The index of these shards of the recipe, as JSON; `literals` are the bytes of each literal, by name."""
    literals = literals or {}
    places = {name: file for file, names in shards.items() for name in names}
    total = sum(map(bytes_of, recipe.tensors.values())) + sum(literals.values())
    return index_of(total, places | dict.fromkeys(literals, literals_name(shards)))


def index_of(total: int, places: Mapping[str, str]) -> bytes:
    """Return the index of tensors of `total` bytes, as JSON; `places` are the names of their files, by tensor."""
    document = {"metadata": {"total_size": total}, "weight_map": places}
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def count_of(tensor: Tensor) -> int:
    """A tensor's elements."""
    return math.prod(tensor.shape)


def bytes_of(tensor: Tensor) -> int:
    """Bytes of a tensor's elements in a file."""
    return STORAGE[tensor.dtype].file_bytes(count_of(tensor))
