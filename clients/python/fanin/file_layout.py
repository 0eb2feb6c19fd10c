"""The layout of a recipe's safetensors file: its header and the place of each tensor (SPEC.md section 8).

A layout generates no elements. It encodes the header on first use, because arrays in memory do not need it.
"""

from __future__ import annotations

import json
import math
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, overload

from fanin.draws import Draw, is_plain, matrix_of
from fanin.dtypes import STORAGE, DType
from fanin.errors import Fault, RecipeError, pointer
from fanin.recipe import MAX_HEADER_BYTES, METADATA_RECIPE, Recipe, RecipeLike, as_recipe, quoted
from fanin.recipe.display import Summary
from fanin.schemes.base import Tensor
from fanin.schemes.blocks import MAX_PARTS, Blocks
from fanin.streams import Stream

MAX_FILE_BYTES = 2**63 - 1
"""Most bytes of a file: sizes and offsets fit a signed 64-bit integer."""

_RANK = {dtype: rank for rank, dtype in enumerate(STORAGE)}


class Header:
    """The bytes of a file before the data of the tensors: length, JSON and padding."""

    __slots__ = ("_bytes", "_names", "_offsets", "_recipe", "_tensors")

    def __init__(self, recipe: Recipe, names: Sequence[str], tensors: Sequence[Tensor], offsets: Sequence[int]) -> None:
        """Describe these tensors, in file order. Tensor n has bytes [offsets[n], offsets[n + 1]) of the data."""
        self._recipe, self._names, self._tensors, self._offsets = recipe, names, tensors, offsets
        self._bytes: bytes | None = None

    @property
    def bytes(self) -> bytes:
        """The encoded header.

        Raises:
            RecipeError: it has more than `MAX_HEADER_BYTES`.
        """
        # Not functools.cached_property: in Python 3.11 it has one lock for all headers, so the first use of a long
        # one would block a thread that needs a short one.
        if self._bytes is None:
            self._bytes = _encode(self._recipe, self._names, self._tensors, self._offsets)
        return self._bytes


class Entry(NamedTuple):
    """One tensor in the file."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    draw: Draw
    stream: Stream
    offset: int
    """Offset of its first byte in the data, which follow the header."""
    nbytes: int
    """Number of its bytes."""
    header: Header
    """Header of the file."""

    @property
    def count(self) -> int:  # type: ignore[override]  # tuple.count counts items
        """Number of elements."""
        return self.nbytes // self.dtype.itemsize

    @property
    def start(self) -> int:
        """Offset of its first byte in the file."""
        return len(self.header.bytes) + self.offset

    @property
    def stop(self) -> int:
        """Offset in the file of the byte after its last byte."""
        return self.start + self.nbytes


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Entries(Sequence[Entry]):
    """Tensors in file order. An entry is created when it is requested, because a file may have a million."""

    stream: str
    seed: int
    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    offsets: array[int]
    """Offsets of their first bytes in the data, and of the byte after the last one."""
    header: Header

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
                raise ValueError("a slice of entries must have step 1")
            offsets = self.offsets[start : max(start, stop) + 1]
            return Entries(self.stream, self.seed, self.names[place], self.tensors[place], offsets, self.header)
        place = range(len(self))[place]
        return self._entry(self.names[place], self.tensors[place], self.offsets[place], self.offsets[place + 1])

    def __iter__(self) -> Iterator[Entry]:
        return map(self._entry, self.names, self.tensors, self.offsets, self.offsets[1:])

    def _entry(self, name: str, tensor: Tensor, start: int, stop: int) -> Entry:
        stream = Stream(self.stream, self.seed, name)
        return Entry(name, tensor.shape, STORAGE[tensor.dtype], tensor.draw, stream, start, stop - start, self.header)

    def index_at(self, offset: int) -> int:
        """Return the index of the first entry that ends after `offset`, a position in the file."""
        return bisect_right(self.offsets, offset - len(self.header.bytes), 1) - 1


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FileLayout:
    """The place of everything in the file of one recipe."""

    recipe: Recipe
    entries: Entries
    """Tensors in file order, without gaps."""
    places: Mapping[str, int]
    """Index of each tensor in `entries`, by name."""
    matrices: Sequence[int]
    """Indices of the tensors that have an orthogonal matrix, in increasing order."""
    composed: Sequence[int]
    """Indices of the tensors whose draws are not plain, matrices included, in increasing order."""

    @classmethod
    def of(cls, recipe: FileLayoutLike) -> FileLayout:
        """Return the layout of this recipe's file. A layout is returned as it is.

        Raises:
            RecipeError: the recipe is not valid, or its header or tensors are too large for the format.
        """
        if isinstance(recipe, FileLayout):
            return recipe
        recipe = as_recipe(recipe)
        ordered = sorted(recipe.tensors.items(), key=lambda item: (_RANK[item[1].dtype], item[0]))
        names, tensors = tuple(name for name, _ in ordered), tuple(tensor for _, tensor in ordered)
        offsets = array("Q", _offsets(names, tensors))
        header = Header(recipe, names, tensors, offsets)
        entries = Entries(recipe.stream, recipe.seed, names, tensors, offsets, header)
        places = {name: place for place, name in enumerate(names)}
        distinct = {id(tensor): tensor for tensor in tensors}
        if _header_bound(names, distinct.values()) > MAX_HEADER_BYTES:
            _ = header.bytes  # refuses a recipe whose header is too long, before anything is generated
        composed = _places(tensors, {key for key, tensor in distinct.items() if not _is_plain(tensor)})
        matrices = _places(tensors, {id(tensors[place]) for place in composed if matrix_of(tensors[place].draw)})
        return cls(recipe, entries, places, matrices, composed)

    @property
    def header(self) -> bytes:
        """The bytes before the tensors' data: length, JSON and padding. They are encoded on first use."""
        return self.entries.header.bytes

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + self.entries.offsets[-1]

    def __repr__(self) -> str:
        return self._summary().text()

    def _repr_html_(self) -> str:
        return self._summary().html()

    def _summary(self) -> Summary:
        size = self.entries.offsets[-1]
        return Summary(f"FileLayout: {len(self.entries):,} tensors, {size:,} bytes of data", self.recipe.tensors)

    def entry(self, name: str) -> Entry:
        """Return the tensor of this name.

        Raises:
            KeyError: the recipe has no such tensor.
        """
        if name not in self.places:
            raise KeyError(f"the recipe has no tensor {name!r}")
        return self.entries[self.places[name]]

    def index_at(self, offset: int) -> int:
        """Return the index of the first entry that ends after `offset`, a position in the file."""
        return self.entries.index_at(offset)

    def tensors_in(self, start: int, stop: int) -> int:
        """Return the number of tensors in bytes [start, stop) of the file, empty ones between them included."""
        return self.index_at(stop - 1) - self.index_at(start) + 1

    def has_matrix(self, start: int, stop: int) -> bool:
        """Return whether bytes [start, stop) contain a part of a matrix. Any part needs the complete matrix."""
        return self._has(self.matrices, start, stop)

    def has_composed(self, start: int, stop: int) -> bool:
        """Return whether bytes [start, stop) contain a part of a tensor whose draw is not plain. Those take longer."""
        return self._has(self.composed, start, stop)

    def _has(self, places: Sequence[int], start: int, stop: int) -> bool:
        following = bisect_left(places, self.index_at(start))
        return following < len(places) and self.entries[places[following]].start < stop


