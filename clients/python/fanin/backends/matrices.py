"""A cache of orthogonal matrices, and of rows of scales. A backend generates each completely even for a part of it."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, TypeVar

import numpy as np

from fanin.draws import Orthogonal, Quantized
from fanin.dtypes import DType
from fanin.streams import Stream

CACHE_BYTES = 256 << 20
"""Default limit of a cache, in bytes. The newest matrix is cached even if it is larger."""


class ScaleRow(NamedTuple):
    """The scales of one row of groups of a quantized tensor."""

    draw: Quantized
    """The draw of the scales."""
    matrix: int
    row: int
    rows: int
    columns: int
    """Rows and columns of the scales themselves: one row."""


_D = TypeVar("_D", Orthogonal, ScaleRow)
Make = Callable[[_D, Stream, DType, memoryview], None]
"""Function that writes a complete matrix."""
_Key = tuple[Orthogonal | ScaleRow, Stream, DType]


class Matrices:
    """Complete matrices of one backend, in their storage types. Thread-safe.

    If several threads need the same matrix, one of them generates it and the others wait.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.limit = limit
        """Most bytes of cached matrices."""
        self._lock = threading.Lock()
        self._made: OrderedDict[_Key, Future[memoryview]] = OrderedDict()
        self.held = 0
        """Bytes of the cached matrices, including those that a thread is generating."""
        forget = weakref.WeakMethod(self._start_empty)

        def start_empty() -> None:
            if method := forget():
                method()

        os.register_at_fork(after_in_child=start_empty)

    def fill(
        self, make: Make[Orthogonal], draw: Orthogonal, stream: Stream, dtype: DType, first: int, out: memoryview
    ) -> None:
        """Write elements from `first` on to `out`, from the cache or from a matrix that `make` generates."""
        size = dtype.itemsize
        if not out:
            return
        if len(out) == draw.rows * draw.columns * size:
            make(draw, stream, dtype, out)
        else:
            out[:] = self.whole(make, draw, stream, dtype)[first * size : first * size + len(out)]

    def has(self, draw: Orthogonal, stream: Stream, dtype: DType) -> bool:
        """Return whether this matrix is cached, or a thread is generating it."""
        with self._lock:
            return (draw, stream, dtype) in self._made

    def clear(self) -> None:
        """Remove all matrices."""
        with self._lock:
            self._made.clear()
            self.held = 0

    def whole(self, make: Make[_D], draw: _D, stream: Stream, dtype: DType) -> memoryview:
        """Return a complete matrix, from the cache or from `make`. Nothing may write to it."""
        key = draw, stream, dtype
        while True:
            ours: Future[memoryview] = Future()
            try:
                future = self._begun(key, ours)
                if future is ours:
                    whole = np.empty(_size(key), np.uint8).data
                    make(draw, stream, dtype, whole)
                    ours.set_result(whole)
                    return whole
            except BaseException as error:
                with self._lock:
                    if self._made.get(key) is ours:
                        del self._made[key]
                        self.held -= _size(key)
                ours.set_exception(error)
                raise
            # An error of the other thread, such as an interrupt, is not an error of this one. It tries again.
            if future.exception() is None:
                return future.result()

    def _begun(self, key: _Key, ours: Future[memoryview]) -> Future[memoryview]:
        """Return the future of the matrix: another thread's, or `ours` if this thread must generate it."""
        with self._lock:
            if (future := self._made.get(key)) is not None:
                self._made.move_to_end(key)
                return future
            self._made[key] = ours
            self.held += _size(key)
            while self.held > self.limit and len(self._made) > 1:
                oldest, _ = self._made.popitem(last=False)
                self.held -= _size(oldest)
            return ours

    def _start_empty(self) -> None:
        """Start empty in a forked child: threads that exist only in the parent may hold the lock and owe matrices."""
        self._lock = threading.Lock()
        self._made = OrderedDict()
        self.held = 0


def _size(key: _Key) -> int:
    draw, _, dtype = key
    return draw.rows * draw.columns * dtype.itemsize
