"""Arithmetic with distributions of tensor elements.

Every rule is exact. An operation without a rule results in `Unknown`, which stores the name of the operation.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

from fanin.recording.distributions import (
    LAST_PLACE,
    Circular,
    Constant,
    Distribution,
    Function,
    Normal,
    Orthogonal,
    Random,
    Sparse,
    Uniform,
    Unknown,
    Unset,
    Values,
)

EDGE = 1e-6
"""Largest difference of equal bounds, as a part of their interval. Models compute bounds in float32."""


def affine(dist: Distribution, scale: float, shift: float, operation: str) -> Distribution:
    """Return the distribution of scale * x + shift; `Unknown` without a rule."""
    match dist:
        case Constant(value):
            return Constant(scale * value + shift)
        case Values(tensor):
            return Values(tensor * scale + shift)
        case Random() if not (math.isfinite(scale) and math.isfinite(shift)):
            return Unknown(operation)
        case Random() if not scale:
            return Constant(shift)
        case Uniform(low, high, falling=falling):
            low, high = sorted((scale * low + shift, scale * high + shift))
            return replace(dist, low=low, high=high, falling=falling != (scale < 0))
        case Normal(mean, std, low, high):
            low, high = sorted((scale * low + shift, scale * high + shift))
            return replace(dist, mean=scale * mean + shift, std=abs(scale) * std, low=low, high=high)
        case Function(values):
            return replace(dist, curve=tuple(scale * value + shift for value in values))
        case Circular() if not shift:
            return replace(dist, std=dist.std * abs(scale))
        case Orthogonal() if not shift:
            return replace(dist, gain=dist.gain * abs(scale))
        case Sparse() if not shift:
            return replace(dist, std=dist.std * abs(scale))
    return blamed(dist, operation)


def clamp(dist: Distribution, low: float, high: float, operation: str) -> Distribution:
    """Return the distribution of x clamped to [low, high]; `Unknown` unless almost all values are inside."""
    match dist:
        case Constant(float() | int() as value):
            return Constant(min(max(value, low), high))
        case Uniform():
            slack = EDGE * (dist.high - dist.low) if math.isfinite(dist.high - dist.low) else 0.0
            if low <= dist.low + slack and dist.high - slack <= high:
                return replace(dist, low=max(low, dist.low), high=min(high, dist.high))
        case Normal() if _is_same_end(dist, low, dist.low) and _is_same_end(dist, -high, -dist.high, -1):
            # An infinite end stays infinite: the clamp cuts off less than the last place of a draw.
            return replace(
                dist,
                low=max(low, dist.low) if math.isfinite(dist.low) else dist.low,
                high=min(high, dist.high) if math.isfinite(dist.high) else dist.high,
            )
        case Function(values):
            return replace(dist, curve=tuple(min(max(value, low), high) for value in values))
    return blamed(dist, operation)


def _is_same_end(dist: Normal, bound: float, end: float, sign: int = 1) -> bool:
    """Return whether a lower bound cuts nothing off. Negate `bound` and `end` and pass sign -1 for an upper bound."""
    if bound <= end or not dist.std:
        return bound <= end or bound <= sign * dist.mean
    below, before = (_below((each - sign * dist.mean) / dist.std) for each in (bound, end))
    inside = _below((dist.high - dist.mean) / dist.std) - _below((dist.low - dist.mean) / dist.std)
    return bound - end <= EDGE * dist.std or below - before < LAST_PLACE * inside


def _below(z: float) -> float:
    """Return the probability of the standard normal distribution below z."""
    return math.erfc(-z / math.sqrt(2)) / 2


def erfinv(dist: Distribution, operation: str) -> Distribution:
    """Return the distribution of erfinv(x): for a uniform x a truncated normal with standard deviation sqrt(1/2)."""
    if isinstance(dist, Uniform) and -1 <= dist.low < dist.high <= 1:
        low, high = (_erfinv(end) for end in (dist.low, dist.high))
        return Normal(0.0, math.sqrt(0.5), low, high, draw=dist.draw, place=dist.place, order=dist.order)
    return blamed(dist, operation)


def _erfinv(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) == 1 else NormalDist(0, math.sqrt(0.5)).inv_cdf((1 + value) / 2)


def blamed(dist: Distribution, operation: str) -> Distribution:
    """Return `Unknown` with the cause: the earlier one if the elements are already unset or unknown."""
    return dist if isinstance(dist, Unset | Unknown) else Unknown(operation)
