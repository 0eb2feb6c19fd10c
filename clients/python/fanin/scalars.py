"""Real-number arithmetic for the few scalars of a draw (SPEC.md section 5).

A scalar is a real-number formula, rounded once to the type that uses it. Rational arithmetic is exact, in fractions;
roots and the normal law are evaluated in decimal to 120 digits. Nothing here runs per element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache, wraps
from typing import Literal, ParamSpec, cast

from fanin.dtypes import DType

# Guard digits: 1 - erf loses up to 40 digits at 13 standard deviations, and the standard deviation of a narrow interval
# loses 80; a result must still keep more than any type has.
_CONTEXT = Context(prec=120)
FAR = Fraction(13)
"""A bound farther out than this many standard deviations counts as none: P(|Z| > 13) < 2^-126."""

_EXACT_POWER = 64
"""Integer powers up to this one are rational arithmetic: a larger one has more digits than are worth their time."""

Bound = Fraction | None
"""A bound in standard deviations; `None` where there is none."""
Rounding = Literal["nearest", "down", "up"]

P = ParamSpec("P")


def _in_decimal(function: Callable[P, Decimal]) -> Callable[P, Fraction]:
    """Evaluate `function` with 120 digits, whatever decimal context the caller has."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Fraction:
        with localcontext(_CONTEXT):
            return Fraction(function(*args, **kwargs))

    return cast("Callable[P, Fraction]", lru_cache(maxsize=1024)(wrapper))


def root(value: Fraction, degree: int) -> Fraction:
    """The root of a number >= 0, exact where it is rational: a bound of 1 must be 1, not the number below it."""
    top, bottom = (_exact_root(n, degree) for n in value.as_integer_ratio())
    return _root(value, degree) if top is None or bottom is None else Fraction(top, bottom)


def _exact_root(n: int, degree: int) -> int | None:
    found = round(_root(Fraction(n), degree)) if n else 0
    return found if found**degree == n else None


@_in_decimal
def _root(value: Fraction, degree: int) -> Decimal:
    return _decimal(value) ** (1 / Decimal(degree))


@_in_decimal
def log(value: Fraction) -> Decimal:
    """The natural logarithm of a number > 0."""
    return _decimal(value).ln()


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """A number > 0 to a real power, exact where that is a small integer: its value may lie midway between floats."""
    if exponent.denominator == 1 and abs(exponent) <= _EXACT_POWER:
        return base**exponent.numerator
    return _power(base, exponent)


@_in_decimal
def _power(base: Fraction, exponent: Fraction) -> Decimal:
    return _decimal(base) ** _decimal(exponent)


@_in_decimal
def power_less_one(base: Fraction, exponent: Fraction) -> Decimal:
    """base^exponent - 1 of a base > 0, to 120 digits also where the power is near 1."""
    return _expm1(_decimal(base).ln() * _decimal(exponent))


@_in_decimal
def inverse_softplus(value: Fraction) -> Decimal:
    """ln(exp(x) - 1) of a number > 0."""
    return _expm1(_decimal(value)).ln()


def _expm1(x: Decimal) -> Decimal:
    """exp(x) - 1, by its series near 0, where the difference would lose digits."""
    if abs(x) > Decimal("0.5"):
        return x.exp() - 1
    term = total = x
    n = 1
    while abs(term) > abs(total).scaleb(-_CONTEXT.prec):
        n += 1
        term *= x / n
        total += term
    return total


@_in_decimal
def cosine(turns: Fraction) -> Decimal:
    """cos(2 pi x) of a number of turns, by its series; exact where it is 0, 1/2 or 1."""
    turns = abs(turns - round(turns))
    if turns > Fraction(1, 4):
        return -_decimal(cosine(Fraction(1, 2) - turns))
    if turns in _EXACT:
        return _decimal(_EXACT[turns])
    square = -((2 * _decimal(pi()) * _decimal(turns)) ** 2)
    term = total = Decimal(1)
    n = 1
    while abs(term) > Decimal(10) ** -_CONTEXT.prec:
        term *= square / (n * (n + 1))
        total += term
        n += 2
    return total


_EXACT = {Fraction(0): Fraction(1), Fraction(1, 6): Fraction(1, 2), Fraction(1, 4): Fraction(0)}
"""Cosines that are rational."""


def tail(z: Bound) -> Fraction:
    """P(|Z| > z) of the standard normal law, for z >= 0; exactly 0 beyond `FAR`."""
    return 1 - centre(z)


