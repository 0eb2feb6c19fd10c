"""Statistics of a tensor that is read once, in blocks, with memory for a block, a sample and the first elements."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.inspection.thresholds import HEAD, SAMPLE

Doubles = NDArray[np.float64]
Array = NDArray[Any]

_CHUNK = 1 << 16
"""Elements whose float64 values fit in the cache of a processor."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and sums of powers of deviations, which can be merged."""

    count: int = 0
    mean: float = 0.0
    second: float = 0.0
    third: float = 0.0
    fourth: float = 0.0

    @classmethod
    def of(cls, values: Doubles, weights: Doubles | None = None) -> Moments:
        """Return those of values, each as often as its weight says."""
        if not len(values):
            return cls()
        if weights is None:
            mean = float(values.mean())
            squares = (values - mean) ** 2
            third = float(np.dot(values - mean, squares))
            return cls(len(values), mean, float(squares.sum()), third, float(np.dot(squares, squares)))
        count = int(weights.sum())
        mean = float(np.dot(values, weights)) / count
        powers = [float(np.dot((values - mean) ** order, weights)) for order in (2, 3, 4)]
        return cls(count, mean, *powers)

    def merged(self, other: Moments) -> Moments:
        """Return those of both (Pebay 2008, equations 1.4, 1.5 and 2.1). Sums beyond float64 are infinite or NaN."""
        if not self.count or not other.count:
            return self if self.count else other
        a, b, n = self.count, other.count, self.count + other.count
        gap = other.mean - self.mean
        square = gap * gap  # `**` raises an OverflowError where a product is infinite
        second = self.second + other.second + square * a * b / n
        third = (
            self.third
            + other.third
            + square * gap * a * b * (a - b) / n**2
            + 3 * gap * (a * other.second - b * self.second) / n
        )
        fourth = (
            self.fourth
            + other.fourth
            + square * square * a * b * (a * a - a * b + b * b) / n**3
            + 6 * square * (a * a * other.second + b * b * self.second) / n**2
            + 4 * gap * (a * other.third - b * self.third) / n
        )
        return Moments(n, self.mean + gap * b / n, second, third, fourth)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of one tensor. Moments, bounds and values are those of its finite elements."""

    count: int
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    kurtosis: float | None
    zeros: int
    nonfinite: int
    sample: Doubles
    """Finite elements at random places, in their order: all of a small tensor, at most SAMPLE of a large one."""
    values: Doubles
    """Distinct values in increasing order: of all elements for types of at most 16 bits, otherwise of the sample."""
    counts: NDArray[np.int64]
    """Number of elements of each."""
    head: Array
    """First elements, in their type: at most HEAD."""
    digest: bytes
    """Hash of all bytes."""

    @property
    def is_constant(self) -> bool:
        """True if all elements are equal and finite."""
        return self.low is not None and self.low == self.high and not self.nonfinite

    @property
    def std_error(self) -> float:
        """Relative standard error of `std`, if elements are independent."""
        tail = max((self.kurtosis or 3.0) - 1, 0.5)
        return math.sqrt(tail / (4 * max(self.count, 1)))


def statistics(blocks: Iterable[Array], count: int) -> Statistics:
    """Return the statistics of a tensor of `count` elements, whose blocks are one-dimensional arrays in order.

    Complex elements count as two numbers each, and `count` says how many there are.
    """
    places = _places(count)
    taken: list[Doubles] = []
    head: list[Array] = []
    digest = hashlib.blake2b(digest_size=16)
    summary = _Summary()
    at = 0
    for block in blocks:
        digest.update(block.view(np.uint8).data)
        if at < HEAD:
            head.append(block[: HEAD - at].copy())
        first, last = np.searchsorted(places, (at, at + len(block)))
        taken.append(doubles(block[places[first:last] - at]))
        summary.add(block)
        at += len(block)
    sample = np.concatenate(taken) if taken else np.empty(0)
    sample = sample[np.isfinite(sample)]
    values, counts = summary.distinct() or np.unique(sample, return_counts=True)
    found = summary.moments
    std = math.sqrt(found.second / found.count) if found.count and math.isfinite(found.second) else None
    return Statistics(
        count=count,
        mean=found.mean if found.count else None,
        std=std,
        low=summary.low if found.count else None,
        high=summary.high if found.count else None,
        kurtosis=_kurtosis(found),
        zeros=summary.zeros,
        nonfinite=count - found.count,
        sample=sample,
        values=values,
        counts=counts,
        head=np.concatenate(head) if head else np.empty(0),
        digest=digest.digest(),
    )


def _kurtosis(found: Moments) -> float | None:
    if not found.count or not 0 < found.second < math.inf or not math.isfinite(found.fourth):
        return None
    variance = found.second / found.count
    # A constant has a variance of rounding errors, whose square can be 0.
    return found.fourth / found.count / variance / variance if variance * variance > 0 else None


def _places(count: int) -> NDArray[np.int64]:
    """Return the places of a sample: one at random in each of SAMPLE equal parts."""
    if count <= SAMPLE:
        return np.arange(count)
    shifts = np.random.Generator(np.random.Philox(0)).random(SAMPLE)
    return ((np.arange(SAMPLE) + shifts) * (count / SAMPLE)).astype(np.int64)


def doubles(block: Array) -> Doubles:
    """Return elements in float64, without a warning for NaN and numbers beyond it."""
    with np.errstate(all="ignore"):
        return block.astype(np.float64)


class _Summary:
    """Moments, bounds and zeros of blocks; for types of at most 16 bits from the counts of all bit patterns."""

    def __init__(self) -> None:
        self._moments = Moments()
        self._low, self._high, self._zeros = math.inf, -math.inf, 0
        self._patterns: NDArray[np.int64] | None = None
        self._dtype: np.dtype[Any] | None = None

    def add(self, block: Array) -> None:
        if block.dtype.itemsize <= 2:
            self._dtype = block.dtype
            bits = 8 * block.dtype.itemsize
            found = np.bincount(block.view(f"u{block.dtype.itemsize}"), minlength=1 << bits)
            self._patterns = found if self._patterns is None else self._patterns + found
            return
        for start in range(0, len(block), _CHUNK):
            self._add_values(doubles(block[start : start + _CHUNK]))

    def _add_values(self, values: Doubles) -> None:
        with np.errstate(all="ignore"):
            low, high = float(values.min()), float(values.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                values = values[np.isfinite(values)]
                if not len(values):
                    return
                low, high = float(values.min()), float(values.max())
            self._low, self._high = min(self._low, low), max(self._high, high)
            self._zeros += len(values) - int(np.count_nonzero(values))
            self._moments = self._moments.merged(Moments.of(values))

    @property
    def moments(self) -> Moments:
        found = self.distinct()
        if not found:
            return self._moments
        values, counts = found
        return Moments.of(values, counts.astype(np.float64))

    @property
    def low(self) -> float:
        found = self.distinct()
        return float(found[0][0]) if found else self._low

    @property
    def high(self) -> float:
        found = self.distinct()
        return float(found[0][-1]) if found else self._high

    @property
    def zeros(self) -> int:
        found = self.distinct()
        return int(found[1][found[0] == 0].sum()) if found else self._zeros

    def distinct(self) -> tuple[Doubles, NDArray[np.int64]] | None:
        """Return the finite values and their counts, in increasing order; None for types of more than 16 bits."""
        if self._patterns is None or self._dtype is None:
            return None
        used = np.flatnonzero(self._patterns)
        values = doubles(used.astype(f"u{self._dtype.itemsize}").view(self._dtype))
        finite = np.isfinite(values)
        values, places = np.unique(values[finite], return_inverse=True)
        counts = np.bincount(places, weights=self._patterns[used][finite], minlength=len(values))
        return values, counts.astype(np.int64)
