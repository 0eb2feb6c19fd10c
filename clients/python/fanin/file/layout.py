"""The layout of a recipe's safetensors file: its header and the place of each tensor (SPEC.md section 8).

A layout generates no elements. It encodes the header on first use, because arrays in memory do not need it.
"""

from __future__ import annotations

import math
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from fanin.backends import pairs
from fanin.draws import Draw
from fanin.draws.quantization import source_bytes
from fanin.dtypes import STORAGE, DType
from fanin.errors import Fault, RecipeError
from fanin.file.order import FileOrder
from fanin.recipe import MAX_HEADER_BYTES, METADATA_RECIPE, Recipe, RecipeLike, as_recipe, quoted
from fanin.recipe.display import Summary
from fanin.schemes.base import Tensor
from fanin.streams import Stream

MAX_SOURCE = 128 << 20
"""Bytes of numbers from which quantized tensors are generated in about 0.3 s."""
MAX_TENSORS = 4096
"""Number of tensors, however small, that are generated in about 0.3 s if their draws are not plain."""


class Header:
    """The bytes of a file before the data of the tensors: length, JSON and padding."""

    __slots__ = ("_bytes", "_order", "_recipe")

    def __init__(self, recipe: Recipe, order: FileOrder) -> None:
        """Describe the tensors of `recipe`, whose order is `order`."""
        self._recipe, self._order = recipe, order
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
            self._bytes = _encode(self._recipe, self._order)
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
    """Number of its bytes in the file."""
    header: Header
    """Header of the file."""

    @property
    def count(self) -> int:  # type: ignore[override]  # tuple.count counts items
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def start(self) -> int:
        """Offset of its first byte in the file."""
        return len(self.header.bytes) + self.offset

    @property
    def stop(self) -> int:
        """Offset in the file of the byte after its last byte."""
        return self.start + self.nbytes

    def array(self, content: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the tensor as an array, from its bytes in the file. It has their memory if the types are the same."""
        elements: NDArray[Any] = pairs.unpacked(content, self.dtype).view(self.dtype.numpy).reshape(self.shape)
        return elements


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


class FileLayout:
    """The place of everything in the file of one recipe. It cannot be changed."""

    __slots__ = ("__weakref__", "_entries", "_header", "_order", "_recipe")

    def __init__(self, recipe: Recipe) -> None:
        """Lay out the file of this recipe. Sort the tensors and encode the header on first use.

        Raises:
            RecipeError: the header or the tensors are too large for the format, or a row ends within a byte.
        """
        self._recipe = recipe
        self._order = FileOrder.of(recipe.tensors)
        self._header = Header(recipe, self._order)
        self._entries: Entries | None = None
        if self._order.header_bound > MAX_HEADER_BYTES:
            _ = self.header  # refuses a recipe whose header is too long, before anything is generated

    @classmethod
    def of(cls, recipe: FileLayoutLike) -> FileLayout:
        """Return the layout of this recipe's file. A layout is returned as it is.

        Raises:
            RecipeError: the recipe is not valid, or its header or tensors are too large for the format.
        """
        return recipe if isinstance(recipe, FileLayout) else cls(as_recipe(recipe))

    def __reduce__(self) -> tuple[type[FileLayout], tuple[Recipe]]:
        return FileLayout, (self._recipe,)

    @property
    def recipe(self) -> Recipe:
        """The recipe of the file."""
        return self._recipe

    @property
    def entries(self) -> Entries:
        """Tensors in file order, without gaps."""
        # One object: backends keep what they have prepared for it.
        if self._entries is None:
            recipe, order = self.recipe, self._order
            tensors = order.sorted_tensors
            self._entries = Entries(recipe.stream, recipe.seed, order.names, tensors, order.offsets, self._header)
        return self._entries

    @property
    def places(self) -> Mapping[str, int]:
        """Index of each tensor in `entries`, by name."""
        return self._order.places

    @property
    def packed(self) -> range:
        """Indices of the tensors of which a byte of the file has two elements. They follow one another."""
        return self._order.packed

    @property
    def matrices(self) -> Sequence[int]:
        """Indices of the tensors that have an orthogonal matrix, in increasing order."""
        return self._order.matrices

    @property
    def composed(self) -> Sequence[int]:
        """Indices of the tensors whose draws are not plain, matrices included, in increasing order."""
        return self._order.composed

    @property
    def header(self) -> bytes:
        """The bytes before the tensors' data: length, JSON and padding. They are encoded on first use."""
        return self._header.bytes

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + self.entries.offsets[-1]

    def __repr__(self) -> str:
        return self._summary().text()

    def _repr_html_(self) -> str:
        return self._summary().html()

    def _summary(self) -> Summary:
        size = self._order.offsets[-1]
        return Summary(f"FileLayout: {len(self.recipe.tensors):,} tensors, {size:,} bytes of data", self.recipe.tensors)

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
        """Return whether bytes [start, stop) contain a part of a matrix. It needs other parts of the matrix, too."""
        return self._has(self.matrices, start, stop)

    def has_composed(self, start: int, stop: int) -> bool:
        """Return whether bytes [start, stop) contain a part of a tensor whose draw is not plain. Those take longer."""
        return self._has(self.composed, start, stop)

    def source_bytes(self, start: int, stop: int) -> int:
        """Return the bytes of float32 numbers from which quantized tensors in bytes [start, stop) are generated.

        They are many more than those of the file where these are scales. Stacks of small matrices, and `blocks` with
        many parts, have an equivalent number of bytes.
        """
        places, totals = self._order.sources
        if not places or start >= stop:
            return 0
        first, last = self.index_at(start), self.index_at(stop - 1)
        found = totals[bisect_right(places, last - 1)] - totals[bisect_right(places, first)] if first < last else 0
        for edge in {first, last}:
            entry = self.entries[edge]
            length = min(entry.stop, stop) - max(entry.start, start)
            dtype = entry.dtype.in_file
            found += source_bytes(entry.draw, -(-length // dtype.itemsize) * dtype.elements)
        return found

    def is_long(self, start: int, stop: int, max_source: int = MAX_SOURCE) -> bool:
        """Return whether bytes [start, stop) can take more than about 0.3 s, however few they are."""
        if self.source_bytes(start, stop) > max_source:
            return True
        return stop > start and self.tensors_in(start, stop) > MAX_TENSORS and self.has_composed(start, stop)

    def _has(self, places: Sequence[int], start: int, stop: int) -> bool:
        if not places:
            return False
        following = bisect_left(places, self.index_at(start))
        return following < len(places) and self.entries[places[following]].start < stop


FileLayoutLike = FileLayout | RecipeLike
"""A recipe in any form, or its layout. Pass a layout to several calls to create it only once."""


def _encode(recipe: Recipe, order: FileOrder) -> bytes:
    """Return the header of a recipe whose tensors have this order."""
    # Nothing but the seed differs from the header of another seed, so the long rest is encoded once.
    opening = f'{{"__metadata__":{{"format":"pt","{METADATA_RECIPE}":"{{\\"seed\\":\\"{recipe.seed:d}'.encode()
    rest: bytes | memoryview | None = order.behind_seed.get(recipe.stream)
    if rest is None:
        behind = recipe.canonical.decode().removeprefix(f'{{"seed":"{recipe.seed:d}')
        rest = f"{quoted(behind)[1:]}}}{order.header_members()}}}".encode()
    length = len(opening) + len(rest)
    padding = -length % 8
    if length + padding > MAX_HEADER_BYTES:
        detail = f"the file header takes {length + padding} bytes; safetensors readers allow {MAX_HEADER_BYTES}"
        raise RecipeError([Fault("/tensors", detail)])
    header = b"".join((struct.pack("<Q", length + padding), opening, rest, b" " * padding))
    order.behind_seed.setdefault(recipe.stream, memoryview(header)[8 + len(opening) : 8 + length])
    return header
