"""Distributions of tensor elements during the construction of a model, and arithmetic with these distributions.

The elements of one piece are independent and have one distribution, or they have known values. Every rule is exact.
An operation without a rule results in `Unknown`, which stores the name of the operation.

The module is long because the rules refer to every kind of distribution.
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
"""Largest difference of equal bounds, as a part of their interval. Models compute bounds in float32."""
LAST_PLACE = 2.0**-32
"""Smallest probability that matters. A draw has 32 random bits, so rarer values beyond a bound do not occur."""
REACH = 6.5
"""Standard deviations beyond which no normal draw of 32 random bits falls."""
_draws = itertools.count(1)


@dataclass(frozen=True)
class Unset:
    """Memory that was allocated and not written."""

    line: str = field(default="", compare=False)
    """Line of the model's code that allocated it."""


@dataclass(frozen=True)
class Unknown:
    """Values that none of these classes describes."""

    operation: str
    """First operation that has no rule."""


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
    """Known values between unknown ones, as in a table of which every second column was written."""

    tensor: torch.Tensor
    known: torch.Tensor
    """Mask of the known values."""


@dataclass(frozen=True)
class Random:
    """Independent random elements. Two objects are equal if their elements have the same distribution."""

    draw: int = field(default_factory=lambda: next(_draws), compare=False, kw_only=True)
    """Identifies the sequence of random numbers. A copy of a tensor has the sequence of the original."""
    place: int = field(default=0, compare=False, kw_only=True)
    """Index of the first random number in that sequence."""
    order: int = field(default=0, compare=False, kw_only=True)
    """Identifies the order of the numbers: 0 is the order of the draw, a transposed matrix has another."""
    falling: bool = field(default=False, compare=False, kw_only=True)
    """True if a uniform element decreases with its random number, as in 1 - x."""

    def is_same_draw(self, other: Random) -> bool:
        """Return whether both have the same random numbers at each place."""
        return (self.draw, self.place, self.order) == (other.draw, other.place, other.order)

    def goes_on(self, length: int, other: Random) -> bool:
        """Return whether `other` continues this draw after `length` elements, with the same distribution."""
        is_alike = self == other and self.falling == other.falling
        return is_alike and replace(self, place=self.place + length).is_same_draw(other)


@dataclass(frozen=True)
class Uniform(Random):
    """Uniform on [low, high]."""

    low: float
    high: float


@dataclass(frozen=True)
class Normal(Random):
    """Normal distribution, truncated to [low, high]. The bounds are values, not standard deviations."""

    mean: float
    std: float
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Circular(Random):
    """Complex normal distribution of mean 0: real and imaginary parts are independent and have the same variance."""

    std: float
    """Root of E|z|^2."""


@dataclass(frozen=True)
class Function(Random):
    """A function of a uniform draw, element by element."""

    curve: tuple[float, ...]
    """Its values at the quantiles `QUANTILES` of the draw."""
    operation: str = field(compare=False)
    """First operation after which the distribution is no longer uniform."""


@dataclass(frozen=True)
class Said(Random):
    """A tensor of a recipe, unchanged: scheme and parameters are valid for all elements of this shape together."""

    words: str
    """The members of a tensor besides shape and dtype, as JSON."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Matrix(Random):
    """All elements of a matrix together. A part of the matrix is `Unknown`."""

    rows: int
    columns: int
    by_columns: bool = field(default=False, kw_only=True)
    """True if the elements are in column-major order."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the tensor whose elements, in row-major order, are those of the matrix."""
        return (self.columns, self.rows) if self.by_columns else (self.rows, self.columns)


@dataclass(frozen=True)
class Factor(Matrix):
    """The Q of a QR factorization of independent normals. Its signs depend on the algorithm."""


@dataclass(frozen=True)
class Triangle(Matrix):
    """The R of a QR factorization of independent normals. Its signs depend on the algorithm."""


@dataclass(frozen=True)
class Diagonal:
    """Diagonal of the R that was factorized together with the Q of this draw."""

    draw: int


@dataclass(frozen=True)
class Signs:
    """Signs of the `Diagonal` of this draw."""

    draw: int


@dataclass(frozen=True)
class Orthogonal(Matrix):
    """Haar distribution on matrices with orthonormal columns (rows if there are fewer rows), times `gain`."""

    gain: float


@dataclass(frozen=True)
class Sparse(Matrix):
    """Independent normals of mean 0. Each column has ceil(sparsity * rows) zeros at random places."""

    sparsity: float
    std: float


@dataclass(frozen=True)
class Norms:
    """Norms of the slices of a random tensor: the magnitudes of `weight_norm`."""

    draw: int
    """Draw of the tensor."""
    dist: Distribution
    shape: tuple[int, ...]
    power: int
    axis: int
    """Axis that has one norm for each index; -1 takes one norm of all elements."""

    @property
    def count(self) -> int:
        """Number of norms."""
        return 1 if self.axis == -1 else self.shape[self.axis]


Distribution = (
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


def curve(dist: Uniform | Function) -> tuple[float, ...]:
    """Return the values at `QUANTILES` of the draw."""
    if isinstance(dist, Function):
        return dist.curve
    begin, end = (dist.high, dist.low) if dist.falling else (dist.low, dist.high)
    return tuple(begin + (end - begin) * q for q in QUANTILES)


def is_held(drawn: Random, tiny: float, largest: float) -> bool:
    """Return whether a storage type keeps the elements: few of them become zero, and none becomes infinite.

    `tiny` and `largest` are the smallest normal and the largest finite number of the type.
    """
    match drawn:
        case Normal(mean, std, low, high):
            ends = (max(low, mean - REACH * std), min(high, mean + REACH * std))
            size = max(abs(mean), std)
        case Uniform(low, high):
            ends = (low, high)
            size = max(map(abs, ends))
        case Circular(std) | Sparse(std=std):
            ends = (-REACH * std, REACH * std)
            size = std
        case Orthogonal(gain=size):
            ends = (-size, size)
        case Function(values):
            ends = (min(values), max(values))
            size = max(map(abs, ends))
        case _:
            return True
    return size >= tiny and max(map(abs, ends)) <= largest


def reordered(dist: Drawn) -> Drawn:
    """Return the distribution of the same elements in another order."""
    return replace(dist, order=next(_draws))


def redrawn(dist: Drawn) -> Drawn:
    """Return the same distribution with other random numbers."""
    return replace(dist, draw=next(_draws))


def transposed(dist: Matrix) -> Distribution:
    """Return the distribution of a complete matrix with rows and columns exchanged."""
    assert isinstance(dist, Factor | Triangle | Orthogonal | Sparse)
    return reordered(replace(dist, by_columns=not dist.by_columns))


def displaced(dist: Norms | Diagonal | Signs) -> Unknown:
    """Return the distribution of a part of a vector whose elements belong to a matrix, or of another order of it."""
    is_of_qr = not isinstance(dist, Norms)
    return Unknown("aten.linalg_qr" if is_of_qr else "norms of a random tensor, in part or in another order")


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
