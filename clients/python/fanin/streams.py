"""Streams: which random words belong to which tensor (SPEC.md section 4)."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Literal

Key = tuple[int, int, int, int]
Purpose = Literal["main", "low"]


@dataclass(frozen=True, slots=True)
class Stream:
    """The random words of one tensor: stream version, seed (u64) and tensor name."""

    version: str
    seed: int
    name: str

    def key(self, purpose: Purpose) -> Key:
        """Philox key and upper counter words (k0, k1, h0, h1) of one purpose of this stream.

        `main` gives every element its word, `low` the 32 further bits of a float64 draw. The text is prefix-free:
        lengths come before what they measure, so no two streams share it.
        """
        text = b"".join(
            (
                _sized(self.version),
                struct.pack("<Q", self.seed),
                _sized(self.name),
                _sized(purpose),
            )
        )
        k0, k1, h0, h1 = struct.unpack("<4I", hashlib.sha256(text).digest()[:16])
        return k0, k1, h0, h1


def _sized(text: str) -> bytes:
    data = text.encode("utf-8")
    return struct.pack("<I", len(data)) + data
