"""Mean, standard deviation and bounds of a draw, by formulas and without drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanin import scalars
from fanin.draws.composed import TURN
from fanin.draws.plain import WORDS, fill
from fanin.draws.types import (
    Arange,
    Blocks,
    Draw,
    Fill,
    Function,
    Mapped,
    Normal,
    Orthogonal,
    Polar,
    Quantized,
    Side,
    Sparse,
    Stack,
    Table,
    TruncatedNormal,
    Uniform,
    Waves,
)
from fanin.dtypes import DType

NODES = 200
"""Points at which a function without a closed formula is integrated (Gauss and Legendre)."""
Floats = NDArray[np.float64]


class Moments(NamedTuple):
    """Moments of an element, which is picked at random if elements have different distributions."""

    mean: float
    std: float
    """Standard deviation. For complex elements, the root of E|z - mean|^2."""
    low: float | None
    """No element is less. For complex elements, neither is a real or imaginary part. `None` if unbounded."""
    high: float | None
    """No element, or part of one, is greater."""


def moments(draw: Draw, dtype: DType) -> Moments:
    """Return the moments of a draw at a storage type: mean and deviation before the rounding to it, bounds after it.

    `Mapped` draws other than the logarithm are integrated numerically. All others are formulas in float64.
    """
    found = _moments(draw, dtype)
    if not dtype.is_complex or found.low is None or found.high is None:
        return found
    # The imaginary part of a real number is 0.
    return found._replace(low=min(found.low, 0.0), high=max(found.high, 0.0))


def _moments(draw: Draw, dtype: DType) -> Moments:
    match draw:
        case Fill(value):
            return Moments(value, 0.0, value, value)
        case Uniform(center, half_width, low, high):
            return Moments(center, half_width / math.sqrt(3), _finite(low), _finite(high))
        case Normal(mean, std):
            return Moments(mean, std * (math.sqrt(2) if dtype.is_complex else 1), None, None)
        case TruncatedNormal(low=low, high=high) if low == high:  # the only number of the type between the bounds
            return Moments(low, 0.0, low, high)
        case TruncatedNormal(mean, std, low, high):
            start, stop = (_exact(end, dtype) for end in truncation(draw, dtype))
            if start is not None and start == stop:  # too narrow for a difference in density
                return Moments(low + (high - low) / 2, (high - low) / math.sqrt(12), low, high)
            centre, spread = _truncated(start, stop)
            return Moments(mean + std * centre, std * spread, _finite(low), _finite(high))
        case Polar(scale, 0.0):
            return Moments(0.0, scale / math.sqrt(2), *_within(scale, dtype))
        case Polar(scale, 1.0):
            return Moments(0.0, scale, None, None)
        case Polar(scale, mass):
            radius = math.sqrt(-math.log1p(-mass))
            std = scale * float(scalars.complex_truncated_std(Fraction(radius)))
            return Moments(0.0, std, *_within(scale * radius, dtype))
        case Blocks(period, draws=parts):
            lengths = [draw.length(j) / period for j in range(len(parts))]
            return mixture([(length, moments(part, dtype)) for length, part in zip(lengths, parts, strict=True)])
        case Sparse(dist, size, zeros=zeros):
            zero = Moments(0.0, 0.0, 0.0, 0.0)
            return mixture([(1 - zeros / size, moments(dist, dtype)), (zeros / size, zero)])
        case Table(values):
            numbers = np.frombuffer(values, dtype.numpy)
            reals = (numbers.real if dtype.is_complex else numbers).astype(np.float64)
            return Moments(*_statistics(reals), float(reals.min()), float(reals.max()))
        case Arange(start, step, size):
            last = start + step * (size - 1)
            low, high = (fill(Fraction(end), dtype).value if not dtype.is_integer else end for end in (start, last))
            spread = abs(step) * math.sqrt((size * size - 1) / 12)
            return Moments((start + last) / 2, spread, min(low, high), max(low, high))
        case Mapped(low=low, high=high):
            return Moments(*_mapped(draw), _finite(low), _finite(high))
        case Waves():
            return Moments(*_waves(draw), *_within(max(map(abs, draw.amplitudes)), dtype))
        case Stack(matrix):
            return _moments(matrix, dtype)
        case Quantized():
            raise TypeError("the moments of codes and scales have no formula")
        case Orthogonal(gain, rows, columns):
            # At float64, an element of Q may exceed 1 by its rounding errors. The other types round them away.
            most = gain * (1 + 2.0**-45) if dtype.name == "F64" else gain
            return Moments(0.0, gain / math.sqrt(max(rows, columns, 1)), *_within(most, dtype))


def mixture(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """Return the moments of an element that has each of these with its probability."""
    parts = [(weight, each) for weight, each in parts if weight]
    mean = math.fsum(weight * each.mean for weight, each in parts)
    spreads = [(weight, math.hypot(each.std, each.mean - mean)) for weight, each in parts]
    most = max(spread for _, spread in spreads)
    # Scaled first: the square of a large number in float64 is infinite.
    variance = math.fsum(weight * (spread / most) ** 2 for weight, spread in spreads) if most else 0.0
    lows, highs = [each.low for _, each in parts], [each.high for _, each in parts]
    low = None if None in lows else min(each for each in lows if each is not None)
    high = None if None in highs else max(each for each in highs if each is not None)
    return Moments(mean, most * math.sqrt(variance), low, high)


def _within(most: float, dtype: DType) -> tuple[float, float]:
    """Return the bounds of stored elements whose magnitude is at most `most` before they are rounded."""
    stored = fill(Fraction(most), dtype).value
    return -stored, stored


def _finite(bound: float) -> float | None:
    return bound if math.isfinite(bound) else None


def _truncated(low: Fraction | None, high: Fraction | None) -> tuple[float, float]:
    """Return mean and standard deviation of the standard normal distribution restricted to [low, high].

    Narrow intervals, and those in a tail, need the 120 digits of `scalars`, which take a millisecond.
    """
    a, b = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    if a > 2 or b < -2 or b - a < 0.5:
        return float(scalars.truncated_mean(low, high)), float(scalars.truncated_std(low, high))
    mass = (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2))) / 2
    at_a, at_b = (math.exp(-end * end / 2) / math.sqrt(2 * math.pi) for end in (a, b))
    mean = (at_a - at_b) / mass
    moment = (0.0 if math.isinf(a) else a * at_a) - (0.0 if math.isinf(b) else b * at_b)
    return mean, math.sqrt(1 + moment / mass - mean * mean)


def truncation(draw: TruncatedNormal, dtype: DType) -> tuple[float, float]:
    """Return the interval of a draw in standard deviations from its mean, to the digits of its compute type.

    Its bounds are rounded inwards to numbers of the storage type, and elements are clamped to them: they say nothing of
    the interval if the type has few numbers.
    """
    (near_below, below), (near_above, above) = (_ends(side, dtype) for side in (draw.negative, draw.positive))
    return -below if draw.negative.count else near_above, above if draw.positive.count else -near_below


def _ends(side: Side, dtype: DType) -> tuple[float, float]:
    """Return the distances from 0 at which a side begins and ends."""
    step = side.step * WORDS if dtype.compute.name == "F64" else side.step
    width = side.count * step
    near = _quantile(side.central_offset, side.tail_offset + width)
    return near, _quantile(side.central_offset + width, side.tail_offset)


def _quantile(centre: float, tail: float) -> float:
    """Return z >= 0 with P(|Z| < z) = centre and P(|Z| > z) = tail, by the smaller of them: it has more digits."""
    if centre < tail:
        return NormalDist().inv_cdf(0.5 + centre / 2)
    return -NormalDist().inv_cdf(tail / 2) if tail > 0 else math.inf


def _exact(end: float, dtype: DType) -> Fraction | None:
    """Return an end of an interval, to the digits at which -2 is -2 again."""
    return Fraction(f"{end:.{14 if dtype.compute.name == 'F64' else 6}g}") if math.isfinite(end) else None


def _statistics(values: Floats) -> tuple[float, float]:
    """Return mean and standard deviation of numbers whose squares may exceed float64."""
    most = float(np.abs(values).max()) or 1.0
    return float((values / most).mean()) * most, float((values / most).std()) * most


def _mapped(draw: Mapped) -> tuple[float, float]:
    """Return mean and standard deviation of a clamped function of a uniform number."""
    nodes, weights = _nodes()
    with np.errstate(divide="ignore", over="ignore"):
        ends = argument_of(draw.function, np.array([draw.low, draw.high]))
    start, stop = np.clip((ends - draw.center) / draw.half_width, -1, 1)
    falls = stop < start
    between = draw.center + draw.half_width * ((start + stop) / 2 + abs(stop - start) / 2 * nodes)
    # The smooth part is integrated. The clamped parts are two constants, each with its share of the interval (-1, 1).
    values = np.concatenate([_image(draw.function, between), [draw.low, draw.high]])
    shares = [1 - start, 1 + stop] if falls else [1 + start, 1 - stop]
    weights = np.concatenate([weights * abs(stop - start) / 2, shares]) / 2
    values, weights = values[weights > 0], weights[weights > 0]  # a bound may be infinite
    mean = float(values @ weights)
    return mean, math.sqrt(float((values - mean) ** 2 @ weights))


def _image(function: Function, u: Floats) -> Floats:
    match function:
        case "log":
            return np.log(u)
        case "inverse_softplus_exp":
            return np.exp(u) + np.log(-np.expm1(-np.exp(u)))
        case "inverse_softplus_log":
            return np.log(np.expm1(-np.log(u) / 2))
        case "inverse_softplus_log_8":
            return np.log(np.expm1(-np.log(u) / 8))
        case "log_log":
            return np.log(-np.log(u) / 2)
        case "logit":
            return np.log(u / (1 - u))


def argument_of(function: Function, value: Floats) -> Floats:
    """Return the number of which the function has this value."""
    softplus: Floats = np.logaddexp(0, value)
    match function:
        case "log":
            return np.exp(value)
        case "inverse_softplus_exp":
            return np.log(softplus)
        case "inverse_softplus_log":
            return np.exp(-2 * softplus)
        case "inverse_softplus_log_8":
            return np.exp(-8 * softplus)
        case "log_log":
            rate: Floats = np.exp(value)
            return np.exp(-2 * rate)
        case "logit":
            return np.exp(value - softplus)


@lru_cache(maxsize=1)
def _nodes() -> tuple[Floats, Floats]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return nodes, weights


def _waves(draw: Waves) -> tuple[float, float]:
    """Return mean and standard deviation of all elements of a table of waves."""
    columns = list(zip(draw.frequencies, draw.quarters, strict=True))
    count = draw.rows * len(columns)
    if len(draw.amplitudes) == 1:
        sums = [_sums(frequency, quarter, draw.first, draw.rows) for frequency, quarter in columns]
        total = draw.amplitudes[0] * math.fsum(each for each, _ in sums)
        squares = draw.amplitudes[0] ** 2 * math.fsum(each for _, each in sums)
    else:
        sizes, times = np.array(draw.amplitudes), np.arange(draw.first, draw.first + draw.rows)
        total = squares = 0.0
        for frequency, quarter in columns:
            wave = sizes * np.sin(2 * np.pi * (times * (frequency / TURN) % 1 + quarter / 4))
            total, squares = total + float(wave.sum()), squares + float(wave @ wave)
    return total / count, math.sqrt(max(squares / count - (total / count) ** 2, 0.0))


def _sums(frequency: int, quarter: int, first: int, rows: int) -> tuple[float, float]:
    """Return the sums of sin and sin^2 at `rows` times. Angles are exact integers until a function takes them."""
    start = (first * frequency + quarter * (TURN // 4)) % TURN
    sine = _series(frequency, start, rows)[1]
    return sine, (rows - _series(2 * frequency, 2 * start, rows)[0]) / 2


def _series(step: int, start: int, count: int) -> tuple[float, float]:
    """Return the sums of cos and sin of start, start + step, ..., `count` angles in parts of a turn."""
    step %= TURN
    middle = (2 * start + (count - 1) * step) % (2 * TURN) * (math.pi / TURN)
    if step == 0:
        size = float(count)
    else:
        size = math.sin(count * step % (2 * TURN) * (math.pi / TURN)) / math.sin(step * (math.pi / TURN))
    return size * math.cos(middle), size * math.sin(middle)
