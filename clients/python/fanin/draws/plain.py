"""Draws whose elements depend on their words alone, and the range of their numbers (SPEC.md sections 5 and 6).

Complex numbers have the laws of SPEC.md section 6.13.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

from fanin import scalars
from fanin.draws.types import DrawError, Fill, Normal, Polar, Side, TruncatedNormal, Uniform
from fanin.dtypes import DTYPES, DType
from fanin.scalars import Bound

SMALLEST, LARGEST = 2.0**-90, 2.0**90
"""Range of a nonzero scalar's magnitude: no intermediate of a draw is then subnormal or infinite on any device."""
SMALLEST_BOUND = 2.0**-126
"""Least magnitude of a nonzero bound: a device that flushes subnormal numbers still compares with it rightly."""
SMALLEST_STEP = Fraction(1, 2**120)
"""Least probability of a word."""
SMALLEST_MASS = Fraction(1, 2**90)
"""An interval of less probability has no such step: 2^32 words share it."""
SMALLEST_DISK = Fraction(1, 2**24)
"""Least probability of a disk: 1 - q u of a smaller q has too few digits in float64."""
SMALLEST_SCALED_STEP = Fraction(1, 2**125)
"""Least step times the standard deviation, for the same reason: the least |z| is more than half a step."""
NEAREST = Fraction(9)
"""A truncation interval must reach to within this many standard deviations of the mean: the tables end there."""
CENTRAL = Fraction(1, 2) - Fraction(1, 2**12)
"""Two-sided tail probabilities below it use the tail polynomials, the others the central one."""
WORDS = 2**32


def fill(value: Fraction, dtype: DType) -> Fill:
    """A constant: rounded to the compute type, then to the storage type."""
    computed = scalars.rounded(value, dtype.compute)
    stored = scalars.rounded(Fraction(computed), dtype) if math.isfinite(computed) else computed
    if not math.isfinite(stored):
        raise too_large("value", value, dtype)
    return Fill(stored)


@lru_cache(maxsize=4096)
def uniform(low: Fraction, high: Fraction, dtype: DType) -> Uniform | Polar:
    """The uniform law on [low, high]; of complex numbers on the disk |z| <= high, where low must be -high."""
    _check_order(low, high)
    if dtype.is_complex:
        _check_centred("low", low + high, "low must be -high: the law is that of the disk")
        return Polar(scalar("high", high, DTYPES["F64"]), 0.0)
    for field, end in (("low", low), ("high", high)):
        if abs(end) > Fraction(dtype.largest):
            raise too_large(field, end, dtype)
    center = scalar("low", (low + high) / 2, dtype)
    half_width = scalar("high", (high - low) / 2, dtype)
    return Uniform(center, half_width, *inside(low, high, dtype))


@lru_cache(maxsize=4096)
def normal(mean: Fraction, std: Fraction, dtype: DType) -> Normal:
    """The normal law with this mean and standard deviation.

    A complex number's is that of its real and of its imaginary part: each has half of the variance.
    """
    if dtype.is_complex:
        _check_centred("mean", mean, "it must be 0")
        std = scalars.root(std**2 / 2, 2)
    _check_reach(mean, std, None, None, dtype)
    return Normal(scalar("mean", mean, dtype), scalar("std", std, dtype))


@lru_cache(maxsize=4096)
def truncated_normal(mean: Fraction, std: Fraction, low: Bound, high: Bound, dtype: DType) -> TruncatedNormal | Polar:
    """The normal law restricted to mean + std * [low, high]; of complex numbers to |z| <= std * high.

    `mean` and `std` are those of the law before it is restricted.
    """
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
    """Raises DrawError unless the normal law can be restricted to [low, high], in standard deviations."""
    if low is not None and high is not None:
        _check_order(low, high)
    for field, too_far in (("low", low is not None and low > NEAREST), ("high", high is not None and high < -NEAREST)):
        if too_far:
            raise DrawError(
                field,
                f"the interval lies wholly more than {NEAREST} standard deviations from the mean,"
                " where the normal law has a probability below 2^-62",
            )
    if dtype.is_complex:
        if low is None or high is None or low != -high:
            raise DrawError("low", "of complex numbers low must be -high: the law is that of a disk")
        if scalars.complex_mass(high) < SMALLEST_DISK:
            raise DrawError("high", f"{_short(high)} is too small: of complex numbers high is at least 0.00025")
    elif scalars.mass(low, high) < SMALLEST_MASS:
        raise DrawError("low", "low and high are too close to each other")


def _at(mean: Fraction, std: Fraction, end: Bound) -> Bound:
    return None if end is None else mean + std * end


def _nearest_to_zero(end: Bound, sign: int) -> Fraction:
    """Where a side begins: at 0, or at the end of the interval that lies on this side of it."""
    return Fraction(0) if end is None else max(sign * end, Fraction(0))


def _side(count: int, near: Fraction, far: Bound, std: Fraction, dtype: DType) -> Side:
    """`count` words spread evenly, in probability, over near < |z| < far."""
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
    """A scalar of a draw, rounded once to the compute type.

    Raises:
        DrawError: it is out of range.
    """
    result = scalars.rounded(value, dtype.compute)
    if value and not SMALLEST <= abs(result) <= LARGEST:
        raise DrawError(field, f"{_short(value)} is out of range: a nonzero scalar lies in +-[2^-90, 2^90]")
    return result


def inside(low: Bound, high: Bound, dtype: DType) -> tuple[float, float]:
    """The interval [low, high] shrunk to numbers of the storage type; an end beyond all of them is infinite."""
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
        raise DrawError(field, f"of complex numbers {wanted}")


def _check_order(low: Fraction, high: Fraction) -> None:
    if low >= high:
        raise DrawError("low", f"low ({_short(low)}) must be less than high ({_short(high)})")


def _check_reach(mean: Fraction, std: Fraction, low: Bound, high: Bound, dtype: DType) -> None:
    """No value of a file is infinite: the law, followed to 13 standard deviations, must fit the storage type."""
    for end in (-scalars.FAR if low is None else low, scalars.FAR if high is None else high):
        if abs(mean + std * end) > Fraction(dtype.largest):
            raise too_large("std", mean + std * end, dtype)


def too_large(field: str, value: Fraction, dtype: DType) -> DrawError:
    """What to raise where the storage type has no number so large."""
    return DrawError(
        field, f"a value of {_short(value)} is beyond the largest finite {dtype.name}, {dtype.largest:.9g}"
    )


def _short(value: Bound) -> str:
    """A number for an error text; a fraction may exceed every float."""
    if value is None:
        return "infinity"
    with localcontext(Context(prec=9)):
        return f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():g}"
