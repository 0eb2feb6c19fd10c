"""Real-number arithmetic for the few scalars of a draw (SPEC.md section 5).

A scalar is a real-number formula, rounded once to the type that uses it. Rational arithmetic is exact, in fractions.
Roots and the normal distribution are evaluated in decimal to 120 digits. Nothing in this module runs per element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from fractions import Fraction
from functools import lru_cache, wraps
from typing import Literal, ParamSpec, cast

from fanin.dtypes import DType


def context(digits: int) -> Context:
    """Return a context of this precision. Its other settings would be those that a program gave `DefaultContext`."""
    traps = [InvalidOperation, DivisionByZero, Overflow]
    return Context(digits, ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, capitals=1, clamp=0, flags=[], traps=traps)


# Guard digits: 1 - erf loses up to 40 digits at 13 standard deviations, and the standard deviation of a narrow interval
# loses 80. The result still needs more digits than any storage type has.
_CONTEXT = context(120)
FAR = Fraction(13)
"""A bound beyond this many standard deviations is treated as infinite: P(|Z| > 13) < 2^-126."""

_EXACT_POWER = 64
"""Largest integer exponent of an exact power. Larger powers have too many digits to be fast."""

_LEAST_POWER = Decimal("1e-700")
"""Least value of a power: far below the difference of any two numbers of a storage type, also times any float64."""

Bound = Fraction | None
"""A bound in standard deviations; `None` where there is none."""
Rounding = Literal["nearest", "down", "up"]

P = ParamSpec("P")


def _in_decimal(function: Callable[P, Decimal]) -> Callable[P, Fraction]:
    """Return `function` evaluated with 120 digits, independent of the caller's decimal context."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Fraction:
        with localcontext(_CONTEXT):
            return Fraction(function(*args, **kwargs))

    return cast("Callable[P, Fraction]", lru_cache(maxsize=1024)(wrapper))


def root(value: Fraction, degree: int) -> Fraction:
    """Return the root of a number >= 0, exact if it is rational: a bound of 1 must not become the number below 1."""
    top, bottom = (_exact_root(n, degree) for n in value.as_integer_ratio())
    return _root(value, degree) if top is None or bottom is None else Fraction(top, bottom)


def _exact_root(n: int, degree: int) -> int | None:
    found = round(_root(Fraction(n), degree)) if n else 0
    return found if found**degree == n else None


@_in_decimal
def _root(value: Fraction, degree: int) -> Decimal:
    # A power takes 20 times as long as two square roots, and every scheme with fans needs a fourth root.
    found = _decimal(value)
    while degree % 2 == 0:
        found, degree = found.sqrt(), degree // 2
    return found if degree == 1 else found ** (1 / Decimal(degree))


@_in_decimal
def log(value: Fraction) -> Decimal:
    """Return the natural logarithm of a number > 0."""
    return _decimal(value).ln()


@_in_decimal
def log1p(value: Fraction) -> Decimal:
    """Return ln(1 + x) for |x| <= 1/2, by its series, with 120 digits also near 0."""
    x = _decimal(value)
    term = total = x
    n = 1
    while abs(term) > abs(total).scaleb(-_CONTEXT.prec):
        n += 1
        term *= -x
        total += term / n
    return total


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """Return a number > 0 to a real power, exact for small integer exponents, where it can lie between two floats."""
    if exponent.denominator == 1 and abs(exponent) <= _EXACT_POWER:
        return base**exponent.numerator
    return _power(base, exponent)


@_in_decimal
def _power(base: Fraction, exponent: Fraction) -> Decimal:
    # A power is above 0, which decides a tie that it is added to. A smaller one decides the same, and would take a
    # fraction of a million digits, or underflow to 0.
    return max(_decimal(base) ** _decimal(exponent), _LEAST_POWER)


@_in_decimal
def power_less_one(base: Fraction, exponent: Fraction) -> Decimal:
    """Return base^exponent - 1 for a base > 0, with 120 digits also if the power is near 1."""
    return _expm1(_decimal(base).ln() * _decimal(exponent))


@_in_decimal
def inverse_softplus(value: Fraction) -> Decimal:
    """Return ln(exp(x) - 1) for x > 0."""
    return _expm1(_decimal(value)).ln()


def _expm1(x: Decimal) -> Decimal:
    """Return exp(x) - 1, by its series near 0, where the difference would lose digits."""
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
    """Return cos(2 pi x) for x turns, by its series; exact if its absolute value is 0, 1/2 or 1."""
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
"""Rational cosines, by turns in [0, 1/4]."""


def tail(z: Bound) -> Fraction:
    """Return P(|Z| > z) of the standard normal distribution, for z >= 0; exactly 0 beyond `FAR`."""
    return 1 - centre(z)


def centre(z: Bound) -> Fraction:
    """Return P(|Z| < z) = erf(z / sqrt 2) of the standard normal distribution, z >= 0; exactly 1 beyond `FAR`."""
    return Fraction(1) if z is None or z > FAR else _erf(z)


@_in_decimal
def _erf(z: Fraction) -> Decimal:
    """Return erf(z / sqrt 2), by erf(x) = 2/sqrt(pi) exp(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!.

    No term is negative, so no digits cancel. Abramowitz & Stegun 7.1.6.
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
    """Return the standard deviation of the standard normal distribution truncated to [low, high], of mass >= 2^-90.

    Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1, section 13.10.1. For [-2, 2] it is
    0.87962566103423975...
    """
    within = _decimal(mass(low, high))
    # For each end: the density, and the end times the density.
    (at_low, low_moment), (at_high, high_moment) = (_moments(end) for end in (low, high))
    mean = (at_low - at_high) / within
    return (1 + (low_moment - high_moment) / within - mean * mean).sqrt()


@_in_decimal
def truncated_mean(low: Bound, high: Bound) -> Decimal:
    """Return the mean of the standard normal distribution truncated to [low, high], of mass >= 2^-90."""
    (at_low, _), (at_high, _) = (_moments(end) for end in (low, high))
    return (at_low - at_high) / _decimal(mass(low, high))


@_in_decimal
def complex_mass(high: Fraction) -> Decimal:
    """Return P(|Z| < high) of the standard complex normal distribution, E|Z|^2 = 1."""
    return -_expm1(-(_decimal(high) ** 2))


@_in_decimal
def complex_truncated_std(high: Fraction) -> Decimal:
    """Return sqrt(E|Z|^2) of the standard complex normal distribution truncated to |Z| < high: 0.96196... for 2."""
    # |Z|^2 has an exponential distribution.
    square = _decimal(high) ** 2
    return (1 + square * (-square).exp() / _expm1(-square)).sqrt()


def mass(low: Bound, high: Bound) -> Fraction:
    """Return P(low < Z < high) of the standard normal distribution."""
    return _mass_from_zero(high, 1) - _mass_from_zero(low, -1)


def _mass_from_zero(end: Bound, side: int) -> Fraction:
    """Return P(0 < Z < end), negative for end < 0. `side` is the sign of an infinite end, which is `None`."""
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
    """Return pi, by Machin 1706: pi = 16 atan(1/5) - 4 atan(1/239)."""

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
    """Return `value` rounded once to `dtype`: to nearest even, or down or up to the next number of that type.

    The result is a Python float, which holds every number of every storage type exactly. It is never -0.0. It is
    infinite beyond the largest finite number of the type.
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
