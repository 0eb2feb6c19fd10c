"""Draws whose elements depend on their words only, and the range of their numbers (SPEC.md sections 5 and 6).

Complex numbers have the distributions of SPEC.md section 6.13.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

from fanin import scalars
from fanin.draws.types import DrawError, Fill, Normal, Polar, Side, TruncatedNormal, Uniform
from fanin.dtypes import DTYPES, FLOATING, DType
from fanin.scalars import Bound

SMALLEST, LARGEST = 2.0**-90, 2.0**90
"""Range of the magnitude of a nonzero scalar. No intermediate result is then subnormal or infinite on any device."""
SMALLEST_BOUND = 2.0**-126
"""Least magnitude of a nonzero bound. Devices that flush subnormal numbers compare with it correctly."""
SMALLEST_STEP = Fraction(1, 2**120)
"""Least probability of a word."""
SMALLEST_MASS = Fraction(1, 2**90)
"""Least probability of an interval. Its 2^32 words would otherwise have smaller steps than allowed."""
SMALLEST_DISK = Fraction(1, 2**24)
"""Least probability q of a disk. For a smaller q, 1 - q u has too few digits in float64."""
SMALLEST_SCALED_STEP = Fraction(1, 2**125)
"""Least product of step and standard deviation. The smallest |z| exceeds half a step, so products stay normal."""
NEAREST = Fraction(9)
"""Largest distance of a truncation interval from the mean, in standard deviations. The tables end there."""
CENTRAL = Fraction(1, 2) - Fraction(1, 2**12)
"""Two-sided tail probability below which the tail polynomials apply. Above it the central one applies."""
EXACT = 2**53 - 1
"""Largest integer that a real parameter, which is a float64 number, is certain to have as it was written."""
WORDS = 2**32
"""Number of 32-bit words."""


def fill(value: Fraction, dtype: DType, field: str = "value") -> Fill:
    """Return a constant, rounded to the compute type, then to the storage type. Integer types round nothing."""
    if dtype.is_scale and (value <= 0 or scalars.rounded(value, dtype) != value):
        raise DrawError(field, f"{_short(value)} is not a power of 2 from 2^-127 to 2^127, the numbers of {dtype.name}")
    if dtype.is_integer:
        if abs(value) > EXACT:
            raise DrawError(field, f"{_short(value)} is out of range: as a real, an integer has at most 53 bits")
        return whole(field, value, dtype)
    computed = scalars.rounded(value, dtype.compute)
    stored = scalars.rounded(Fraction(computed), dtype) if math.isfinite(computed) else computed
    if not math.isfinite(stored):
        raise too_large(field, value, dtype)
    return Fill(stored)


def whole(field: str, value: Fraction, dtype: DType) -> Fill:
    """Return an integer as a constant of an integer type.

    Raises:
        DrawError: the number is not an integer of the type.
    """
    if value.denominator != 1 or not dtype.least <= value <= dtype.largest:
        number = f"{value}" if value.denominator == 1 and abs(value) < 2**80 else _short(value)
        raise DrawError(field, f"{number} is not one of the integers of {dtype.name}, {dtype.least} to {dtype.largest}")
    return Fill(int(value))


def check_real(dtype: DType) -> None:
    """Check that the storage type has real numbers, and not only integers or powers of 2.

    Raises:
        DrawError: it has only these.
    """
    if not dtype.is_random:
        only, allowed = "powers of 2" if dtype.is_scale else "integers", ", ".join(FLOATING)
        raise DrawError("dtype", f"{dtype.name} has {only} only, and this scheme real numbers: use one of {allowed}")


@lru_cache(maxsize=4096)
def uniform(low: Fraction, high: Fraction, dtype: DType) -> Uniform | Polar:
    """Return the uniform distribution on [low, high]. Complex: on the disk |z| <= high, and low must be -high."""
    check_real(dtype)
    _check_order(low, high)
    if dtype.is_complex:
        _check_centred("low", low + high, "low must be -high, because the distribution is that of a disk")
        return Polar(scalar("high", high, DTYPES["F64"]), 0.0)
    for field, end in (("low", low), ("high", high)):
        if abs(end) > Fraction(dtype.largest):
            raise too_large(field, end, dtype)
    center = scalar("low", (low + high) / 2, dtype)
    half_width = scalar("high", (high - low) / 2, dtype)
    return Uniform(center, half_width, *inside(low, high, dtype))


@lru_cache(maxsize=4096)
def normal(mean: Fraction, std: Fraction, dtype: DType) -> Normal:
    """Return the normal distribution with this mean and standard deviation.

    For complex numbers it is the distribution of the real and of the imaginary part, each with half of the variance.
    """
    check_real(dtype)
    if dtype.is_complex:
        _check_centred("mean", mean, "it must be 0")
        std = scalars.root(std**2 / 2, 2)
    _check_reach(mean, std, None, None, dtype)
    return Normal(scalar("mean", mean, dtype), scalar("std", std, dtype))


@lru_cache(maxsize=4096)
def truncated_normal(mean: Fraction, std: Fraction, low: Bound, high: Bound, dtype: DType) -> TruncatedNormal | Polar:
    """Return the normal distribution restricted to mean + std * [low, high]. Complex: to |z| <= std * high.

    `mean` and `std` are those of the unrestricted distribution.
    """
    check_real(dtype)
    check_interval(low, high, dtype)
    if dtype.is_complex and high is not None:
        _check_centred("mean", mean, "it must be 0")
        double = DTYPES["F64"]
        return Polar(scalar("std", std, double), scalar("high", scalars.complex_mass(high), double))
    bounds = inside(_at(mean, std, low), _at(mean, std, high), dtype)
    low = None if low is None or low < -scalars.FAR else low
    high = None if high is None or high > scalars.FAR else high
    _check_reach(mean, std, low, high, dtype)
    if low is not None and low >= 0:
        split = 0
    elif high is not None and high <= 0:
        split = WORDS
    else:
        below, above = (scalars.centre(None if end is None else abs(end)) for end in (low, high))
        split = round(WORDS * below / (below + above))
    return TruncatedNormal(
        scalar("mean", mean, dtype),
        scalar("std", std, dtype),
        *bounds,
        _side(split, _nearest_to_zero(high, -1), None if low is None else -low, std, dtype),
        _side(WORDS - split, _nearest_to_zero(low, 1), high, std, dtype),
    )


def check_interval(low: Bound, high: Bound, dtype: DType) -> None:
    """Check that the normal distribution can be restricted to [low, high], in standard deviations.

    Raises:
        DrawError: the interval is empty, too narrow or too far from the mean.
    """
    if low is not None and high is not None:
        _check_order(low, high)
    for field, too_far in (("low", low is not None and low > NEAREST), ("high", high is not None and high < -NEAREST)):
        if too_far:
            raise DrawError(
                field,
                f"the full interval is more than {NEAREST} standard deviations from the mean,"
                " where the normal distribution has a probability below 2^-62",
            )
    if dtype.is_complex:
        if low is None or high is None or low != -high:
            raise DrawError("low", "low must be -high for complex numbers, because the distribution is that of a disk")
        if scalars.complex_mass(high) < SMALLEST_DISK:
            raise DrawError("high", f"{_short(high)} is too small: for complex storage types high is at least 0.00025")
    elif scalars.mass(low, high) < SMALLEST_MASS:
        raise DrawError("low", "low and high are too close to each other")


def _at(mean: Fraction, std: Fraction, end: Bound) -> Bound:
    return None if end is None else mean + std * end


def _nearest_to_zero(end: Bound, sign: int) -> Fraction:
    """Return the distance of a side's begin from 0. It is not 0 if the interval ends on this side of 0."""
    return Fraction(0) if end is None else max(sign * end, Fraction(0))


