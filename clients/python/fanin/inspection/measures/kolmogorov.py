"""Kolmogorov-Smirnov distance between stored numbers and a continuous distribution that was rounded once."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fanin.dtypes import DType

Doubles = NDArray[np.float64]
Cdf = Callable[[Doubles], Doubles]
_TERMS = 100


def edges(values: Doubles, dtype: DType) -> tuple[Doubles, Doubles]:
    """Return the least and the greatest real number that the type rounds to each of these values of it."""
    with np.errstate(all="ignore"):
        stored = values.astype(dtype.numpy)
        ends = []
        for toward in (-np.inf, np.inf):
            limit = np.array(dtype.least if toward < 0 else dtype.largest).astype(dtype.numpy)
            near = np.nextafter(stored, limit).astype(np.float64)
            # Numbers beyond the largest one are stored as this one, or the draw's bounds exclude them.
            middle = (values + near) / 2
            # Float64 has nothing between its neighbours: the lower edge must still lie below the value.
            middle = np.where((middle == values) & (toward < 0), near, middle)
            ends.append(np.where(near == values, toward, middle))
    return ends[0], ends[1]


def distance(sample: Doubles, cdf: Cdf, dtype: DType) -> float:
    """Return the Kolmogorov-Smirnov distance of a sample from a distribution that was rounded to the type.

    The rounded distribution has steps at the numbers of the type. Its value at a number is that of `cdf` at the upper
    edge of the interval that is rounded to it.
    """
    values, counts = np.unique(sample, return_counts=True)
    below, above = edges(values, dtype)
    share = np.cumsum(counts) / len(sample)
    before = np.concatenate([[0.0], share[:-1]])
    return float(max(np.abs(share - cdf(above)).max(), np.abs(before - cdf(below)).max()))


def p_value(found: float, count: int) -> float:
    """Return the probability of this distance or a larger one, for `count` independent draws.

    Kolmogorov's series, with the correction of Stephens (1970) for a finite number. For a distribution with steps the
    probability is at most this.
    """
    scaled = (math.sqrt(count) + 0.12 + 0.11 / math.sqrt(count)) * found
    if scaled < 0.2:  # the series converges slowly, and its value is 1 to 20 digits
        return 1.0
    terms = ((-1) ** (n - 1) * math.exp(-2 * (n * scaled) ** 2) for n in range(1, _TERMS))
    return min(max(2 * math.fsum(terms), 0.0), 1.0)


def normal_cdf(mean: float, std: float) -> Cdf:
    """Return the distribution function of a normal distribution."""
    root = std * math.sqrt(2)
    return lambda x: 0.5 * _erfc((mean - x) / root)


def _erfc(x: Doubles) -> Doubles:
    """Return the complementary error function; NumPy has none."""
    return np.fromiter(map(math.erfc, np.ravel(x).tolist()), np.float64, np.size(x)).reshape(np.shape(x))
