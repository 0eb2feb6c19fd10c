"""Functions of float64 arrays are as near to the real ones as SPEC.md section 12 says."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from fanin.backends import functions

Doubles = NDArray[np.float64]
GENERATOR = np.random.default_rng(1)
COUNT = 3000
MOST = 3.0
"""Units in the last place; SPEC.md has what was found in a million places."""


def error(found: Doubles, exact: list[mpmath.mpf]) -> float:
    """The largest, in units of the last place of the exact value."""
    gaps = [abs(mpmath.mpf(float(x)) - y) / np.spacing(abs(float(y))) for x, y in zip(found, exact, strict=True)]
    return float(max(gaps))


def spread(low: float, high: float) -> Doubles:
    """Numbers of every size between two."""
    return np.exp(GENERATOR.uniform(np.log(low), np.log(high), COUNT))


@pytest.mark.parametrize(("low", "high"), [(1e-30, 1e30), (0.5, 2), (0.999999, 1.000001)])
def test_log(low: float, high: float) -> None:
    x = spread(low, high)
    with mpmath.workdps(40):
        assert error(functions.log(x), [mpmath.log(float(each)) for each in x]) < MOST


@pytest.mark.parametrize(("low", "high"), [(-700, 700), (-1, 1), (-1e-9, 1e-9)])
def test_exp(low: float, high: float) -> None:
    x = GENERATOR.uniform(low, high, COUNT)
    with mpmath.workdps(40):
        assert error(functions.exp(x), [mpmath.exp(float(each)) for each in x]) < MOST


@pytest.mark.parametrize(("low", "high"), [(1e-9, 0.6), (0.8, 700)])
def test_inverse_softplus(low: float, high: float) -> None:
    """Apart from its zero at ln 2, where it is as near as an argument's last place makes it."""
    x = spread(low, high)
    with mpmath.workdps(40):
        assert error(functions.inverse_softplus(x), [mpmath.log(mpmath.expm1(float(each))) for each in x]) < 6


def test_sine_and_cosine() -> None:
    """To a part of 2^53, and exactly in quarters of a turn."""
    phase = GENERATOR.integers(0, 2**64, COUNT, np.uint64)
    with mpmath.workdps(40):
        for found, exact in ((functions.sine, mpmath.sinpi), (functions.cosine, mpmath.cospi)):
            values = [exact(2 * mpmath.mpf(int(each)) / 2**64) for each in phase]
            assert error(found(phase), values) < MOST
    quarters = np.arange(4, dtype=np.uint64) << np.uint64(62)
    assert functions.sine(quarters).tolist() == [0, 1, 0, -1]
    assert functions.cosine(quarters).tolist() == [1, 0, -1, 0]
