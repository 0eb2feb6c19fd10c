"""Keys and words of streams: section 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from fanin.backends.philox import philox4x32
from fanin.streams import Stream
from generator.encoding import hexadecimal

NAMES = ("weight", "a", "layers.0.attention.wq.weight", "мир/重み 🌱", "x" * 1024)


SEEDS = (0, 1, 42, 2**32, 2**53 + 1, 2**64 - 1)


BLOCKS = (0, 1, 2**32 - 1, 2**32, 2**33 + 5, 2**63, 2**64 - 1)


def keys() -> list[Any]:
    return [
        {"version": "fanin/1", "seed": str(seed), "name": name, "purpose": purpose, "key": hexadecimal(key)}
        for name in NAMES
        for seed in SEEDS
        for purpose in ("main", "low")
        for key in [Stream("fanin/1", seed, name).key(purpose)]
    ]


def words() -> list[Any]:
    key = Stream("fanin/1", 42, "weight").key("main")
    return [
        {"seed": "42", "name": "weight", "purpose": "main", "block": str(block), "words": hexadecimal(row)}
        for block in BLOCKS
        for row in philox4x32(key, np.array([block], np.uint64)).tolist()
    ]
