"""Aligned host memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.dtypes import DType

ALIGNMENT = 64
"""Bytes: the length of the longest vector and of a cache line. JAX takes over memory without a copy only if it has
this alignment."""


def empty(count: int, dtype: DType) -> NDArray[Any]:
    """Return a one-dimensional array of `count` elements. Its values are undefined, its memory is aligned."""
    return aligned(count * dtype.itemsize).view(dtype.numpy)


def aligned(size: int) -> NDArray[np.uint8]:
    """Return `size` uninitialized bytes whose address is a multiple of `ALIGNMENT`.

    Raises:
        MemoryError: the system has no memory of this size.
    """
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]
