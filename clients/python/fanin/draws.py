"""Draws: the few primitives that every scheme lowers to, as plain numbers (SPEC.md sections 5, 6 and 12).

A draw is all that a backend knows. Its numbers are already rounded to the compute type of the tensor's storage type,
its bounds to the storage type itself, inwards, so that rounding a value to storage never leaves them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

import numpy as np

from fanin import scalars
from fanin.dtypes import DTYPES, DType
from fanin.scalars import Bound

SMALLEST, LARGEST = 2.0**-90, 2.0**90
"""Range of a nonzero scalar's magnitude: no intermediate of a draw is then subnormal or infinite on any device."""
SMALLEST_BOUND = 2.0**-126
"""Least magnitude of a nonzero bound: a device that flushes subnormal numbers still compares with it rightly."""
SMALLEST_STEP = Fraction(1, 2**120)
"""Least probability of a word ..."""
SMALLEST_SCALED_STEP = Fraction(1, 2**125)
"""... and of it times the standard deviation, for the same reason: the least |z| is more than half a step."""
NEAREST = Fraction(9)
"""A truncation interval must reach to within this many standard deviations of the mean: the tables end there."""
CENTRAL = Fraction(1, 2) - Fraction(1, 2**12)
"""Two-sided tail probabilities below it use the tail polynomials, the others the central one."""
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


@dataclass(frozen=True, slots=True)
class Blocks:
    """Other draws, each in its place of a repeating period.

    The element at position p is that of `draws[j]`, where starts[j] <= p mod period < starts[j + 1]; its position there
    counts the elements that are this draw's. Its random word is that of the whole tensor's element.
    """

    period: int
    starts: tuple[int, ...]
    """Strictly increasing from 0, below `period`."""
    draws: tuple[Draw, ...]

    def length(self, j: int) -> int:
        """Elements of a period that are those of `draws[j]`."""
        return (self.starts[j + 1] if j + 1 < len(self.starts) else self.period) - self.starts[j]


@dataclass(frozen=True, slots=True)
class Table:
    """Listed values, each `run` times in a row, over and over.

    At position p that is the value p div run, modulo how many there are.
    """

    values: bytes
    """Elements as they are stored, little-endian."""
    run: int


@dataclass(frozen=True, slots=True)
class Orthogonal:
    """gain * Q, Q uniformly distributed among the matrices of orthonormal columns, or rows where these are fewer.

    The one draw whose elements are not made alone: each needs all of the matrix.
    """

    gain: float
    rows: int
    columns: int
    """Elements are those of a rows x columns matrix, row by row."""


Plain = Fill | Uniform | Normal | TruncatedNormal
"""A draw that a backend makes by itself: an element depends on its word alone."""
Draw = Plain | Blocks | Table | Orthogonal

MAX_TABLE = 2**12
"""Most values of a table: each takes a tenth of a millisecond, to 120 digits."""


def fill(value: Fraction, dtype: DType) -> Fill:
    """A constant: rounded to the compute type, then to the storage type."""
    computed = scalars.rounded(value, dtype.compute)
    stored = scalars.rounded(Fraction(computed), dtype) if math.isfinite(computed) else computed
    if not math.isfinite(stored):
        raise _too_large("value", value, dtype)
    return Fill(stored)


def table(values: Sequence[Fraction], run: int, dtype: DType) -> Table:
    """These values, each rounded as a constant is."""
    numbers = np.array([fill(value, dtype).value for value in values])
    return Table(numbers.astype(dtype.numpy).tobytes(), run)


def blocks(period: int, parts: Sequence[tuple[int, Draw]]) -> Draw:
    """Draws by their lengths, which add up to the period; those of length 0 are left out."""
    kept = [(length, draw) for length, draw in parts if length]
    if not kept:
        return Fill(0.0)
    starts = [0]
    for length, _ in kept:
        starts.append(starts[-1] + length)
    if starts.pop() != period:
        raise ValueError(f"blocks of {[length for length, _ in kept]} do not fill a period of {period}")
    if len(kept) > 1 and any(isinstance(draw, Orthogonal) for _, draw in kept):
        raise DrawError("parts", "an orthogonal matrix is a whole tensor, not a part of one")
    return kept[0][1] if len(kept) == 1 else Blocks(period, tuple(starts), tuple(draw for _, draw in kept))


