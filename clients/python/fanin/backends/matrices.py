"""A cache of orthogonal matrices, whose columns a backend generates by need, and of rows of scales.

The columns of a matrix with more columns than rows are its rows here: those of the tall matrix q of SPEC.md section
6.12.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fanin.draws import Orthogonal, Quantized
from fanin.dtypes import DType
from fanin.streams import Stream

CACHE_BYTES = 256 << 20
"""Default limit of a cache, in bytes. The newest matrix is cached even if it is larger."""
_PANELS = 64
"""Number of columns of full depth that cost about as much as all panels before them, measured with 1024 and 4096."""


class Columns(Protocol):
    """One matrix, some of whose columns may be written already."""

    nbytes: int
    """Bytes of memory that it needs for further columns."""

    def make(self, first: int, stop: int) -> None:
        """Write at least columns [first, stop). No other thread calls it meanwhile."""


class Complete:
    """A matrix that a backend generates completely."""

    nbytes = 0

    def __init__(self, make: Callable[[], None]) -> None:
        """Call `make` for any columns."""
        self._make = make

    def make(self, _first: int, _stop: int) -> None:
        """Write all columns."""
        self._make()


class ScaleRow(NamedTuple):
    """The scales of one row of groups of a quantized tensor. It is cached as a matrix of one row."""

    draw: Quantized
    """The draw of the scales."""
    matrix: int
    row: int
    rows: int
    columns: int
    """Rows and columns of the scales themselves: one row."""


Begin = Callable[[Any, Stream, DType, memoryview], Columns]
"""Function that returns what writes the columns of a matrix to memory for the complete matrix."""
_Key = tuple[Orthogonal | ScaleRow, Stream, DType]


class Matrices:
    """Matrices of one backend, in their storage types, complete or in part. Thread-safe.

    If several threads need the same matrix, one of them generates columns and the others wait.
    """

    def __init__(self, limit: int = CACHE_BYTES, group_bytes: int | None = None) -> None:
        """Start empty. The backend generates columns in groups of `group_bytes` a row; if it is None, all at once."""
        self.limit = limit
        """Most bytes of cached matrices."""
        self._group_bytes = group_bytes
        self._lock = threading.Lock()
        self._made: OrderedDict[_Key, _Matrix] = OrderedDict()
        self.held = 0
        """Bytes of the cached matrices, including those that a thread is generating."""
        forget = weakref.WeakMethod(self._start_empty)

        def start_empty() -> None:
            if method := forget():
                method()

        os.register_at_fork(after_in_child=start_empty)

    def fill(self, begin: Begin, draw: Orthogonal, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write elements from `first` on to `out`, from the cache or from columns that `begin` generates."""
        size = dtype.itemsize
        if not out:
            return
        if len(out) == draw.rows * draw.columns * size:
            begin(draw, stream, dtype, out).make(0, min(draw.rows, draw.columns))
            return
        wanted = columns_of(draw, first, len(out) // size)
        out[:] = self._written(begin, (draw, stream, dtype), wanted)[first * size : first * size + len(out)]

    def fill_runs(
        self,
        begin: Begin,
        draw: Orthogonal,
        stream: Stream,
        dtype: DType,
        firsts: NDArray[np.uint64],
        count: int,
        addresses: NDArray[np.uint64],
    ) -> None:
        """Write runs of `count` elements each, at least one. Run n has the elements from firsts[n] on."""
        wanted = [columns_of(draw, first, count) for first in firsts.tolist()]
        span = min(first for first, _ in wanted), max(stop for _, stop in wanted)
        whole = self._written(begin, (draw, stream, dtype), span)
        source, size = ctypes.addressof(ctypes.c_char.from_buffer(whole)), dtype.itemsize
        for first, address in zip(firsts.tolist(), addresses.tolist(), strict=True):
            ctypes.memmove(address, source + first * size, count * size)

    def scales(self, begin: Begin, row: ScaleRow, stream: Stream, dtype: DType) -> memoryview:
        """Return a complete row of scales, from the cache or from `begin`. Nothing may write to it."""
        return self._written(begin, (row, stream, dtype), (0, 1))

    def share(self, draw: Orthogonal, stream: Stream, dtype: DType, first: int, count: int) -> float:
        """Return the work that elements [first, first + count) need, in proportion to that of the complete matrix.

        It is 0 if their columns are cached, or a thread is generating them.
        """
        with self._lock:
            matrix = self._made.get((draw, stream, dtype))
        every, together = min(draw.rows, draw.columns), self._together(draw, dtype)
        column, stop = columns_of(draw, first, count)
        groups = range(column // together, -(-stop // together))
        if matrix and all(matrix.is_begun[groups.start : groups.stop]):
            return 0.0
        return _work(draw, groups.start * together, min(groups.stop * together, every)) / _work(draw, 0, every)

    def clear(self) -> None:
        """Remove all matrices."""
        with self._lock:
            self._made.clear()
            self.held = 0

    def _together(self, draw: Orthogonal | ScaleRow, dtype: DType) -> int:
        """Return the number of columns of a group."""
        return self._group_bytes // dtype.compute.itemsize if self._group_bytes else min(draw.rows, draw.columns)

    def _written(self, begin: Begin, key: _Key, wanted: tuple[int, int]) -> memoryview:
        """Return memory for the complete matrix, in which the columns [first, stop) of `wanted` are valid."""
        together = self._together(key[0], key[2])
        groups = range(wanted[0] // together, -(-wanted[1] // together))
        while True:
            matrix = self._begun(key, together)
            if matrix.has(groups):
                return matrix.whole
            with matrix.lock:
                if (
                    matrix.is_lost
                ):  # by an error of another thread, such as an interrupt, which is not one of this thread
                    continue
                try:
                    matrix.make(begin, key, groups)
                except BaseException:
                    matrix.is_lost = True
                    with self._lock:
                        if self._made.get(key) is matrix:
                            del self._made[key]
                            self.held -= matrix.nbytes
                    raise
                self._account(key, matrix)
                return matrix.whole

    def _begun(self, key: _Key, together: int) -> _Matrix:
        """Return the matrix of the cache, another thread's or a new one."""
        with self._lock:
            if (matrix := self._made.get(key)) is not None:
                self._made.move_to_end(key)
                return matrix
            matrix = self._made[key] = _Matrix(key, together)
            self.held += matrix.nbytes
            self._evict()
            return matrix

    def _account(self, key: _Key, matrix: _Matrix) -> None:
        """Count what a matrix needs for further columns."""
        with self._lock:
            if self._made.get(key) is matrix:
                self.held += matrix.recount()
                self._evict()

    def _evict(self) -> None:
        while self.held > self.limit and len(self._made) > 1:
            _, oldest = self._made.popitem(last=False)
            self.held -= oldest.nbytes

    def _start_empty(self) -> None:
        """Start empty in a forked child: threads that exist only in the parent may hold locks and owe columns."""
        self._lock = threading.Lock()
        self._made = OrderedDict()
        self.held = 0


class _Matrix:
    """One matrix of the cache. `lock` protects all but `nbytes`, for which the cache has one."""

    def __init__(self, key: _Key, together: int) -> None:
        draw, _, dtype = key
        self.lock = threading.Lock()
        self.whole = memoryview(b"")
        self.is_lost = False
        """True if an error left it without columns. It is no longer in the cache then."""
        self._size = self.nbytes = draw.rows * draw.columns * dtype.itemsize
        """Bytes that the cache counts."""
        self._together, self._columns = together, min(draw.rows, draw.columns)
        self._is_valid = bytearray(-(-self._columns // together))
        """1 for each group of columns that is written."""
        self.is_begun = bytearray(len(self._is_valid))
        """1 for each group of columns that is written, or that a thread generates."""
        self._further: Columns | None = None

    def has(self, groups: range) -> bool:
        """Return whether these groups of columns are written. It needs no lock."""
        return all(self._is_valid[groups.start : groups.stop])

    def make(self, begin: Begin, key: _Key, groups: range) -> None:
        """Write these groups of columns.

        If groups right before them are written, it writes at least as many: a program that reads a matrix from its
        start to its end then needs few calls, and all threads are busy in most of them.
        """
        behind = self._is_valid[: groups.start]
        stop = min(max(groups.stop, groups.start + len(behind) - len(behind.rstrip(b"\1"))), len(self._is_valid))
        missing = [match.span() for match in re.finditer(b"\0+", self._is_valid[groups.start : stop])]
        if not missing:
            return
        if self._further is None:
            self.whole = np.empty(self._size, np.uint8).data
            self._further = begin(*key, self.whole)
        for start, end in missing:
            own = slice(groups.start + start, groups.start + end)
            self.is_begun[own] = b"\1" * (end - start)
            self._further.make(own.start * self._together, min(own.stop * self._together, self._columns))
            self._is_valid[own] = b"\1" * (end - start)
        if all(self._is_valid):
            self._further = None

    def recount(self) -> int:
        """Count the bytes again, and return by how many there are more."""
        before, self.nbytes = self.nbytes, self._size + (self._further.nbytes if self._further else 0)
        return self.nbytes - before


def columns_of(draw: Orthogonal, first: int, count: int) -> tuple[int, int]:
    """Return the columns [first, stop) of q that have elements [first, first + count), at least one element."""
    row, column = divmod(first, draw.columns)
    last = first + count - 1
    if draw.rows < draw.columns:
        return row, last // draw.columns + 1
    if last // draw.columns > row:
        return 0, draw.columns
    return column, column + count


def _work(draw: Orthogonal, first: int, stop: int) -> float:
    """Return a number in proportion to the time of columns [first, stop), and of all panels before their end."""
    rows = max(draw.rows, draw.columns)

    def depth(column: int) -> float:  # elements of the Householder vectors of the panels before a column
        return rows * column - column**2 / 2

    def reflected(column: int) -> float:  # the sum of the depths of all columns before it
        return rows * column**2 / 2 - column**3 / 6

    return reflected(stop) - reflected(first) + _PANELS * depth(stop)
