"""Random permutations of the rows of each line of a tensor, one element at a time (SPEC.md section 6.11).

A Feistel network permutes pairs of digits, with Philox words as round functions. It is repeated while its result is not
a row (Black & Rogaway 2002, doi:10.1007/3-540-45760-7_9).
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from fanin.backends.philox import philox4x32
from fanin.draws import Sparse
from fanin.streams import Key

U64 = NDArray[np.uint64]

ATTACK = 2**36
"""Least number of permutations that the best known attack needs to distinguish the network from a random one. It
needs sides^(rounds - 6) (Patarin 2008, eprint 2008/036)."""


def sides(size: int) -> tuple[int, int]:
    """Return the numbers of values of both digits of a row. There are at least as many pairs as rows."""
    first = isqrt(size - 1) + 1
    return first, -(-size // first)


def rounds(size: int) -> int:
    """Return the number of rounds of the network. It is even."""
    first, _ = sides(size)
    count = 0 if first == 1 else 6
    while count and first ** (count - 6) < ATTACK:
        count += 2
    return count


def permuted(key: Key, size: int, lines: U64, rows: U64) -> U64:
    """Return the index of each row, below `size`, in the permutation of its line."""
    first, second = map(np.uint64, sides(size))
    left, right = np.divmod(rows, second)
    for n in range(0, rounds(size), 2):
        left = (left + _below(key, first, lines, n, right)) % first
        right = (right + _below(key, second, lines, n + 1, left)) % second
    places = left * second + right
    outside = places >= size
    if outside.any():
        places[outside] = permuted(key, size, lines[outside], places[outside])
    return places


def zeros(draw: Sparse, key: Key, positions: U64) -> NDArray[np.bool_]:
    """Return which of the elements at these positions are zero."""
    inner, size = np.uint64(draw.inner), np.uint64(draw.size)
    above, inside = np.divmod(positions, inner)
    outer, rows = np.divmod(above, size)
    chosen: NDArray[np.bool_] = permuted(key, draw.size, outer * inner + inside, rows) < draw.zeros
    return chosen


def _below(key: Key, limit: np.uint64, lines: U64, n: int, digits: U64) -> U64:
    """A random number below `limit` for each line and digit, of round n."""
    blocks = (lines << np.uint64(22)) + np.uint64(n << 16) + digits
    words: U64 = philox4x32(key, blocks)[:, 0].astype(np.uint64)
    return words * limit >> np.uint64(32)
