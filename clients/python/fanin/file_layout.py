"""The layout: the virtual safetensors file of a recipe. Costs no generation (SPEC.md section 8)."""

from __future__ import annotations

import json
import math
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, overload

from fanin.backends.packing import Tensors
from fanin.draws import Draw
from fanin.dtypes import STORAGE, DType
from fanin.errors import Fault, RecipeError, pointer
from fanin.recipe import MAX_HEADER_BYTES, METADATA_RECIPE, Recipe, RecipeLike, as_recipe, quoted
from fanin.schemes.base import Tensor
from fanin.streams import Stream

MAX_FILE_BYTES = 2**63 - 1
"""Files and offsets stay within a signed 64-bit integer."""

_RANK = {dtype: rank for rank, dtype in enumerate(STORAGE)}


class Entry(NamedTuple):
    """One tensor in the file."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    draw: Draw
    stream: Stream
    start: int
    """Offset of its first byte in the file."""
    stop: int
    """Offset behind its last byte."""

    @property
    def count(self) -> int:  # type: ignore[override]  # a tuple's own counts its items
        """Number of elements."""
        return (self.stop - self.start) // self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Entries(Sequence[Entry]):
    """Tensors in file order. An entry is made when it is asked for: a file may have a million."""

    stream: str
    seed: int
    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    edges: array[int]
    """Offsets of their first bytes in the file, and behind the last."""

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> Entries: ...
    def __getitem__(self, place: int | slice) -> Entry | Entries:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                raise ValueError("entries are taken in their order")
            edges = self.edges[start : max(start, stop) + 1]
            return Entries(self.stream, self.seed, self.names[place], self.tensors[place], edges)
        place = range(len(self))[place]
        tensor, name = self.tensors[place], self.names[place]
        stream = Stream(self.stream, self.seed, name)
        edges = self.edges
        return Entry(name, tensor.shape, STORAGE[tensor.dtype], tensor.draw, stream, edges[place], edges[place + 1])

    def __iter__(self) -> Iterator[Entry]:
        for name, tensor, start, stop in zip(self.names, self.tensors, self.edges, self.edges[1:], strict=False):
            stream = Stream(self.stream, self.seed, name)
            yield Entry(name, tensor.shape, STORAGE[tensor.dtype], tensor.draw, stream, start, stop)

    def index_at(self, offset: int) -> int:
        """Index of the first entry that ends behind `offset`, a position in the file."""
        return bisect_right(self.edges, offset, 1) - 1


@dataclass(frozen=True, slots=True)
class FileLayout:
    """Where everything is in the file of one recipe."""

    recipe: Recipe
    header: bytes
    """Everything in front of the tensors' bytes: length, JSON and padding."""
    entries: Entries
    """Tensors in file order, without gaps."""
    size: int
    """Bytes of the whole file."""
    places: Mapping[str, int]
    """Place of each tensor in `entries`, by name."""
    tensors: Tensors
    """The same tensors, packed for the kernels."""

    @classmethod
    def of(cls, recipe: FileLayoutLike) -> FileLayout:
        """The layout of this recipe's file; a layout is its own.

        Raises:
            RecipeError: the recipe is wrong, or its file would be too large for the format.
        """
        if isinstance(recipe, FileLayout):
            return recipe
        recipe = as_recipe(recipe)
        ordered, offsets, header = _arranged(recipe)
        edges = array("Q", [len(header) + offset for offset in offsets])
        names, tensors = tuple(name for name, _ in ordered), tuple(tensor for _, tensor in ordered)
        entries = Entries(recipe.stream, recipe.seed, names, tensors, edges)
        places = {name: place for place, name in enumerate(names)}
        return cls(recipe, header, entries, edges[-1], places, Tensors.of(entries))

    def entry(self, name: str) -> Entry:
        """The tensor of this name.

        Raises:
            KeyError: there is none.
        """
        if name not in self.places:
            raise KeyError(f"the recipe has no tensor {name!r}")
        return self.entries[self.places[name]]

    def index_at(self, offset: int) -> int:
        """Index of the first entry that ends behind `offset`, a position in the file."""
        return self.entries.index_at(offset)

    def tensors_in(self, start: int, stop: int) -> int:
        """How many tensors have bytes in [start, stop) of the file, or stand empty between those that have."""
        return self.index_at(stop - 1) - self.index_at(start) + 1

    def has_matrix(self, start: int, stop: int) -> bool:
        """Whether bytes [start, stop) of the file have some of a matrix, which is made whole for any part of it."""
        return self._has(self.tensors.matrices, start, stop)

    def has_composed(self, start: int, stop: int) -> bool:
        """Whether they have some of a tensor whose draw no kernel makes alone: those take longer."""
        return self._has(self.tensors.composed, start, stop)

    def _has(self, places: Sequence[int], start: int, stop: int) -> bool:
        following = bisect_left(places, self.index_at(start))
        return following < len(places) and self.entries[places[following]].start < stop