def _side(count: int, near: Fraction, far: Bound, std: Fraction, dtype: DType) -> Side:
    """Return a side of `count` words with equal probability, over near < |z| < far."""
    if count == 0:
        return Side(0, 0, 0.0, 0.0, 0.0)
    far_tail = scalars.tail(far)
    step = (scalars.tail(near) - far_tail) / count
    if step < SMALLEST_STEP or std * step < SMALLEST_SCALED_STEP:
        raise DrawError("low", "low and high are too close to each other")
    tail_count = math.ceil((CENTRAL - far_tail) / step - Fraction(1, 2))
    compute = dtype.compute
    refined = step if compute is DTYPES["F32"] else step / WORDS
    return Side(
        count,
        min(max(tail_count, 0), count),
        scalars.rounded(far_tail, compute),
        scalars.rounded(scalars.centre(near), compute),
        scalars.rounded(refined, compute),
    )


def scalar(field: str, value: Fraction, dtype: DType) -> float:
    """Return a scalar of a draw, rounded once to the compute type.

    Raises:
        DrawError: the scalar is out of range.
    """
    result = scalars.rounded(value, dtype.compute)
    if value and not SMALLEST <= abs(result) <= LARGEST:
        raise DrawError(field, f"{_short(value)} is out of range: a nonzero scalar lies in +-[2^-90, 2^90]")
    return result


def inside(low: Bound, high: Bound, dtype: DType) -> tuple[float, float]:
    """Return [low, high] rounded inwards to numbers of the storage type. An end beyond all of them is infinite."""
    lowest = -math.inf if low is None else scalars.rounded(low, dtype, "up")
    highest = math.inf if high is None else scalars.rounded(high, dtype, "down")
    for field, end in (("low", lowest), ("high", highest)):
        if 0 < abs(end) < SMALLEST_BOUND:
            raise DrawError(field, f"{end:.9g} is out of range: a nonzero bound is at least 2^-126 in magnitude")
    if lowest > highest:
        raise DrawError("low", f"no {dtype.name} number lies between {_short(low)} and {_short(high)}")
    return lowest, highest


def _check_centred(field: str, value: Fraction, wanted: str) -> None:
    if value:
        raise DrawError(field, f"for complex storage types {wanted}")


def _check_order(low: Fraction, high: Fraction) -> None:
    if low >= high:
        raise DrawError("low", f"low ({_short(low)}) must be less than high ({_short(high)})")


def _check_reach(mean: Fraction, std: Fraction, low: Bound, high: Bound, dtype: DType) -> None:
    """Check that 13 standard deviations fit the storage type, so that no value is infinite."""
    for end in (-scalars.FAR if low is None else low, scalars.FAR if high is None else high):
        if abs(mean + std * end) > Fraction(dtype.largest):
            raise too_large("std", mean + std * end, dtype)


def too_large(field: str, value: Fraction, dtype: DType) -> DrawError:
    """Return the error for a value beyond the largest number of the storage type."""
    return DrawError(
        field, f"a value of {_short(value)} is beyond the largest finite {dtype.name}, {dtype.largest:.9g}"
    )


def _short(value: Bound) -> str:
    """Format a number for an error message. It can be too large for a float."""
    if value is None:
        return "infinity"
    with localcontext(scalars.context(9)):
        return f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():g}"
