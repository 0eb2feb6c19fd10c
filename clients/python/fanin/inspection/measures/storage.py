"""Effects of storage types: what rounding a sample to a type does, and how many values a draw should have in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.dtypes import STORAGE, DType
from fanin.inspection.measures.kolmogorov import edges, normal_cdf
from fanin.inspection.measures.statistics import Doubles, Statistics

NARROW = ("BF16", "F8_E4M3", "F8_E5M2")
"""Types whose effects on a sample are reported."""


def effects(sample: Doubles, dtype: DType) -> Mapping[str, Mapping[str, float]]:
    """Return what storing a sample in each narrower type does, by type.

    Each has `distinct` values, the shares `clamped` to the largest number and rounded to `zero`, and the `error`: root
    mean square of the change over the standard deviation of the sample.
    """
    spread = float(sample.std()) if len(sample) else 0.0
    if not spread or not math.isfinite(spread):
        return {}
    return {
        name: _effect(sample, STORAGE[name], spread) for name in NARROW if STORAGE[name].precision < dtype.precision
    }


def _effect(sample: Doubles, dtype: DType, spread: float) -> Mapping[str, float]:
    clamped = np.clip(sample, -dtype.largest, dtype.largest)
    with np.errstate(all="ignore"):
        stored = clamped.astype(np.float32).astype(dtype.numpy).astype(np.float64)
    nonzero = max(int(np.count_nonzero(sample)), 1)
    return {
        "distinct": float(len(np.unique(stored))),
        "clamped": float((clamped != sample).mean()),
        "zero": float(((stored == 0) & (sample != 0)).sum() / nonzero),
        "error": float(np.sqrt(np.mean((stored - sample) ** 2)) / spread),
    }


def expected_distinct(found: Statistics, dtype: DType) -> float:
    """Return the expected number of distinct values of a normal draw of this size and spread in the type.

    The spread is that of the middle half of the sample, which elements piled up at a bound do not change. For types of
    more than 16 bits, the number is that of the sample.
    """
    low, middle, high = np.quantile(found.sample, (0.25, 0.5, 0.75))
    std = float(high - low) / 1.349
    if not std > 0 or not math.isfinite(std):
        return 0.0
    if dtype.itemsize > 2:
        # F32 and F64 have far more numbers in the middle half than the sample has elements: nearly all of these differ.
        return float(len(found.sample))
    values = _numbers(dtype)
    below, above = edges(values, dtype)
    cdf = normal_cdf(float(middle), std)
    shares = np.clip(cdf(above) - cdf(below), 0, 1)
    return float(-np.expm1(found.count * np.log1p(-np.minimum(shares, 1 - 1e-12))).sum())


def _numbers(dtype: DType) -> Doubles:
    """Return all finite numbers of a type of at most 16 bits."""
    patterns = np.arange(1 << 8 * dtype.itemsize).astype(f"u{dtype.itemsize}")
    with np.errstate(all="ignore"):
        values: NDArray[Any] = patterns.view(dtype.numpy).astype(np.float64)
    return np.unique(values[np.isfinite(values)])


def smallest(dtype: DType) -> float:
    """Return the smallest positive number of a floating-point type."""
    return float(2.0 ** (dtype.min_exponent - dtype.precision + 1))
