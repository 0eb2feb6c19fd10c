"""Recognize the scheme of a function of a uniform draw from a few of its values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fanin.recording.distributions import LAST_PLACE, QUANTILES
from fanin.schemes.recurrences import DtBias

SLACK = 1e-9
"""Largest distance from a straight line, as a part of the curve's range."""
DIGITS = 12
"""Significant digits of recognized parameters. More would show rounding errors of float64."""


def scheme(curve: tuple[float, ...]) -> dict[str, Any] | None:
    """Return the scheme and its parameters for a function with these values at `QUANTILES`; `None` if none matches.

    Each scheme is a function of a uniform number. The inverse of that function makes the curve a straight line.
    """
    for undo, said in _SCHEMES:
        try:
            line = [undo(value) for value in curve]
        except (ValueError, OverflowError):
            continue
        low, high = line[0], line[-1]
        straight = [low + (high - low) * quantile for quantile in QUANTILES]
        if all(abs(is_at - at) <= SLACK * abs(high - low) for is_at, at in zip(line, straight, strict=True)):
            return said(*sorted((low, high)))
    return None


def _softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _inside(end: float) -> float:
    """Return an end of [0, 1] as a number inside: half the last place of a draw from it. At 0 and 1, these functions
    are infinite, and a scheme refuses these ends."""
    return min(max(end, LAST_PLACE / 2), 1 - LAST_PLACE / 2)


_SCHEMES: list[tuple[Callable[[float], float], Callable[[float, float], dict[str, Any]]]] = [
    (
        lambda value: value,
        lambda low, high: (
            {"scheme": "uniform", "low": _rounded(low), "high": _rounded(high)}
            if low < high
            else {"scheme": "constant", "value": low}
        ),
    ),
    (
        math.exp,
        # If low is 0, the smallest draw would give minus infinity. Half the last place of a draw replaces it.
        lambda low, high: {
            "scheme": "log_of_uniform",
            "low": _rounded(low or high * LAST_PLACE / 2),
            "high": _rounded(high),
        },
    ),
    (
        lambda value: math.log(_softplus(value)),
        lambda low, high: {
            "scheme": "dt_bias",
            "dt_min": _rounded(math.exp(low)),
            "dt_max": _rounded(math.exp(high)),
            "dt_floor": min(_rounded(math.exp(low)), DtBias.model_fields["dt_floor"].default),
        },
    ),
    (
        lambda value: math.exp(-2 * _softplus(value)),
        lambda low, high: {
            "scheme": "rg_lru",
            "min_radius": _rounded(math.sqrt(low)),
            "max_radius": _rounded(math.sqrt(high)),
        },
    ),
    (
        lambda value: math.exp(-8 * _softplus(value)),
        lambda low, high: {
            "scheme": "rg_lru",
            "variant": "griffin",
            "min_radius": _rounded(low),
            "max_radius": _rounded(high),
        },
    ),
    (
        lambda value: math.exp(-2 * math.exp(value)),
        lambda low, high: {
            "scheme": "lru_nu",
            "min_radius": _rounded(math.sqrt(_inside(low))),
            "max_radius": _rounded(math.sqrt(_inside(high))),
        },
    ),
    (
        lambda value: 1 / (1 + math.exp(-value)),
        lambda low, high: {
            "scheme": "logit_of_uniform",
            "low": _rounded(_inside(low)),
            "high": _rounded(_inside(high)),
        },
    ),
]
