"""What draws are: plain numbers, already rounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


class DrawError(ValueError):
    """A draw with these parameters cannot be made. `field` is the parameter to blame."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Fill:
    """Every element is `value`, a number of the storage type."""

    value: float


@dataclass(frozen=True, slots=True)
class Uniform:
    """center + half_width * v, v uniform in (-1, 1), kept within [low, high]."""

    center: float
    half_width: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the normal law: how the word's rank k, counted from the far end, becomes a probability."""

    count: int
    """Words on this side, N <= 2^32."""
    tail_count: int
    """Ranks k below this use t = tail_offset + step * (k + 1/2), the others r = 1 - t."""
    tail_offset: float
    """Two-sided tail probability at the far end."""
    central_offset: float
    """1 - t at the near end; there r = central_offset + step * (count - 1 - k + 1/2)."""
    step: float
    """Probability of one word, or for float64 of one of its 2^32 refinements."""


WHOLE_SIDE = {
    "F32": Side(2**31, 2**30 - 2**19, 0.0, 0.0, 2.0**-31),
    "F64": Side(2**31, 2**30 - 2**19, 0.0, 0.0, 2.0**-63),
}
"""Either side of the normal law that is not truncated, by compute type."""


@dataclass(frozen=True, slots=True)
class Normal:
    """mean + std * z, z standard normal, by inverse CDF."""

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class TruncatedNormal:
    """mean + std * z, z standard normal restricted to an interval, kept within [low, high]."""

    mean: float
    std: float
    low: float
    high: float
    negative: Side
    """Words below `negative.count` give z < 0 ..."""
    positive: Side
    """... and all others z > 0."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Other draws, each in its place of a repeating period.

    The element at position p is that of `draws[j]`, where starts[j] <= p mod period < starts[j + 1]; its position there
    counts the elements that are this draw's. Its random word is that of the whole tensor's element.
    """

    period: int
    starts: tuple[int, ...]
    """Strictly increasing from 0, below `period`."""
    draws: tuple[Draw, ...]

    def length(self, j: int) -> int:
        """Elements of a period that are those of `draws[j]`."""
        return (self.starts[j + 1] if j + 1 < len(self.starts) else self.period) - self.starts[j]


@dataclass(frozen=True, slots=True)
class Table:
    """Listed values, each `run` times in a row, over and over.

    At position p that is the value p div run, modulo how many there are.
    """

    values: bytes
    """Elements as they are stored, little-endian."""
    run: int


@dataclass(frozen=True, slots=True)
class Orthogonal:
    """gain * Q, Q uniformly distributed among the matrices of orthonormal columns, or rows where these are fewer.

    The one draw whose elements are not made alone: each needs all of the matrix.
    """

    gain: float
    rows: int
    columns: int
    """Elements are those of a rows x columns matrix, row by row."""


Function = Literal["log", "inverse_softplus_exp", "inverse_softplus_log"]
"""Of a number u: ln u; ln(exp(exp u) - 1); ln(exp(-ln(u) / 2) - 1)."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A function of center + half_width * v, v uniform in (-1, 1), in float64, and kept within [low, high]."""

    function: Function
    center: float
    half_width: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Waves:
    """Rows of waves: at position p that is amplitude * sin(2 pi (t * frequency + quarter / 4)), in float64.

    Position p is that of time t = first + (p div columns) mod rows in column p mod columns.
    """

    first: int
    rows: int
    frequencies: tuple[int, ...]
    """Of each column: 2^-96 turns for each row, modulo a turn."""
    quarters: tuple[int, ...]
    """Of each column: 0 is a sine, 1 a cosine, 2 and 3 are their negatives."""
    amplitudes: tuple[float, ...]
    """Of each row; a single one is of all."""


@dataclass(frozen=True, slots=True)
class Polar:
    """Complex numbers r exp(i phi), phi uniform, in float64; u is uniform in (0, 1).

    With `mass` 0 r = scale * sqrt(u), uniform on a disk. Otherwise r = scale * sqrt(-ln(1 - mass * u)), of the normal
    law with E|z|^2 = scale^2 restricted to a disk of this probability.
    """

    scale: float
    mass: float


@dataclass(frozen=True, slots=True)
class Sparse:
    """`draw` where an element is not zero; of each line `zeros` elements are, at places of a random permutation.

    Position p is row (p div inner) mod size of line (p div (inner * size)) * inner + p mod inner.
    """

    draw: Plain
    size: int
    inner: int
    zeros: int


Plain = Fill | Uniform | Normal | TruncatedNormal
"""A draw that a backend makes by itself: an element depends on its word alone."""
Composed = Blocks | Table | Mapped | Waves | Polar | Sparse
"""A draw that is made of plain ones, or without any, in the same way by every backend."""
Draw = Plain | Composed | Orthogonal