@lru_cache(maxsize=4096)
def uniform(low: Fraction, high: Fraction, dtype: DType) -> Uniform:
    """The uniform law on [low, high]."""
    _check_order(low, high)
    for field, end in (("low", low), ("high", high)):
        if abs(end) > Fraction(dtype.largest):
            raise _too_large(field, end, dtype)
    center = _scalar("low", (low + high) / 2, dtype)
    half_width = _scalar("high", (high - low) / 2, dtype)
    return Uniform(center, half_width, *_inside(low, high, dtype))


@lru_cache(maxsize=4096)
def normal(mean: Fraction, std: Fraction, dtype: DType) -> Normal:
    """The normal law with this mean and standard deviation."""
    _check_reach(mean, std, None, None, dtype)
    return Normal(_scalar("mean", mean, dtype), _scalar("std", std, dtype))


@lru_cache(maxsize=4096)
def truncated_normal(mean: Fraction, std: Fraction, low: Bound, high: Bound, dtype: DType) -> TruncatedNormal:
    """The normal law restricted to mean + std * [low, high].

    `mean` and `std` are those of the law before it is restricted.
    """
    check_interval(low, high)
    bounds = _inside(_at(mean, std, low), _at(mean, std, high), dtype)
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
        _scalar("mean", mean, dtype),
        _scalar("std", std, dtype),
        *bounds,
        _side(split, _nearest_to_zero(high, -1), None if low is None else -low, std, dtype),
        _side(WORDS - split, _nearest_to_zero(low, 1), high, std, dtype),
    )


def orthogonal(gain: Fraction, rows: int, columns: int, dtype: DType) -> Orthogonal:
    """The uniform (Haar) law on matrices of orthonormal columns or rows, times `gain`."""
    # An element of Q may exceed 1 by its rounding errors.
    if 2 * gain > Fraction(dtype.largest):
        raise _too_large("gain", 2 * gain, dtype)
    return Orthogonal(_scalar("gain", gain, dtype), rows, columns)


def check_interval(low: Bound, high: Bound) -> None:
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


def _scalar(field: str, value: Fraction, dtype: DType) -> float:
    result = scalars.rounded(value, dtype.compute)
    if value and not SMALLEST <= abs(result) <= LARGEST:
        raise DrawError(field, f"{_short(value)} is out of range: a nonzero scalar lies in +-[2^-90, 2^90]")
    return result


def _inside(low: Bound, high: Bound, dtype: DType) -> tuple[float, float]:
    """The interval [low, high] shrunk to numbers of the storage type; an end beyond all of them is infinite."""
    lowest = -math.inf if low is None else scalars.rounded(low, dtype, "up")
    highest = math.inf if high is None else scalars.rounded(high, dtype, "down")
    for field, end in (("low", lowest), ("high", highest)):
        if 0 < abs(end) < SMALLEST_BOUND:
            raise DrawError(field, f"{end:.9g} is out of range: a nonzero bound is at least 2^-126 in magnitude")
    if lowest > highest:
        raise DrawError("low", f"no {dtype.name} number lies between {_short(low)} and {_short(high)}")
    return lowest, highest


def _check_order(low: Fraction, high: Fraction) -> None:
    if low >= high:
        raise DrawError("low", f"low ({_short(low)}) must be less than high ({_short(high)})")


def _check_reach(mean: Fraction, std: Fraction, low: Bound, high: Bound, dtype: DType) -> None:
    """No value of a file is infinite: the law, followed to 13 standard deviations, must fit the storage type."""
    for end in (-scalars.FAR if low is None else low, scalars.FAR if high is None else high):
        if abs(mean + std * end) > Fraction(dtype.largest):
            raise _too_large("std", mean + std * end, dtype)


def _too_large(field: str, value: Fraction, dtype: DType) -> DrawError:
    return DrawError(
        field, f"a value of {_short(value)} is beyond the largest finite {dtype.name}, {dtype.largest:.9g}"
    )


def _short(value: Bound) -> str:
    """A number for an error text; a fraction may exceed every float."""
    if value is None:
        return "infinity"
    with localcontext(Context(prec=9)):
        return f"{(Decimal(value.numerator) / Decimal(value.denominator)).normalize():g}"
