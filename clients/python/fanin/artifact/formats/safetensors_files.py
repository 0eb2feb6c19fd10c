"""Files of safetensors, each with the recipe of its tensors in the header."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from typing import Any

from fanin.artifact.formats.base import Arrangement, Given, LayoutContent
from fanin.file import shards
from fanin.file.layout import FileLayout
from fanin.file.stored import Header, header_of, prefixed

STEM = "stem"
"""Option with what the names of the files begin with, `model` by default: `model.safetensors`."""
_STEM = re.compile(r"\w{1,100}", re.ASCII)


class SafetensorsFiles(Arrangement):
    """Consecutive tensors, in the order of their names, fill files up to a size.

    The order is not that of the caller's recipe, because equal recipes give equal artifacts.
    """

    OPTIONS = (STEM,)
    _OF_TENSORS = ("_recipe", "_names", "_firsts")

    def __init__(self, given: Given) -> None:
        self._recipe = given.recipe
        self.files = shards.FileNames(_stem(given.options))
        tensors = given.recipe.tensors
        self._names = tensors.sorted_names
        nbytes = {key: shards.bytes_of(tensor) for key, tensor in tensors.distinct.items()}
        sizes = array("Q", (nbytes[id(tensors[name])] for name in self._names))
        self._firsts = shards.bounds(sizes, given.shard_bytes)
        self._nbytes = array("Q", (sum(sizes[first:last]) for first, last in zip(self._firsts, self._firsts[1:])))
        self._total = sum(self._nbytes)
        self._is_whole = len(self) <= 1 and not given.has_literals
        self._count = len(self) + given.has_literals
        if not given.has_literals and not len(self):
            self._firsts, self._nbytes = array("Q", [0, 0]), array("Q", [0])
        if given.has_literals:
            self.literals_path = self.files.numbered(self._count, self._count)

    def __len__(self) -> int:
        return len(self._nbytes)

    def name(self, number: int) -> str:
        return self.files.whole if self._is_whole else self.files.numbered(number + 1, self._count)

    def number(self, name: str) -> int | None:
        if self._is_whole:
            return 0 if name == self.files.whole else None
        number = (self.files.place(name) or 0) - 1
        return number if 0 <= number < len(self) and self.name(number) == name else None

    def is_own(self, path: str) -> bool:
        # A reader that finds a single file ignores the index.
        return self.files.has(path)

    def nbytes(self, number: int) -> int:
        return self._nbytes[number]

    def total(self) -> int:
        return self._total

    def tensors(self, number: int) -> tuple[str, ...]:
        """Return the names of the tensors of an item."""
        return self._names[self._firsts[number] : self._firsts[number + 1]]

    def content(self, number: int) -> LayoutContent:
        return LayoutContent(FileLayout(self._recipe.part(self.tensors(number))))


def options_for(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the options of a model's files, so that its library finds them. `files` are its other files, by path."""
    names = shards.names_for(files)
    return {} if names == shards.MODEL else {STEM: names.stem}


def _stem(options: Mapping[str, Any]) -> str:
    stem = options.get(STEM, shards.MODEL.stem)
    if not isinstance(stem, str) or not _STEM.fullmatch(stem):
        raise ValueError(f"options/{STEM} is 1 to 100 letters, digits and _, not {stem!r}")
    return stem


def seed_in(content: bytes) -> str | None:
    """Return the seed that the values in a file of literals belong to; None if they do not depend on a seed.

    `content` is a file that `sizes_in` accepts.
    """
    return _header(content).metadata.get(shards.LITERALS_SEED)


def sizes_in(content: bytes) -> dict[str, int]:
    """Return the bytes of each tensor in a safetensors file, by name.

    Raises:
        FileError: it is not a safetensors file.
    """
    return {stored.name: stored.stop - stored.start for stored in _header(content).tensors}


def _header(content: bytes) -> Header:
    with prefixed("the literals"):
        return header_of(lambda start, stop: content[start:stop], len(content))
