"""Draws: the few primitives that every scheme lowers to, as plain numbers (SPEC.md sections 5 and 6).

A draw is all that a backend knows. Its numbers are already rounded to the compute type of the tensor's storage type,
its bounds to the storage type itself, inwards, so that rounding a value to storage never leaves them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from fanin import scalars
from fanin.dtypes import DTYPES, DType
from fanin.scalars import precise

SMALLEST, LARGEST = 2.0**-90, 2.0**90
"""Range of a nonzero scalar: no intermediate of a draw is then subnormal or infinite on any device."""
NEAREST_BOUND = Decimal(9)
"""A truncation interval must reach to within this many standard deviations of the mean: the tables end there."""
CENTRAL = Decimal("0.499755859375")
"""0.5 - 2^-12. Two-sided tail probabilities below it use the tail polynomials, the others the central one."""
WORDS = 2**32


class DrawError(ValueError):
    """A draw with these parameters cannot be made. `field` is the parameter to blame."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Fill:
    """Every element is `value`, a number of the storage type."""

    value: float


@dataclass(frozen=True, slots=True)
class Uniform:
    """center + half_width * v, v uniform in (-1, 1), kept within [low, high]."""

    center: float
    half_width: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the normal law: how the word's rank k, counted from the far end, becomes a probability."""

    count: int
    """Words on this side, N <= 2^32."""
    tail_count: int
    """Ranks k below this use t = tail_offset + step * (k + 1/2), the others r = 1 - t."""
    tail_offset: float
    """Two-sided tail probability at the far end."""
    central_offset: float
    """1 - t at the near end; there r = central_offset + step * (count - 1 - k + 1/2)."""
    step: float
    """Probability of one word, or for float64 of one of its 2^32 refinements."""


WHOLE_SIDE = {
    "F32": Side(2**31, 2**30 - 2**19, 0.0, 0.0, 2.0**-31),
    "F64": Side(2**31, 2**30 - 2**19, 0.0, 0.0, 2.0**-63),
}
"""Either side of the normal law that is not truncated, by compute type."""


@dataclass(frozen=True, slots=True)
class Normal:
    """mean + std * z, z standard normal, by inverse CDF."""

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class TruncatedNormal:
    """mean + std * z, z standard normal restricted to an interval, kept within [low, high]."""

    mean: float
    std: float
    low: float
    high: float
    negative: Side
    """Words below `negative.count` give z < 0 ..."""
    positive: Side
    """... and all others z > 0."""


Draw = Fill | Uniform | Normal | TruncatedNormal


def fill(value: Decimal, dtype: DType) -> Fill:
    """A constant: rounded to the compute type, then to the storage type."""
    stored = scalars.rounded(Decimal(scalars.rounded(value, dtype.compute)), dtype)
    if not math.isfinite(stored):
        raise DrawError("value", f"{_short(value)} is beyond the largest finite {dtype.name}, {dtype.largest:g}")
    return Fill(stored)


@lru_cache(maxsize=4096)
@precise
def uniform(low: Decimal, high: Decimal, dtype: DType) -> Uniform:
    """The uniform law on [low, high]."""
    if not low < high:
        raise DrawError("low", f"low ({_short(low)}) must be less than high ({_short(high)})")
    center = _scalar("low", (low + high) / 2, dtype)
    half_width = _scalar("high", (high - low) / 2, dtype)
    return Uniform(center, half_width, *_bounds(low, high, dtype))


@lru_cache(maxsize=4096)
@precise
def normal(mean: Decimal, std: Decimal, dtype: DType) -> Normal:
    """The normal law with this mean and standard deviation."""
    _check_reach(mean, std, -scalars.FAR, scalars.FAR, dtype)
    return Normal(_scalar("mean", mean, dtype), _scalar("std", std, dtype))


