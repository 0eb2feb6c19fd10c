"""Functions of float64 arrays in exactly rounded operations: the same bits on every machine (SPEC.md section 6.6)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fanin.scalars import log as exact_log
from fanin.scalars import pi

Doubles = NDArray[np.float64]
U64 = NDArray[np.uint64]


def _series(numbers: Sequence[Fraction]) -> list[float]:
    # The quotient of two integers is rounded once.
    return [number.numerator / number.denominator for number in numbers]


LOG = _series([Fraction(2, 2 * k + 1) for k in range(11)])
EXP = _series([Fraction(1, math.factorial(k)) for k in range(15)])
EXPM1 = _series([Fraction(1, math.factorial(k + 1)) for k in range(19)])
SINE = _series([(-1) ** k * (2 * pi()) ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(10)])
COSINE = _series([(-1) ** k * (2 * pi()) ** (2 * k) / math.factorial(2 * k) for k in range(10)])
LN2 = float(exact_log(Fraction(2)))
LN2_HIGH = math.ldexp(math.floor(math.ldexp(LN2, 32)), -32)
"""Its upper 32 bits: products with small integers are exact."""
LN2_LOW = float(exact_log(Fraction(2)) - Fraction(LN2_HIGH))
ROOT_HALF = math.sqrt(0.5)


def horner(coefficients: Sequence[float], v: Doubles) -> Doubles:
    """(...(c[n-1] v + c[n-2]) v + ...) v + c[0]."""
    total = np.full_like(v, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * v + coefficient
    return total


def log(x: Doubles) -> Doubles:
    """ln x, x > 0."""
    mantissa, exponent = np.frexp(x)  # mantissa in [0.5, 1): exact
    is_small = mantissa < ROOT_HALF
    mantissa = np.where(is_small, 2 * mantissa, mantissa)
    f: Doubles = (mantissa - 1) / (mantissa + 1)
    return (exponent - is_small).astype(np.float64) * LN2 + f * horner(LOG, f * f)


def exp(x: Doubles) -> Doubles:
    """e^x, |x| <= 700."""
    n = np.rint(x * (1 / LN2))
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    return np.ldexp(horner(EXP, r), n.astype(np.int32))


def inverse_softplus(x: Doubles) -> Doubles:
    """ln(e^x - 1), 0 < x <= 700."""
    return log(np.where(x < 1, x * horner(EXPM1, np.minimum(x, 1.0)), exp(x) - 1))


def sine(phase: U64) -> Doubles:
    """sin(2 pi t) of t = phase 2^-64 turns."""
    quarter = (phase + np.uint64(1 << 61)) >> np.uint64(62)  # the nearest, modulo 4
    turns = (phase - (quarter << np.uint64(62))).astype(np.int64).astype(np.float64) * 2.0**-64
    square = turns * turns
    value = np.where(quarter % np.uint64(2) == 0, turns * horner(SINE, square), horner(COSINE, square))
    return np.where(quarter >= 2, -value, value)


def cosine(phase: U64) -> Doubles:
    """cos(2 pi t) of t = phase 2^-64 turns."""
    return sine(phase + np.uint64(1 << 62))
