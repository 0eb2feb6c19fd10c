"""Matrices that are made whole because a part of them is asked for, and kept for the next part."""

from __future__ import annotations

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
        """Whether this matrix is kept, or in the making, by any backend."""
        with self._lock:
            return any(key[1:] == (draw, stream, dtype) for key in self._made)

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._made.clear()
            self.held = 0

    def _whole(self, key: _Key) -> memoryview:
        with self._lock:
            future = self._made.get(key)
            if future is not None:
                self._made.move_to_end(key)
            else:
                ours = self._made[key] = Future()
                self.held += _size(key)
                while self.held > self.limit and len(self._made) > 1:
                    oldest, _ = self._made.popitem(last=False)
                    self.held -= _size(oldest)
        if future is not None:
            return future.result()
        make, draw, stream, dtype = key
        try:
            whole = np.empty(_size(key), np.uint8).data
            make(draw, stream, dtype, whole)
        except BaseException as error:
            with self._lock:
                if self._made.get(key) is ours:
                    del self._made[key]
                    self.held -= _size(key)
            ours.set_exception(error)
            raise
        ours.set_result(whole)
        return whole


KEPT = Matrices()
"""Of this process."""


def _size(key: _Key) -> int:
    _, draw, _, dtype = key
    return draw.rows * draw.columns * dtype.itemsize
