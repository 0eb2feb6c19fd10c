"""Laws of elements while a model is being built, and what arithmetic makes of them.

The elements of one piece are independent and follow one law, or have values that are known. Every rule here is exact:
what has none becomes `Unknown`, which remembers the operation.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

EDGE = 1e-6
"""Bounds that differ by this part of their interval are the same bounds: they were worked out in float32."""
LAST_PLACE = 2.0**-32
"""A draw has 32 random bits: what is beyond a bound less often than this changes nothing."""
_draws = itertools.count(1)


@dataclass(frozen=True)
class Unset:
    """Memory that was asked for and not written."""

    line: str = field(default="", compare=False)
    """Of the model's code that asked for it."""


@dataclass(frozen=True)
class Unknown:
    """Values that no law here describes."""

    operation: str
    """What made them so first."""


@dataclass(frozen=True)
class Constant:
    """One value everywhere."""

    value: complex


@dataclass(frozen=True, eq=False)
class Values:
    """Values that do not depend on random numbers."""

    tensor: torch.Tensor
    """One-dimensional, in memory."""


@dataclass(frozen=True, eq=False)
class Partly:
    """Values of which some are known, in between others: a table of which every second column was written."""

    tensor: torch.Tensor
    known: torch.Tensor
    """Where."""


@dataclass(frozen=True)
class Random:
    """Independent elements. Two laws are equal when elements of both are distributed alike."""

    draw: int = field(default_factory=lambda: next(_draws), compare=False, kw_only=True)
    """Which random numbers; a copy of a tensor has those of the original ..."""
    place: int = field(default=0, compare=False, kw_only=True)
    """... beginning with this one of them ..."""
    order: int = field(default=0, compare=False, kw_only=True)
    """... in their own order, or in another, as in a transposed matrix."""
    falling: bool = field(default=False, compare=False, kw_only=True)
    """Of a uniform law: the largest random numbers make the smallest elements, as in 1 - x."""

    def is_same_draw(self, other: Random) -> bool:
        """Both have the same random numbers at each place."""
        return (self.draw, self.place, self.order) == (other.draw, other.place, other.order)

    def goes_on(self, length: int, other: Random) -> bool:
        """`other` is what comes behind `length` elements of this one, in one tensor of one law."""
        is_alike = self == other and self.falling == other.falling
        return is_alike and replace(self, place=self.place + length).is_same_draw(other)


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


@dataclass(frozen=True)
class Circular(Random):
    """Complex normal law of mean 0: real and imaginary parts are independent and distributed alike."""

    std: float
    """Root of E|z|^2."""


@dataclass(frozen=True)
class Function(Random):
    """A function of a uniform draw, element by element."""

    curve: tuple[float, ...]
    """Its values at the quantiles `QUANTILES` of the draw."""
    operation: str = field(compare=False)
    """The first one that made it no uniform law."""


