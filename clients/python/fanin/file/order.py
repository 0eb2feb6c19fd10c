"""The order of tensors in a file, and their places: all of a layout that does not depend on the seed."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, NoReturn

from fanin.draws import is_plain, matrix_of
from fanin.draws.quantization import source_bytes
from fanin.dtypes import PACKED, STORAGE
from fanin.errors import Fault, RecipeError, pointer
from fanin.recipe import MAX_HEADER_BYTES, quoted
from fanin.recipe.tensors import Tensors
from fanin.schemes.base import Tensor
from fanin.schemes.blocks import MAX_PARTS, Blocks
from fanin.schemes.quantized import Quantized as QuantizedScheme

MAX_FILE_BYTES = 2**63 - 1
"""Most bytes of a file: sizes and offsets fit a signed 64-bit integer."""

_CUT = "the last size must be even, because a byte has two elements of"
_RANK = {dtype: rank for rank, dtype in enumerate(STORAGE)}


class FileOrder:
    """The tensors of a recipe in file order. They are sorted on first use.

    Recipes that differ in their seeds share one order. Two threads may both sort, with the same result.
    """

    __slots__ = ("_packed", "_places", "_sorted", "_sources", "_special", "behind_seed", "header_bound", "tensors")

    def __init__(self, tensors: Tensors) -> None:
        """Check the sizes of these tensors.

        Raises:
            RecipeError: a tensor, or the data, is too large for the format, or a row of a tensor ends within a byte.
        """
        self.tensors = tensors
        self._sorted: tuple[tuple[str, ...], tuple[Tensor, ...], array[int]] | None = None
        self._places: dict[str, int] | None = None
        self._packed: range | None = None
        self._sources: tuple[Sequence[int], Sequence[int]] | None = None
        self._special: tuple[Sequence[int], Sequence[int]] | None = None
        self.behind_seed: dict[str, memoryview] = {}
        """The part of a header behind the seed in it, by the stream version of the recipe, in one of the headers."""
        sizes = {key: _nbytes(tensor) for key, tensor in tensors.distinct.items()}
        total = sum(sizes[id(tensor)] * names for _, tensor, names in tensors.lines())
        if total > MAX_FILE_BYTES - MAX_HEADER_BYTES or any(
            _overflows(tensor) or _is_cut(tensor) for tensor in tensors.distinct.values()
        ):
            self._refuse(total)
        self.header_bound = header_bound(tensors)
        """At least the bytes of the header."""

    @classmethod
    def of(cls, tensors: Tensors) -> FileOrder:
        """Return the order of these tensors, which is created once.

        Raises:
            RecipeError: a tensor, or the data, is too large for the format, or a row of a tensor ends within a byte.
        """
        if tensors.order is None:
            tensors.order = cls(tensors)
        order: FileOrder = tensors.order
        return order

    def __reduce__(self) -> tuple[Any, ...]:
        # A memoryview cannot be pickled. The copy computes everything again.
        return FileOrder.of, (self.tensors,)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in file order."""
        return self._ordered[0]

    @property
    def sorted_tensors(self) -> tuple[Tensor, ...]:
        """Tensors in file order."""
        return self._ordered[1]

    @property
    def offsets(self) -> array[int]:
        """Offsets of the tensors' first bytes in the data, and of the byte after the last one."""
        return self._ordered[2]

    @property
    def places(self) -> dict[str, int]:
        """Index of each tensor by name."""
        if self._places is None:
            self._places = dict(zip(self.names, range(len(self.names))))
        return self._places

    @property
    def packed(self) -> range:
        """Indices of the tensors of which a byte has two elements. They follow one another."""
        if self._packed is None:
            ends = min(map(_RANK.__getitem__, PACKED)), max(map(_RANK.__getitem__, PACKED)) + 1
            self._packed = range(*(bisect_left(self.sorted_tensors, end, key=_rank) for end in ends))
        return self._packed

    @property
    def matrices(self) -> Sequence[int]:
        """Indices of the tensors that have an orthogonal matrix, in increasing order."""
        return self._found[0]

    @property
    def composed(self) -> Sequence[int]:
        """Indices of the tensors whose draws are not plain, matrices included, in increasing order."""
        return self._found[1]

    @property
    def sources(self) -> tuple[Sequence[int], Sequence[int]]:
        """Indices of tensors with `source_bytes`, and the sums of these bytes before each of them, and of all."""
        if self._sources is None:
            distinct = self.tensors.distinct.items()
            found = {key: source_bytes(tensor.draw, math.prod(tensor.shape)) for key, tensor in distinct}
            sizes = {key: size for key, size in found.items() if size}
            places = self._indices(sizes)
            tensors = self.sorted_tensors
            self._sources = places, list(accumulate((sizes[id(tensors[place])] for place in places), initial=0))
        return self._sources

    def header_members(self) -> str:
        """Return the tensors in the JSON of a file's header, each behind a comma."""
        names, tensors, offsets = self._ordered
        begun = {
            key: f'{{"dtype":"{tensor.dtype}","shape":[{",".join(map(str, tensor.shape))}],"data_offsets":['
            for key, tensor in self.tensors.distinct.items()
        }
        members = [
            f",{quoted(name)}:{begun[id(tensor)]}{start},{stop}]}}"
            for name, tensor, start, stop in zip(names, tensors, offsets, offsets[1:])
        ]
        return "".join(members)

    @property
    def _ordered(self) -> tuple[tuple[str, ...], tuple[Tensor, ...], array[int]]:
        if self._sorted is None:
            tensors = self.tensors
            names = tensors.sorted_names
            if len({tensor.dtype for tensor in tensors.distinct.values()}) > 1:
                names = tuple(sorted(names, key=lambda name: _RANK[tensors[name].dtype]))
            ordered = tuple(map(tensors.__getitem__, names))
            sizes = {key: _nbytes(tensor) for key, tensor in tensors.distinct.items()}
            offsets = array("Q", accumulate((sizes[id(tensor)] for tensor in ordered), initial=0))
            self._sorted = names, ordered, offsets
        return self._sorted

    @property
    def _found(self) -> tuple[Sequence[int], Sequence[int]]:
        if self._special is None:
            distinct = self.tensors.distinct.items()
            composed = self._indices(
                key for key, tensor in distinct if not is_plain(tensor.draw, STORAGE[tensor.dtype])
            )
            matrices = self._indices(key for key, tensor in distinct if matrix_of(tensor.draw))
            self._special = matrices, composed
        return self._special

    def _indices(self, keys: Iterable[int]) -> Sequence[int]:
        """Return the indices of the tensors with these ids."""
        chosen = set(keys)
        return [place for place, tensor in enumerate(self.sorted_tensors) if id(tensor) in chosen] if chosen else ()

    def _refuse(self, total: int) -> NoReturn:
        for dtype in STORAGE:
            for name in sorted(name for name, tensor in self.tensors.items() if tensor.dtype == dtype):
                path, tensor = pointer(["tensors", name, "shape"]), self.tensors[name]
                if _overflows(tensor):
                    raise RecipeError([Fault(path, "the sizes multiply to 2^63 bytes or more")])
                if _is_cut(tensor):
                    raise RecipeError([Fault(path, f"{list(tensor.shape)}: {_CUT} {dtype}")])
        raise RecipeError([Fault("/tensors", f"the tensors take {total} bytes, more than 2^63 allows")])