@lru_cache(maxsize=4096)
@precise
def truncated_normal(mean: Decimal, std: Decimal, low: Decimal, high: Decimal, dtype: DType) -> TruncatedNormal:
    """The normal law restricted to mean + std * [low, high]; low and high may be infinite.

    `mean` and `std` are those of the law before it is restricted.
    """
    if not low < high:
        raise DrawError("low", f"low ({_short(low)}) must be less than high ({_short(high)})")
    for field, near in (("low", low), ("high", -high)):
        if near > NEAREST_BOUND:
            raise DrawError(
                field,
                f"the interval lies wholly more than {NEAREST_BOUND} standard deviations from the mean,"
                " where the normal law has a probability below 2^-62",
            )
    low = low if low > -scalars.FAR else Decimal("-Infinity")
    high = high if high < scalars.FAR else Decimal("Infinity")
    _check_reach(mean, std, max(low, -scalars.FAR), min(high, scalars.FAR), dtype)
    below = scalars.centre(-low) if low < 0 else Decimal(0)
    above = scalars.centre(high) if high > 0 else Decimal(0)
    if low >= 0:
        split = 0
    elif high <= 0:
        split = WORDS
    else:
        split = round(below * WORDS / (below + above))
    return TruncatedNormal(
        _scalar("mean", mean, dtype),
        _scalar("std", std, dtype),
        *_bounds(mean + std * low, mean + std * high, dtype),
        _side(split, max(-high, Decimal(0)), -low, dtype),
        _side(WORDS - split, max(low, Decimal(0)), high, dtype),
    )


def _side(count: int, near: Decimal, far: Decimal, dtype: DType) -> Side:
    """`count` words spread evenly, in probability, over near < |z| < far."""
    if count == 0:
        return Side(0, 0, 0.0, 0.0, 0.0)
    near_tail, far_tail = scalars.two_sided_tail(near), scalars.two_sided_tail(far)
    step = (near_tail - far_tail) / count
    if step < Decimal(2) ** -120:
        raise DrawError("low", "low and high are too close to each other")
    tail_count = math.ceil((CENTRAL - far_tail) / step - Decimal("0.5"))
    compute = dtype.compute
    refined = step if compute is DTYPES["F32"] else step / WORDS
    return Side(
        count,
        min(max(tail_count, 0), count),
        scalars.rounded(far_tail, compute),
        scalars.rounded(scalars.centre(near), compute),
        scalars.rounded(refined, compute),
    )


def _scalar(field: str, value: Decimal, dtype: DType) -> float:
    result = scalars.rounded(value, dtype.compute)
    if result and not SMALLEST <= abs(result) <= LARGEST:
        raise DrawError(field, f"{_short(value)} is out of range: a nonzero scalar lies in [2^-90, 2^90]")
    return result


def _bounds(low: Decimal, high: Decimal, dtype: DType) -> tuple[float, float]:
    """The interval [low, high] shrunk to numbers of the storage type."""
    inside = scalars.rounded(low, dtype, "up"), scalars.rounded(high, dtype, "down")
    if not inside[0] <= inside[1]:
        raise DrawError("low", f"no {dtype.name} number lies between {_short(low)} and {_short(high)}")
    if math.isinf(inside[0]) and low.is_finite():
        raise DrawError("low", f"{_short(low)} is beyond the largest finite {dtype.name}, {dtype.largest:g}")
    if math.isinf(inside[1]) and high.is_finite():
        raise DrawError("high", f"{_short(high)} is beyond the largest finite {dtype.name}, {dtype.largest:g}")
    return inside


def _check_reach(mean: Decimal, std: Decimal, low: Decimal, high: Decimal, dtype: DType) -> None:
    """No value of a file is infinite: the law, followed to 13 standard deviations, must fit the storage type."""
    for end in (low, high):
        if abs(mean + std * end) > Decimal(dtype.largest):
            raise DrawError(
                "std",
                f"values as far as {_short(mean + std * end)} are beyond the largest finite {dtype.name},"
                f" {dtype.largest:g}",
            )


def _short(value: Decimal) -> str:
    return f"{float(value):.9g}"
