"""What lies in the memory of tensors while a model is being built.

A storage's content is a list of pieces, each a stretch of elements with one law. A tensor is a view: it reads and
writes the stretches that its offset, sizes and strides select.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from fanin.laws import (
    Constant,
    Diagonal,
    Law,
    Matrix,
    Random,
    Triangle,
    Unknown,
    Unset,
    Values,
    reordered,
    transposed,
)

MOST_VALUES = 1 << 22
"""Most values of one tensor that are computed: masks and tables are smaller, weights may be larger."""
MOST_STRETCHES = 4096
"""Most stretches of a view that are told apart, such as the rows of a block of columns."""
SWEEP = 1024
"""Storages after which those that are gone are looked for."""

Piece = tuple[int, Law]
"""So many elements with this law."""


def joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The same, neighbours of one law made one piece."""
    result: list[Piece] = []
    for length, law in pieces:
        if result and _continues(*result[-1], law):
            result[-1] = (result[-1][0] + length, result[-1][1])
        elif length:
            result.append((length, law))
    return result


def _continues(length: int, law: Law, following: Law) -> bool:
    if isinstance(law, Random) and isinstance(following, Random):
        return law == following and replace(law, place=law.place + length).is_same_draw(following)
    return law == following


class Stretches:
    """Pieces, to be cut."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._ends = list(itertools.accumulate(length for length, _ in pieces))

    def part(self, start: int, stop: int) -> Iterator[Piece]:
        """The pieces of elements [start, stop)."""
        for index in range(bisect.bisect_right(self._ends, start), len(self._pieces)):
            length, law = self._pieces[index]
            at = self._ends[index] - length
            if at >= stop:
                return
            first, last = max(start - at, 0), min(stop - at, length)
            if isinstance(law, Values):
                law = Values(law.tensor[first:last])
            elif isinstance(law, Random) and first:
                law = replace(law, place=law.place + first)
            yield last - first, law


def cast(pieces: Iterable[Piece], dtype: torch.dtype) -> list[Piece]:
    """What pieces become in a tensor of another type. A law stays: rounding is the storage type's."""

    def converted(law: Law) -> Law:
        match law:
            case Values(tensor):
                return Values(tensor.to(dtype))
            case Constant(value) if not dtype.is_floating_point and not dtype.is_complex:
                return Constant(torch.tensor(value, device="cpu").to(dtype).item())
            case Random() if not dtype.is_floating_point:
                return Unknown(f"a cast to {dtype}")
        return law

    return [(length, converted(law)) for length, law in pieces]


def values(pieces: list[Piece], dtype: torch.dtype) -> torch.Tensor | None:
    """The values, one-dimensional and in memory, of pieces that have some and are not too many."""
    if sum(length for length, _ in pieces) > MOST_VALUES:
        return None
    parts = []
    for length, law in pieces:
        match law:
            case Constant(value):
                parts.append(torch.full((length,), value, dtype=dtype, device="cpu"))
            case Values(tensor):
                parts.append(tensor.to(dtype))
            case _:
                return None
    return torch.cat(parts) if parts else torch.empty(0, dtype=dtype, device="cpu")


@dataclass
class _Storage:
    alive: StorageWeakRef
    """Also keeps the address from being used again while this is here."""
    itemsize: int
    pieces: list[Piece]


_current: ContextVar[Memory | None] = ContextVar("fanin_memory", default=None)


def current() -> Memory | None:
    """The memory of the model that is being recorded now, if one is."""
    return _current.get()


class Memory:
    """The content of every storage that was written."""

    def __init__(self) -> None:
        self._storages: dict[int, _Storage] = {}

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Within it, this is the `current` memory."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def read(self, tensor: torch.Tensor) -> list[Piece]:
        """The pieces of a tensor's elements, in row-major order."""
        if not tensor.numel():
            return []
        view, pieces = _View.of(tensor), self._of(tensor).pieces
        inside = joined(Stretches(pieces).part(view.start, view.stop))
        law = inside[0][1]
        if view.dense and view.stretches == 1:
            return inside
        if len(inside) == 1 and (seen := _through(view, law, view.sizes[::-1])):
            return [(view.count, seen)]
        known = values(inside, tensor.dtype)
        if known is not None:
            return [(view.count, Values(known.as_strided(view.sizes, view.strides).reshape(-1)))]
        if view.repeats or view.stretches > MOST_STRETCHES:
            return [(view.count, Unknown("expand" if view.repeats else "as_strided"))]
        whole = Stretches(pieces)
        return joined(itertools.chain.from_iterable(whole.part(*stretch) for stretch in view))

    def write(self, tensor: torch.Tensor, written: list[Piece]) -> None:
        """Put pieces in a tensor's elements, in row-major order."""
        if not tensor.numel():
            return
        view, storage = _View.of(tensor), self._of(tensor)
        old = Stretches(storage.pieces)
        mixed = _mixed(view, old, joined(cast(written, tensor.dtype)), tensor.dtype)
        storage.pieces = joined([*old.part(0, view.start), *mixed, *old.part(view.stop, _count(tensor))])

    def _of(self, tensor: torch.Tensor) -> _Storage:
        reference = tensor.untyped_storage()
        storage = self._storages.get(reference._cdata)
        if storage is None:
            if len(self._storages) % SWEEP == SWEEP - 1:
                self._storages = {key: kept for key, kept in self._storages.items() if not kept.alive.expired()}
            pieces: list[Piece] = [(_count(tensor), Unset())]
            if not tensor.is_meta:
                flat = torch.empty(0, dtype=tensor.dtype, device="cpu").set_(reference, 0, (_count(tensor),), (1,))
                pieces = [(_count(tensor), Values(flat.clone()))]
            storage = _Storage(StorageWeakRef(reference), tensor.itemsize, pieces)
            self._storages[reference._cdata] = storage
        if storage.itemsize != tensor.itemsize:
            # Elements of another size, as real parts of complex numbers: told apart no further.
            return _Storage(storage.alive, tensor.itemsize, [(_count(tensor), Unknown("view.dtype"))])
        return storage


