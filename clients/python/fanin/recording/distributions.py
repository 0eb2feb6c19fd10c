"""Distributions of tensor elements during the construction of a model.

The elements of one piece are independent and have one distribution, or they have known values.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

LAST_PLACE = 2.0**-32
"""Smallest probability that matters. A draw has 32 random bits, so rarer values beyond a bound do not occur."""
REACH = 6.5
"""Standard deviations beyond which no normal draw of 32 random bits falls."""
WIDE = 1e38
"""Largest number of a type that holds functions of a draw near a pole: that of float32, about."""
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
class Statistic:
    """A vector that depends on all elements of random tensors. A part of it is `Unknown`."""

    draw: int
    """Draw of the tensor."""

    @property
    def count(self) -> int:
        """Number of elements."""
        raise NotImplementedError


@dataclass(frozen=True)
class Norms(Statistic):
    """Norms of the slices of a random tensor: the magnitudes of `weight_norm`."""

    dist: Distribution
    shape: tuple[int, ...]
    power: int
    axis: int
    """Axis that has one norm for each index; -1 takes one norm of all elements."""

    @property
    def count(self) -> int:
        return 1 if self.axis == -1 else self.shape[self.axis]


@dataclass(frozen=True)
class Singular(Statistic):
    """A vector that the power method computes from a random one."""

    dist: Distribution
    shape: tuple[int, ...]
    axis: int
    """Axis of the rows of the matrix. The others are its columns."""
    is_left: bool
    """True for u, which has an element for each row; False for v."""
    eps: float
    """Least number by which the vector is divided. Its norm is 1 if that of the product is not less."""
    rounds: int
    """Number of iterations."""

    @property
    def count(self) -> int:
        rows = self.shape[self.axis]
        return rows if self.is_left else math.prod(self.shape) // rows


@dataclass(frozen=True)
class Direction(Statistic):
    """A vector of independent normals divided by its norm: uniform on the sphere."""

    size: int

    @property
    def count(self) -> int:
        return self.size


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
    | Singular
    | Direction
)
Drawn = TypeVar("Drawn", bound=Random)
QUANTILES = (0.0, *sorted(k * (math.sqrt(5) - 1) / 2 % 1 for k in range(1, 16)), 1.0)
"""Both ends, and multiples of the golden ratio: `floor(16 * u)` would be a straight line at multiples of 1/16."""


def curve(dist: Uniform | Function) -> tuple[float, ...]:
    """Return the values at `QUANTILES` of the draw."""
    if isinstance(dist, Function):
        return dist.curve
    begin, end = (dist.high, dist.low) if dist.falling else (dist.low, dist.high)
    return tuple(begin + (end - begin) * q for q in QUANTILES)


def is_held(drawn: Random, tiny: float, largest: float, eps: float) -> bool:
    """Return whether a storage type keeps the elements.

    Few of them become zero, none becomes infinite, and neighbours in the type are at most half a standard deviation
    apart. Rounding then adds at most one percent to the deviation. `tiny` and `largest` are the smallest normal and the
    largest finite number of the type, `eps` is the distance from 1 to the next number.
    """
    spread = math.inf
    match drawn:
        case Normal(mean, std, low, high):
            ends = (max(low, mean - REACH * std), min(high, mean + REACH * std))
            size, spread = max(abs(mean), std), std
        case Uniform(low, high):
            ends = (low, high)
            size, spread = max(map(abs, ends)), (high - low) / math.sqrt(12)
        case Circular(std) | Sparse(std=std):
            ends = (-REACH * std, REACH * std)
            size = std
        case Orthogonal(gain=size):
            ends = (-size, size)
        case Function(values):
            # An infinite end is a pole: no draw is there. A narrow type could overflow beside it.
            inner = values if largest < WIDE else tuple(filter(math.isfinite, values))
            ends = (min(inner, default=math.inf), max(inner, default=math.inf))
            size, spread = max(map(abs, ends)), (ends[1] - ends[0]) / math.sqrt(12)
        case _:
            return True
    return size >= tiny and max(map(abs, ends)) <= largest and not 0 < spread < 2 * eps * size


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


def displaced(dist: Statistic | Diagonal | Signs) -> Unknown:
    """Return the distribution of a part of a vector whose elements belong to a matrix, or of another order of it."""
    is_of_qr = not isinstance(dist, Statistic)
    return Unknown("aten.linalg_qr" if is_of_qr else "norms of a random tensor, in part or in another order")
