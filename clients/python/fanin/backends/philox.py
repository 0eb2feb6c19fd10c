"""Words of a stream in NumPy (SPEC.md section 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanin.streams import Key

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]


def philox4x32(key: Key, blocks: U64) -> U32:
    """Philox4x32-10 (Salmon et al. 2011) at counters (lo32(b), hi32(b), h0, h1): one row of four words per block b."""
    k0, k1, h0, h1 = key
    mask = np.uint64(0xFFFFFFFF)
    c0, c1 = blocks & mask, blocks >> np.uint64(32)
    c2, c3 = np.full_like(c0, h0), np.full_like(c0, h1)
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & mask,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & mask,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def words(key: Key, first: int, count: int) -> U32:
    """Words [first, first + count) of a stream: element i has word i mod 4 of block i div 4."""
    begin, skip = divmod(first, 4)
    blocks = np.uint64(begin) + np.arange((skip + count + 3) // 4, dtype=np.uint64)
    return philox4x32(key, blocks).reshape(-1)[skip : skip + count]
