"""Patterns in the elements of a tensor: equal rows, tables, and whether elements look like independent draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.inspection.measures.statistics import Doubles, Statistics, doubles
from fanin.inspection.thresholds import ENTROPY_BITS

_SHORTEST = 8
"""Elements of a row below which equal rows prove nothing."""
_COLUMN = 256
"""Rows of a matrix in which its columns are compared."""
_AUTOCORRELATION = 6.0
"""Standard errors: independent elements exceed them with a probability of 2e-9."""


def looks_random(found: Statistics) -> bool:
    """Return whether elements look like independent draws: many values, and no correlation of neighbours.

    Tables, such as positions, frequencies and masks, are correlated along their rows. A tensor whose sample has no
    finite element shows nothing, although it may have finite elements elsewhere.
    """
    if not len(found.sample) or len(found.values) < 3 or found.count * math.log2(len(found.values)) < ENTROPY_BITS:
        return False
    row = doubles(found.head[: 1 << 16])
    row = row[np.isfinite(row)]
    return not (_is_monotone(row) or _is_correlated(row))


def equal_rows(head: NDArray[Any], shape: Sequence[int]) -> tuple[str, int, int, tuple[int, int]] | None:
    """Return how many random rows, or columns, of a tensor repeat earlier ones.

    Only the complete rows among the first elements are compared, and columns only within the first rows.

    Returns:
        `rows` or `columns`, the number that repeat, the number that were compared, and the indices of the first pair;
        None if none repeats.
    """
    if len(shape) < 2 or not len(head):
        return None
    columns = shape[-1]
    matrices = [("rows", math.prod(shape[1:]))] if shape[0] > 1 else []
    for axis, length in [*matrices, ("columns", columns)]:
        if not length or len(head) < length:
            continue
        matrix = head[: len(head) // length * length].reshape(-1, length)
        found = _repeated(matrix if axis == "rows" else np.ascontiguousarray(matrix[:_COLUMN].T))
        if found:
            return axis, *found
    return None


def _repeated(matrix: NDArray[Any]) -> tuple[int, int, tuple[int, int]] | None:
    """Return the number of random rows that repeat earlier ones, of all rows, and the first pair."""
    rows, length = matrix.shape
    if length < _SHORTEST or rows < 2:
        return None
    keys = _keys(matrix)
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1]) + 1
    repeats = [place for place in same[:1024] if _is_random(matrix[order[place]])]
    if not repeats:
        return None
    first = repeats[0]
    again = len(repeats) if len(same) <= 1024 else len(same)
    return again, rows, (int(order[first - 1]), int(order[first]))


def _keys(matrix: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each row: equal rows have equal ones, others with a probability of about 2^-60."""
    bits = np.ascontiguousarray(matrix).view(np.uint8).reshape(len(matrix), -1)
    size = next(size for size in (4, 2, 1) if bits.shape[1] % size == 0)
    words = bits.view(f"u{size}")
    factors = np.random.Generator(np.random.Philox(1)).integers(0, 1 << 63, words.shape[1], np.uint64) * np.uint64(2)
    factors += np.uint64(1)
    keys = np.zeros(len(matrix), np.uint64)
    step = max(1, (1 << 20) // max(words.shape[1], 1))
    for start in range(0, len(words), step):
        block = words[start : start + step].astype(np.uint64)
        # Rotated halves: the low bits of a sum of products depend on the low bits of words alone.
        block = (block ^ (block << np.uint64(29))) * factors
        keys[start : start + step] = (block ^ (block >> np.uint64(31))).sum(axis=1, dtype=np.uint64)
    return keys


def _is_random(row: NDArray[Any]) -> bool:
    """Return whether a row has the entropy of draws. Tables are monotone, or symmetric, or mostly zeros."""
    values = doubles(row)
    distinct = len(np.unique(values))
    if distinct < 3 or len(values) * math.log2(distinct) < ENTROPY_BITS or not np.isfinite(values).all():
        return False
    if np.count_nonzero(values) * 2 < len(values) or np.array_equal(values, values[::-1]):
        return False
    return not (_is_monotone(values) or _is_correlated(values))


def _is_monotone(values: Doubles) -> bool:
    steps = np.diff(values)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _is_correlated(values: Doubles) -> bool:
    with np.errstate(all="ignore"):
        centred = values - values.mean()
        power = float(np.dot(centred, centred))
        if not 0 < power < math.inf:
            return False
        lags = (lag for lag in (1, 2) if lag < len(values))
        most = max((abs(float(np.dot(centred[:-lag], centred[lag:]))) / power for lag in lags), default=0.0)
    return most > _AUTOCORRELATION / math.sqrt(len(values))