def _through(view: _View, law: Law, shape: tuple[int, ...]) -> Law | None:
    """The law of what is read of one law through a view that is not contiguous, or of what is left when it is written.

    Where a whole matrix is in either order, `shape` is that of the tensor that has it in the order before.
    """
    match law:
        case Values():
            return None
        case Triangle(_, columns) if (view.sizes, view.strides) == ((columns,), (columns + 1,)):
            return Diagonal(law.draw)
        case Matrix():
            whole = law.shape == shape and view.strides == (1, view.sizes[0]) and not law.place
            return transposed(law) if whole else Unknown("a part of a matrix")
        case Random():
            return reordered(law) if view.dense else None
    return law


def _mixed(view: _View, old: Stretches, written: list[Piece], dtype: torch.dtype) -> list[Piece]:
    """What lies between a view's first and last element once these pieces are written in it."""
    length = view.stop - view.start
    if view.dense and view.stretches == 1:
        return written
    if view.dense and len(written) == 1 and (put := _through(view, written[0][1], view.sizes)):
        return [(length, put)]
    new = values(written, dtype)
    if new is not None:
        known = (
            torch.empty(length, dtype=dtype, device="cpu")
            if view.dense
            else values(list(old.part(view.start, view.stop)), dtype)
        )
        if known is not None:
            known = known.clone()
            known.as_strided(view.sizes, view.strides).copy_(new.view(view.sizes))
            return [(length, Values(known))]
    if view.repeats or view.stretches > MOST_STRETCHES:
        return [(length, Unknown("as_strided"))]
    result: list[Piece] = []
    source, run, at = Stretches(written), view.count // view.stretches, view.start
    for first, index in sorted((first, index) for index, (first, _) in enumerate(view)):
        result += [*old.part(at, first), *source.part(index * run, (index + 1) * run)]
        at = first + run
    return result


def _count(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().nbytes() // tensor.itemsize


@dataclass(frozen=True)
class _View:
    """Where a tensor's elements lie in its storage."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    start: int
    stop: int
    """After the last element."""
    count: int
    inner: int
    """Dimensions that belong to a stretch, the last ones."""

    @classmethod
    def of(cls, tensor: torch.Tensor) -> _View:
        # Dimensions of one element have any stride.
        dims = [(size, stride) for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size != 1]
        span = sum((int(size) - 1) * int(stride) for size, stride in dims)
        run, inner = 1, 0
        for size, stride in reversed(dims):
            if stride != run:
                break
            run *= size
            inner += 1
        start = int(tensor.storage_offset())
        sizes, strides = tuple(size for size, _ in dims), tuple(stride for _, stride in dims)
        return cls(sizes, strides, start, start + span + 1, tensor.numel(), inner)

    @property
    def stretches(self) -> int:
        return math.prod(self.sizes[: len(self.sizes) - self.inner])

    @property
    def repeats(self) -> bool:
        """Some elements lie in one place."""
        reach = 1
        for size, stride in sorted(zip(self.sizes, self.strides, strict=True), key=lambda dim: dim[1]):
            if stride < reach:
                return True
            reach += (size - 1) * stride
        return False

    @property
    def dense(self) -> bool:
        """All elements between the first and the last are the view's, once."""
        return self.count == self.stop - self.start and not self.repeats

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The stretches [start, stop), in the view's order."""
        outer = len(self.sizes) - self.inner
        run = self.count // self.stretches
        for index in itertools.product(*map(range, self.sizes[:outer])):
            first = self.start + sum(i * stride for i, stride in zip(index, self.strides, strict=False))
            yield first, first + run
