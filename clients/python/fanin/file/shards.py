"""Shards: a recipe split into several, one for each file, as Hugging Face libraries lay out large models."""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from fanin.dtypes import STORAGE
from fanin.recipe import Recipe
from fanin.schemes.base import Tensor

CONFIG = "config.json"
"""Name of the file of a model's configuration."""
LITERALS = "literals.safetensors"
"""Name of the file of a model's literals, which are tensors that its recipe does not describe."""
LITERALS_SEED = "fanin.seed"
"""Key in that file's metadata: the seed of its values, if they depend on the seed."""


@dataclass(frozen=True, slots=True)
class FileNames:
    """The names under which a library looks for the files of a model's weights."""

    stem: str
    """The beginning of each of them."""

    @property
    def whole(self) -> str:
        """Name of the file of a model that is in one piece."""
        return f"{self.stem}.safetensors"

    @property
    def index(self) -> str:
        """Name of the file that maps each tensor of a sharded model to its file."""
        return f"{self.whole}.index.json"

    def numbered(self, place: int, count: int) -> str:
        """Return the name of a file of a sharded model; `place` is 1 for the first of `count` files."""
        return f"{self.stem}-{place:05}-of-{count:05}.safetensors"

    def place(self, name: str) -> int | None:
        """Return the place of a file of a sharded model; None if this is not the name of one."""
        found = re.fullmatch(rf"{re.escape(self.stem)}-(\d{{1,20}})-of-\d+\.safetensors", name, re.ASCII)
        return int(found[1]) if found else None

    def has(self, name: str) -> bool:
        """Return whether a library would read the file of this name as weights, or as their index."""
        return name in (self.whole, self.index) or self.place(name) is not None


MODEL = FileNames("model")
"""Names that transformers, and most other libraries, read."""
DIFFUSION = FileNames("diffusion_pytorch_model")
"""Names that diffusers reads."""
NAMES = (MODEL, DIFFUSION)


def names_for(files: Mapping[str, bytes]) -> FileNames:
    """Return the names that the library of a model reads. `files` are the model's other files, by name.

    The configuration of a model of diffusers has the member `_class_name`.
    """
    try:
        document = json.loads(files.get(CONFIG, b"{}"))
    except (ValueError, RecursionError):
        return MODEL
    return DIFFUSION if isinstance(document, dict) and "_class_name" in document else MODEL


def split(
    recipe: Recipe, size: int, *, has_literals: bool = False, names: FileNames = MODEL
) -> dict[str, Sequence[str]]:
    """Return the names of the tensors of each file, by file name. A file has at most `size` bytes of tensors.

    Tensors fill a file in the recipe's order until the next one would exceed `size`. A tensor larger than `size` has a
    separate file. The layout does not depend on the seed. With literals the file names count one file more, and
    none is `names.whole`: loaders that find a file of this name read no other.
    """
    groups = list(_groups(recipe.tensors, size))
    if len(groups) <= 1 and not has_literals:
        return {names.whole: tuple(recipe.tensors)}
    count = len(groups) + has_literals
    return {names.numbered(place, count): group for place, group in enumerate(groups, 1)}


def literals_name(parts: Mapping[str, Sequence[str]], names: FileNames = MODEL) -> str:
    """Return the name of the file of literals beside these parts, which were split with literals."""
    count = len(parts) + 1
    return names.numbered(count, count)


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
    order = tuple(tensors)
    firsts = bounds(map(bytes_of, tensors.values()), size)
    return (order[first:last] for first, last in pairwise(firsts))


def index(
    recipe: Recipe,
    shards: Mapping[str, Sequence[str]],
    literals: Mapping[str, int] | None = None,
    names: FileNames = MODEL,
) -> bytes:
    """The index of these shards of the recipe, as JSON; `literals` are the bytes of each literal, by name."""
    literals = literals or {}
    places = {name: file for file, tensors in shards.items() for name in tensors}
    total = sum(map(bytes_of, recipe.tensors.values())) + sum(literals.values())
    return index_of(total, places | dict.fromkeys(literals, literals_name(shards, names)))


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