def centre(z: Bound) -> Fraction:
    """P(|Z| < z) = erf(z / sqrt 2) of the standard normal law, for z >= 0; exactly 1 beyond `FAR`."""
    return Fraction(1) if z is None or z > FAR else _erf(z)


@_in_decimal
def _erf(z: Fraction) -> Decimal:
    """erf(z / sqrt 2), by erf(x) = 2/sqrt(pi) exp(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!: no term is negative.

    Abramowitz & Stegun 7.1.6.
    """
    term = total = _decimal(z)
    square = total * total
    n = 1
    least = total.scaleb(-_CONTEXT.prec)
    while term > least:
        term *= square / (2 * n + 1)
        total += term
        n += 1
    return 2 * _density(_decimal(z)) * total


@_in_decimal
def truncated_std(low: Bound, high: Bound) -> Decimal:
    """Standard deviation of the standard normal law restricted to [low, high], of a probability >= 2^-90.

    Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1, section 13.10.1. For [-2, 2] it is
    0.87962566103423975...
    """
    within = _decimal(mass(low, high))
    # Of each end: its density, and the end times it.
    (at_low, low_moment), (at_high, high_moment) = (_moments(end) for end in (low, high))
    mean = (at_low - at_high) / within
    return (1 + (low_moment - high_moment) / within - mean * mean).sqrt()


@_in_decimal
def truncated_mean(low: Bound, high: Bound) -> Decimal:
    """Mean of the standard normal distribution restricted to [low, high], of a probability >= 2^-90."""
    (at_low, _), (at_high, _) = (_moments(end) for end in (low, high))
    return (at_low - at_high) / _decimal(mass(low, high))


@_in_decimal
def complex_mass(high: Fraction) -> Decimal:
    """P(|Z| < high) of the standard complex normal law, E|Z|^2 = 1."""
    return -_expm1(-(_decimal(high) ** 2))


@_in_decimal
def complex_truncated_std(high: Fraction) -> Decimal:
    """sqrt(E|Z|^2) of the standard complex normal law restricted to |Z| < high. Of 2 it is 0.96196..."""
    # |Z|^2 has an exponential law.
    square = _decimal(high) ** 2
    return (1 + square * (-square).exp() / _expm1(-square)).sqrt()


def mass(low: Bound, high: Bound) -> Fraction:
    """P(low < Z < high) of the standard normal law."""
    return _mass_from_zero(high, 1) - _mass_from_zero(low, -1)


def _mass_from_zero(end: Bound, side: int) -> Fraction:
    """P(0 < Z < end), negative below 0; `side` is the sign of an end that is not there."""
    if end is None:
        return Fraction(side, 2)
    return centre(abs(end)) / 2 if end > 0 else -centre(abs(end)) / 2


def _moments(end: Bound) -> tuple[Decimal, Decimal]:
    if end is None or abs(end) > FAR:
        return Decimal(0), Decimal(0)
    density = _density(_decimal(end))
    return density, _decimal(end) * density


def _density(z: Decimal) -> Decimal:
    return (-z * z / 2).exp() / (2 * _decimal(pi())).sqrt()


@_in_decimal
def pi() -> Decimal:
    """The ratio of a circle's circumference to its diameter, by Machin 1706: pi = 16 atan(1/5) - 4 atan(1/239)."""

    def arctan_inverse(n: int) -> Decimal:
        power = total = 1 / Decimal(n)
        k = 1
        while abs(power) > Decimal(10) ** -_CONTEXT.prec:
            power /= -n * n
            k += 2
            total += power / k
        return total

    return 16 * arctan_inverse(5) - 4 * arctan_inverse(239)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def rounded(value: Fraction, dtype: DType, rounding: Rounding = "nearest") -> float:
    """`value` rounded once to `dtype`: to nearest even, or down or up to the next number of that type.

    Returned as a Python float, which holds every number of every storage type exactly; never -0.0. Beyond the
    largest finite number of the type the answer is infinite.
    """
    if value == 0:
        return 0.0
    exponent = max(_floor_log2(abs(value)), dtype.min_exponent)
    quantum = Fraction(2) ** (exponent - dtype.precision + 1)
    steps = value / quantum
    whole = round(steps) if rounding == "nearest" else math.floor(steps) if rounding == "down" else math.ceil(steps)
    result = whole * quantum
    if abs(result) > Fraction(dtype.largest):
        return math.inf if result > 0 else -math.inf
    return float(result) + 0.0


def _floor_log2(value: Fraction) -> int:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if value >= Fraction(2) ** exponent else exponent - 1