@dataclass(frozen=True)
class Said(Random):
    """What a recipe says, in its words; for a tensor of this shape, and as a whole."""

    words: str
    """The members of a tensor besides shape and dtype, as JSON."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Matrix(Random):
    """All elements of a matrix together: a part of it follows no law here."""

    rows: int
    columns: int
    by_columns: bool = field(default=False, kw_only=True)
    """They come column by column."""

    @property
    def shape(self) -> tuple[int, int]:
        """Of the tensor whose elements, in row-major order, are those of the matrix."""
        return (self.columns, self.rows) if self.by_columns else (self.rows, self.columns)


@dataclass(frozen=True)
class Factor(Matrix):
    """The Q of a QR factorization of independent normals. Its signs depend on the algorithm ..."""


@dataclass(frozen=True)
class Triangle(Matrix):
    """... as do those of its R."""


@dataclass(frozen=True)
class Diagonal:
    """The diagonal of the R whose Q is of this draw."""

    draw: int


@dataclass(frozen=True)
class Signs:
    """Its signs."""

    draw: int


@dataclass(frozen=True)
class Orthogonal(Matrix):
    """Uniform (Haar) among the matrices with orthonormal columns, or rows where these are fewer, times `gain`."""

    gain: float


@dataclass(frozen=True)
class Sparse(Matrix):
    """Independent normals of mean 0, and at random places in every column zeros, this part of it or a little more."""

    sparsity: float
    std: float


@dataclass(frozen=True)
class Norms:
    """Norms of the slices of a random tensor: the magnitudes of `weight_norm`."""

    draw: int
    """Of the tensor."""
    law: Law
    shape: tuple[int, ...]
    power: int
    axis: int
    """That the slices are not along; -1 takes the norm of all."""


Law = (
    Unset
    | Unknown
    | Constant
    | Values
    | Partly
    | Uniform
    | Normal
    | Circular
    | Function
    | Said
    | Factor
    | Triangle
    | Diagonal
    | Signs
    | Orthogonal
    | Sparse
    | Norms
)
Drawn = TypeVar("Drawn", bound=Random)
QUANTILES = tuple(k / 16 for k in range(17))


def curve(law: Uniform | Function) -> tuple[float, ...]:
    """Its values at the quantiles."""
    if isinstance(law, Function):
        return law.curve
    begin, end = (law.high, law.low) if law.falling else (law.low, law.high)
    return tuple(begin + (end - begin) * q for q in QUANTILES)


def reordered(law: Drawn) -> Drawn:
    """Of the same elements in another order."""
    return replace(law, order=next(_draws))


def redrawn(law: Drawn) -> Drawn:
    """Return the same distribution with other random numbers."""
    return replace(law, draw=next(_draws))


def transposed(law: Matrix) -> Law:
    """Of the elements of a whole matrix in the other order."""
    assert isinstance(law, Factor | Triangle | Orthogonal | Sparse)
    return reordered(replace(law, by_columns=not law.by_columns))


def affine(law: Law, scale: float, shift: float, operation: str) -> Law:
    """The law of scale * x + shift."""
    match law:
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
            return replace(law, low=low, high=high, falling=falling != (scale < 0))
        case Normal(mean, std, low, high):
            low, high = sorted((scale * low + shift, scale * high + shift))
            return replace(law, mean=scale * mean + shift, std=abs(scale) * std, low=low, high=high)
        case Function(values):
            return replace(law, curve=tuple(scale * value + shift for value in values))
        case Circular() if not shift:
            return replace(law, std=law.std * abs(scale))
        case Orthogonal() if not shift:
            return replace(law, gain=law.gain * abs(scale))
        case Sparse() if not shift:
            return replace(law, std=law.std * abs(scale))
    return blamed(law, operation)


def clamp(law: Law, low: float, high: float, operation: str) -> Law:
    """The law of x kept within [low, high], where next to nothing is beyond."""
    match law:
        case Constant(float() | int() as value):
            return Constant(min(max(value, low), high))
        case Uniform():
            slack = EDGE * (law.high - law.low) if math.isfinite(law.high - law.low) else 0.0
            if low <= law.low + slack and law.high - slack <= high:
                return replace(law, low=max(low, law.low), high=min(high, law.high))
        case Normal() if _is_same_end(law, low, law.low) and _is_same_end(law, -high, -law.high, -1):
            # Bounds that the law has not, beyond its last place, are none.
            return replace(
                law,
                low=max(low, law.low) if math.isfinite(law.low) else law.low,
                high=min(high, law.high) if math.isfinite(law.high) else law.high,
            )
        case Function(values):
            return replace(law, curve=tuple(min(max(value, low), high) for value in values))
    return blamed(law, operation)


def _is_same_end(law: Normal, bound: float, end: float, sign: int = 1) -> bool:
    """Whether a lower bound cuts nothing off; of an upper one, whether that of -x does."""
    if bound <= end or not law.std:
        return bound <= end or bound <= sign * law.mean
    below, before = (_below((each - sign * law.mean) / law.std) for each in (bound, end))
    inside = _below((law.high - law.mean) / law.std) - _below((law.low - law.mean) / law.std)
    return bound - end <= EDGE * law.std or below - before < LAST_PLACE * inside


def _below(z: float) -> float:
    """How much of the normal law is below z."""
    return math.erfc(-z / math.sqrt(2)) / 2


def erfinv(law: Law, operation: str) -> Law:
    """Of a uniform law it is a truncated normal law, of standard deviation sqrt(1/2)."""
    if isinstance(law, Uniform) and -1 <= law.low < law.high <= 1:
        low, high = (_erfinv(end) for end in (law.low, law.high))
        return Normal(0.0, math.sqrt(0.5), low, high, draw=law.draw, place=law.place, order=law.order)
    return blamed(law, operation)


def _erfinv(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) == 1 else NormalDist(0, math.sqrt(0.5)).inv_cdf((1 + value) / 2)


def blamed(law: Law, operation: str) -> Law:
    """What an operation without a rule makes of a law."""
    return law if isinstance(law, Unset | Unknown) else Unknown(operation)