def header_bound(tensors: Tensors) -> int:
    """Return more bytes than the header of a file with these tensors has, without encoding it.

    A character of a name takes at most 8 bytes: 4 in the recipe and 4 in the header. A quotation mark has 4 in the
    recipe, which is JSON within JSON, and 2 in the header. A tensor has at most 14 members. Its lists are not longer
    than its shape.
    """
    bounds = {key: _bound_of_text(tensor) for key, tensor in tensors.distinct.items()}
    bound = 1000 + sum(names * (8 * len(name) + bounds[id(tensor)]) for name, tensor, names in tensors.lines())
    if bound <= MAX_HEADER_BYTES:
        return bound
    # Many tensors: look at what each of them says, twice as long with its quotation marks escaped.
    exact = {
        key: 100 + 20 * len(tensor.shape) + 2 * len(tensors.texts[key]) for key, tensor in tensors.distinct.items()
    }
    return 1000 + sum(names * (8 * len(name) + exact[id(tensor)]) for name, tensor, names in tensors.lines())


def _bound_of_text(tensor: Tensor) -> int:
    if isinstance(tensor, QuantizedScheme):
        # A twin has 1024 bytes at most, which are written as 8 at most.
        return 1500 + 60 * len(tensor.shape) + 8 * len(tensor.twin or "") + _bound_of_text(tensor.of)
    return (1500 + 60 * len(tensor.shape)) * (MAX_PARTS + 1 if isinstance(tensor, Blocks) else 1)


def _rank(tensor: Tensor) -> int:
    return _RANK[tensor.dtype]


def _nbytes(tensor: Tensor) -> int:
    return STORAGE[tensor.dtype].file_bytes(math.prod(tensor.shape))


def _overflows(tensor: Tensor) -> bool:
    # A reader multiplies the lengths of the axes one after another. Its product overflows even if a later one is 0.
    return STORAGE[tensor.dtype].file_bytes(math.prod(size or 1 for size in tensor.shape)) > MAX_FILE_BYTES


def _is_cut(tensor: Tensor) -> bool:
    """Return whether a row of the tensor ends within a byte."""
    dtype = STORAGE[tensor.dtype].in_file
    return math.prod(tensor.shape[-1:]) % dtype.elements > 0
