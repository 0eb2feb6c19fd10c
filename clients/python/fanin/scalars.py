"""Real-number arithmetic for the few scalars of a draw (SPEC.md section 5).

Scalars are real-number formulas, evaluated here in decimal to far more than 50 digits and rounded once to the type
that uses them. Nothing here runs per element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache, wraps
from typing import Literal, ParamSpec, TypeVar

from fanin.dtypes import DType

# Guard digits: 1 - erf loses up to 40 digits at 13 standard deviations, and a result must still keep 50.
_CONTEXT = Context(prec=120)
FAR = Decimal(13)
"""Bounds farther out than this many standard deviations count as infinite: P(|Z| > 13) < 2^-126."""

Rounding = Literal["nearest", "down", "up"]

P = ParamSpec("P")
T = TypeVar("T")


def precise(function: Callable[P, T]) -> Callable[P, T]:
    """Run `function` with decimal arithmetic of 120 digits, whatever context the caller has."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        with localcontext(_CONTEXT):
            return function(*args, **kwargs)

    return wrapper


@lru_cache(maxsize=1024)
@precise
def two_sided_tail(z: Decimal) -> Decimal:
    """P(|Z| > z) of the standard normal law, for z >= 0; exactly 0 beyond `FAR`."""
    return 1 - centre(z)


@lru_cache(maxsize=1024)
@precise
def centre(z: Decimal) -> Decimal:
    """P(|Z| < z) = erf(z / sqrt 2) of the standard normal law, for z >= 0; exactly 1 beyond `FAR`.

    erf(x) = 2/sqrt(pi) exp(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!  (Abramowitz & Stegun 7.1.6): no term is negative.
    """
    if z > FAR:
        return Decimal(1)
    square = z * z
    term = total = z
    n = 1
    while term > total.scaleb(-_CONTEXT.prec):
        term *= square / (2 * n + 1)
        total += term
        n += 1
    return 2 * density(z) * total


@lru_cache(maxsize=1024)
@precise
def density(z: Decimal) -> Decimal:
    """Density of the standard normal law at z; exactly 0 beyond `FAR`."""
    if abs(z) > FAR:
        return Decimal(0)
    return (-z * z / 2).exp() / (2 * _pi()).sqrt()


@lru_cache(maxsize=1024)
@precise
def truncated_std(low: Decimal, high: Decimal) -> Decimal:
    """Standard deviation of the standard normal law restricted to [low, high], either of which may be infinite.

    Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1, section 13.10.1. For [-2, 2] it is
    0.87962566103423978...
    """
    mass = _mass_below(high) - _mass_below(low)
    at_low, at_high = density(low), density(high)
    first = (at_low - at_high) / mass
    edges = (low * at_low if at_low else 0) - (high * at_high if at_high else 0)
    return (1 + edges / mass - first * first).sqrt()


def _mass_below(z: Decimal) -> Decimal:
    """P(0 < Z < z), negative for negative z."""
    return (centre(abs(z)) / 2).copy_sign(z)


@lru_cache(maxsize=1)
@precise
def _pi() -> Decimal:
    """Machin 1706: pi = 16 atan(1/5) - 4 atan(1/239)."""

    def arctan_inverse(n: int) -> Decimal:
        power = total = 1 / Decimal(n)
        k = 1
        while abs(power) > Decimal(10) ** -_CONTEXT.prec:
            power /= -n * n
            k += 2
            total += power / k
        return total

    return 16 * arctan_inverse(5) - 4 * arctan_inverse(239)


def rounded(value: Decimal, dtype: DType, rounding: Rounding = "nearest") -> float:
    """`value` rounded once to `dtype`: to nearest even, or down or up to the next number of that type.

    Returned as a Python float, which holds every number of every storage type exactly; never -0.0. Beyond the
    largest finite number of the type the answer is infinite.
    """
    if not value.is_finite():
        return float(value)
    exact = Fraction(value)
    if exact == 0:
        return 0.0
    exponent = max(_floor_log2(abs(exact)), dtype.min_exponent)
    quantum = Fraction(2) ** (exponent - dtype.precision + 1)
    steps = exact / quantum
    whole = round(steps) if rounding == "nearest" else math.floor(steps) if rounding == "down" else math.ceil(steps)
    result = whole * quantum
    if abs(result) > Fraction(dtype.largest):
        return math.copysign(math.inf, result)
    return float(result) + 0.0


def _floor_log2(value: Fraction) -> int:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if value >= Fraction(2) ** exponent else exponent - 1
