"""Two elements of four bits in a byte, the first of them in its lower half (SPEC.md section 7)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanin.dtypes import DType

Bytes = NDArray[np.uint8]


def packed(codes: Bytes) -> Bytes:
    """Return an even number of elements along the last axis, each in the lower half of a byte, two in a byte."""
    both = np.ascontiguousarray(codes).view("<u2")
    joined: Bytes = (both | both >> np.uint16(4)).astype(np.uint8)
    return joined


def unpacked(content: Bytes, dtype: DType) -> Bytes:
    """Return the bytes of a file as those of the elements in memory. They are the same if no byte has two elements."""
    if not dtype.in_file.is_packed:
        return content
    codes = np.empty(2 * len(content), np.uint8)
    codes[::2], codes[1::2] = content & np.uint8(15), content >> np.uint8(4)
    return codes
