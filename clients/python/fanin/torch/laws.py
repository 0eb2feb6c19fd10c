"""Laws of elements while a model is being built, and what arithmetic makes of them.

The elements of one piece are independent and follow one law, or have values that are known. Every rule here is exact:
what has none becomes `Unknown`, which remembers the operation.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace

import torch

EDGE = 1e-6
"""Bounds that differ by this part of their interval are the same bounds: they were worked out in float32."""
_draws = itertools.count()


@dataclass(frozen=True)
class Unset:
    """Memory that was asked for and not written."""


@dataclass(frozen=True)
class Unknown:
    """Values that no law here describes."""

    operation: str
    """What made them so first."""


@dataclass(frozen=True)
class Constant:
    """One value everywhere."""

    value: float


@dataclass(frozen=True, eq=False)
class Values:
    """Values that do not depend on random numbers."""

    tensor: torch.Tensor
    """One-dimensional, in memory."""


@dataclass(frozen=True)
class Random:
    """Independent elements. Two laws are equal when elements of both are distributed alike."""

    draw: int = field(default_factory=lambda: next(_draws), compare=False, kw_only=True)
    """Which random numbers; a copy of a tensor has those of the original ..."""
    place: int = field(default=0, compare=False, kw_only=True)
    """... beginning with this one of them."""


@dataclass(frozen=True)
class Uniform(Random):
    """Uniform on [low, high]."""

    low: float
    high: float


@dataclass(frozen=True)
class Normal(Random):
    """Normal law, restricted to [low, high], which are values."""

    mean: float
    std: float
    low: float = -math.inf
    high: float = math.inf


Law = Unset | Unknown | Constant | Values | Uniform | Normal


def affine(law: Law, scale: float, shift: float, operation: str) -> Law:
    """The law of scale * x + shift."""
    match law:
        case Constant(value):
            return Constant(scale * value + shift)
        case Values(tensor):
            return Values(tensor * scale + shift)
        case Uniform() | Normal() if not (math.isfinite(scale) and math.isfinite(shift)):
            return Unknown(operation)
        case Uniform() | Normal() if not scale:
            return Constant(shift)
        case Uniform(low, high):
            low, high = sorted((scale * low + shift, scale * high + shift))
            return replace(law, low=low, high=high)
        case Normal(mean, std, low, high):
            low, high = sorted((scale * low + shift, scale * high + shift))
            return replace(law, mean=scale * mean + shift, std=abs(scale) * std, low=low, high=high)
    return blamed(law, operation)


def clamp(law: Law, low: float, high: float, operation: str) -> Law:
    """The law of x kept within [low, high], where next to nothing is beyond."""
    match law:
        case Constant(value):
            return Constant(min(max(value, low), high))
        case Uniform() | Normal():
            slack = EDGE * (law.high - law.low) if math.isfinite(law.high - law.low) else 0.0
            if low <= law.low + slack and law.high - slack <= high:
                return replace(law, low=max(low, law.low), high=min(high, law.high))
    return blamed(law, operation)


def erfinv(law: Law, operation: str) -> Law:
    """Of a uniform law it is a truncated normal law, of standard deviation sqrt(1/2)."""
    if isinstance(law, Uniform) and -1 <= law.low < law.high <= 1:
        low, high = torch.erfinv(torch.tensor([law.low, law.high], dtype=torch.float64)).tolist()
        return Normal(0.0, math.sqrt(0.5), low, high, draw=law.draw, place=law.place)
    return blamed(law, operation)


def blamed(law: Law, operation: str) -> Law:
    """What an operation without a rule makes of a law."""
    return law if isinstance(law, Unset | Unknown) else Unknown(operation)