FileLayoutLike = FileLayout | RecipeLike
"""A recipe in any form, or its layout. Pass a layout to several calls to create it only once."""


def _is_plain(tensor: Tensor) -> bool:
    return is_plain(tensor.draw, STORAGE[tensor.dtype])


def _places(tensors: Sequence[Tensor], chosen: set[int]) -> Sequence[int]:
    """Return the indices of the tensors whose id is chosen."""
    return [place for place, tensor in enumerate(tensors) if id(tensor) in chosen] if chosen else ()


def _header_bound(names: Sequence[str], distinct: Collection[Tensor]) -> int:
    """Return more bytes than the header has, without encoding it.

    A character of a name takes at most 8 bytes: 4 in the recipe and 4 in the header. A quotation mark has 4 in the
    recipe, which is JSON within JSON, and 2 in the header. A tensor has at most 14 members. Its lists are not longer
    than its shape.
    """
    longest = max((_bound_of_text(tensor) for tensor in distinct), default=0)
    return 1000 + 8 * sum(map(len, names)) + len(names) * longest


def _bound_of_text(tensor: Tensor) -> int:
    return (1500 + 60 * len(tensor.shape)) * (MAX_PARTS + 1 if isinstance(tensor, Blocks) else 1)


def _offsets(names: Sequence[str], tensors: Sequence[Tensor]) -> list[int]:
    """Return the offsets of the tensors in the data, and the size of the data, in bytes.

    Raises:
        RecipeError: a tensor, or the data, is too large for the format.
    """
    # Many names can share one tensor. The size of each is computed once.
    sizes: dict[int, int] = {}
    for name, tensor in zip(names, tensors, strict=True):
        if id(tensor) in sizes:
            continue
        sizes[id(tensor)] = math.prod(tensor.shape) * STORAGE[tensor.dtype].itemsize
        # A reader multiplies the lengths of the axes one after another. Its product overflows even if a later one is 0.
        if math.prod(size or 1 for size in tensor.shape) * STORAGE[tensor.dtype].itemsize > MAX_FILE_BYTES:
            raise RecipeError([Fault(pointer(["tensors", name, "shape"]), "the sizes multiply to 2^63 bytes or more")])
    offsets = [0, *accumulate(sizes[id(tensor)] for tensor in tensors)]
    if offsets[-1] > MAX_FILE_BYTES - MAX_HEADER_BYTES:
        raise RecipeError([Fault("/tensors", f"the tensors take {offsets[-1]} bytes, more than 2^63 allows")])
    return offsets


def _encode(recipe: Recipe, names: Sequence[str], tensors: Sequence[Tensor], offsets: Sequence[int]) -> bytes:
    """Return the header. Tensor n has bytes [offsets[n], offsets[n + 1]) of the data."""
    metadata = {"__metadata__": {"format": "pt", METADATA_RECIPE: recipe.canonical.decode()}}
    distinct = {id(tensor): tensor for tensor in tensors}
    begun = {
        key: f'{{"dtype":"{tensor.dtype}","shape":[{",".join(map(str, tensor.shape))}],"data_offsets":['
        for key, tensor in distinct.items()
    }
    members = [
        f"{quoted(name)}:{begun[id(tensor)]}{start},{stop}]}}"
        for name, tensor, start, stop in zip(names, tensors, offsets, offsets[1:])
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
