"""Matrices that are made whole because a part of them is asked for, and kept for the next part."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

from fanin.draws import Orthogonal
from fanin.dtypes import DType
from fanin.streams import Stream

BYTES = 256 << 20
"""Memory that kept matrices may take, by default; the newest always stays."""

Make = Callable[[Orthogonal, Stream, DType, memoryview], None]
"""Writes a whole matrix, as a bound method of the backend that makes it."""
_Key = tuple[Make, Orthogonal, Stream, DType]


class Matrices:
    """Whole matrices in their storage types, those of one backend never taken for another's. For any number of threads.

    A matrix that several threads ask for is made by one of them; the others wait for it.
    """

    def __init__(self, limit: int = BYTES) -> None:
        self.limit = limit
        """Bytes that kept matrices may take."""
        self._lock = threading.Lock()
        self._made: OrderedDict[_Key, Future[memoryview]] = OrderedDict()
        self.held = 0
        """Bytes that they take."""

    def fill(self, make: Make, draw: Orthogonal, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """As `Backend.fill`, by a function that writes the whole."""
        size = dtype.itemsize
        if not out:
            return
        if len(out) == draw.rows * draw.columns * size:
            make(draw, stream, dtype, out)
        else:
            out[:] = self._whole((make, draw, stream, dtype))[first * size : first * size + len(out)]

    def has(self, draw: Orthogonal, stream: Stream, dtype: DType) -> bool:
        """Return whether any backend has cached this matrix or is generating it."""
        with self._lock:
            return any(key[1:] == (draw, stream, dtype) for key in self._made)

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._made.clear()
            self.held = 0

    def _whole(self, key: _Key) -> memoryview:
        make, draw, stream, dtype = key
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
            # What stopped another thread, as an interrupt does, is no error of this one, which makes it then.
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

    def begin_again(self) -> None:
        """Start empty in a forked child: threads that exist only in the parent may hold the lock and owe matrices."""
        self._lock = threading.Lock()
        self._made = OrderedDict()
        self.held = 0


KEPT = Matrices()
"""Of this process."""
os.register_at_fork(after_in_child=KEPT.begin_again)


def _size(key: _Key) -> int:
    _, draw, _, dtype = key
    return draw.rows * draw.columns * dtype.itemsize
