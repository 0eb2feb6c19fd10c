"""Streams: which random words belong to which tensor (SPEC.md section 4)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from hashlib import _Hash

Key = tuple[int, int, int, int]
Purpose = Literal["main", "low", "sparse"]
_WORDS = struct.Struct("<4I")


class Stream(NamedTuple):
    """The random words of one tensor: stream version, seed (u64) and tensor name."""

    version: str
    seed: int
    name: str

    def key(self, purpose: Purpose) -> Key:
        """Philox key and upper counter words (k0, k1, h0, h1) of one purpose of this stream.

        `main` gives every element its word, `low` the 32 further bits of a float64 draw,
        `sparse` the permutations of sparse tensors. The text is prefix-free:
        lengths come before what they measure, so no two streams share it.
        """
        digest = _begun(self.version, self.seed).copy()
        digest.update(_sized(self.name) + _PURPOSES[purpose])
        k0, k1, h0, h1 = _WORDS.unpack_from(digest.digest())
        return k0, k1, h0, h1

    def of_matrix(self, number: int) -> Stream:
        """Return the stream of a matrix of this number in the tensor. That of number 0 is the tensor's.

        No tensor's name has the character that this one has.
        """
        return self._replace(name=f"{self.name}\0{number}") if number else self


def main_keys(streams: Iterable[Stream]) -> bytes:
    """The keys of purpose main of many streams, four little-endian words each: as `key`, in a quarter of its time."""
    purpose, found = _PURPOSES["main"], list[bytes]()
    for version, seed, name in streams:
        digest = _begun(version, seed).copy()
        digest.update(_sized(name) + purpose)
        found.append(digest.digest()[:16])
    return b"".join(found)


@lru_cache(maxsize=64)
def _begun(version: str, seed: int) -> _Hash:
    """The part that all streams of a recipe share."""
    return hashlib.sha256(_sized(version) + struct.pack("<Q", seed))


def _sized(text: str) -> bytes:
    data = text.encode("utf-8")
    return len(data).to_bytes(4, "little") + data


_PURPOSES = {purpose: _sized(purpose) for purpose in get_args(Purpose)}
