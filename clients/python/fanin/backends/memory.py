"""Aligned host memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
"""Bytes: the length of the longest vector and of a cache line. JAX takes over memory without a copy only if it has
this alignment."""


def aligned(size: int) -> NDArray[np.uint8]:
    """Return `size` uninitialized bytes whose address is a multiple of `ALIGNMENT`.

    Raises:
        MemoryError: the system has no memory of this size.
    """
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]