FileLayoutLike = FileLayout | RecipeLike
"""A recipe in any spelling, or its layout: made once, it saves the work of every later call."""


def file_size(recipe: Recipe) -> int:
    """Bytes of a recipe's file: the `size` of its layout, without the rest of it.

    Raises:
        RecipeError: the file would be too large for the format.
    """
    _, offsets, header = _arranged(recipe)
    return len(header) + offsets[-1]


def _arranged(recipe: Recipe) -> tuple[Sequence[tuple[str, Tensor]], list[int], bytes]:
    """The tensors in file order, the offsets between which they lie, and the bytes in front of them."""
    ordered = sorted(recipe.tensors.items(), key=lambda item: (_RANK[item[1].dtype], item[0]))
    # Names share tensors: what follows from a tensor is found once.
    counts: dict[int, int] = {}
    for name, tensor in ordered:
        if id(tensor) in counts:
            continue
        counts[id(tensor)] = math.prod(tensor.shape) * STORAGE[tensor.dtype].itemsize
        # Readers multiply the sizes one by one, whether a later one is 0 or not.
        if math.prod(size or 1 for size in tensor.shape) * STORAGE[tensor.dtype].itemsize > MAX_FILE_BYTES:
            raise RecipeError([Fault(pointer(["tensors", name, "shape"]), "the sizes multiply to 2^63 bytes or more")])
    offsets = [0, *accumulate(counts[id(tensor)] for _, tensor in ordered)]
    if offsets[-1] > MAX_FILE_BYTES - MAX_HEADER_BYTES:
        raise RecipeError([Fault("/tensors", f"the tensors take {offsets[-1]} bytes, more than 2^63 allows")])
    return ordered, offsets, _header(recipe, ordered, offsets)


def _header(recipe: Recipe, ordered: Sequence[tuple[str, Tensor]], offsets: Sequence[int]) -> bytes:
    """The bytes in front of the tensors, which lie between these offsets."""
    metadata = {"__metadata__": {"format": "pt", METADATA_RECIPE: recipe.canonical.decode()}}
    distinct = {id(tensor): tensor for _, tensor in ordered}
    begun = {
        key: f'{{"dtype":"{tensor.dtype}","shape":[{",".join(map(str, tensor.shape))}],"data_offsets":['
        for key, tensor in distinct.items()
    }
    members = [
        f"{quoted(name)}:{begun[id(tensor)]}{start},{stop}]}}"
        for (name, tensor), start, stop in zip(ordered, offsets, offsets[1:], strict=False)
    ]
    opening = json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).removesuffix("}")
    text = ",".join([opening, *members]).encode() + b"}"
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER_BYTES:
        raise RecipeError(
            [
                Fault(
                    "/tensors", f"the file header takes {len(text)} bytes; safetensors readers allow {MAX_HEADER_BYTES}"
                )
            ]
        )
    return struct.pack("<Q", len(text)) + text
