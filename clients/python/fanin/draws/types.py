"""The types of draws. All their numbers are already rounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


class DrawError(ValueError):
    """A draw cannot have these parameters. `field` is the name of the parameter that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Fill:
    """Every element is `value`, a number of the storage type. It is an `int` if the type is one of integers."""

    value: float


@dataclass(frozen=True, slots=True)
class Uniform:
    """center + half_width * v, clamped to [low, high], where v is uniform in (-1, 1)."""

    center: float
    half_width: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the normal distribution. It converts the rank k of a word, from the far end, to a probability."""

    count: int
    """Number of words on this side, at most 2^32."""
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
"""Each side of the normal distribution without truncation, by compute type."""


@dataclass(frozen=True, slots=True)
class Normal:
    """mean + std * z, where z is standard normal, computed by the inverse CDF."""

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class TruncatedNormal:
    """mean + std * z, clamped to [low, high], where z is standard normal restricted to an interval."""

    mean: float
    std: float
    low: float
    high: float
    negative: Side
    """The side z < 0. Words below `negative.count` belong to it."""
    positive: Side
    """The side z > 0. Words from `negative.count` on belong to it."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Several draws, each at its offsets in a repeating period.

    The element at position p belongs to `draws[j]`, where starts[j] <= p mod period < starts[j + 1]. Its position in
    that draw is the number of earlier elements of the draw. Its random word is that of its index in the tensor.
    """

    period: int
    starts: tuple[int, ...]
    """Strictly increasing from 0, below `period`."""
    draws: tuple[Draw, ...]

    def length(self, j: int) -> int:
        """Return the number of elements of `draws[j]` in a period."""
        return (self.starts[j + 1] if j + 1 < len(self.starts) else self.period) - self.starts[j]


@dataclass(frozen=True, slots=True)
class Table:
    """Listed values in a cycle, each repeated `run` times.

    Position p has the value with index p div run, modulo the number of values.
    """

    values: bytes
    """Elements as they are stored, little-endian."""
    run: int


@dataclass(frozen=True, slots=True)
class Arange:
    """Evenly spaced integers in a cycle. Position p has the value start + step * (p mod size)."""

    start: int
    step: int
    size: int


@dataclass(frozen=True, slots=True)
class Orthogonal:
    """gain * Q, where Q is uniform among the matrices of orthonormal columns, or rows if there are fewer rows.

    An element cannot be generated alone. It needs the complete matrix.
    """

    gain: float
    rows: int
    columns: int
    """Elements are those of a rows x columns matrix, row by row."""


@dataclass(frozen=True, slots=True)
class Stack:
    """`count` independent matrices, one after another. Position p is in the one of number first + p div elements.

    Matrix 0 has the random words of the tensor, and every other one separate words.
    """

    matrix: Orthogonal
    first: int
    count: int


Function = Literal["log", "inverse_softplus_exp", "inverse_softplus_log", "inverse_softplus_log_8", "log_log", "logit"]
"""Functions of a number u, in this order: ln u, ln(exp(exp u) - 1), ln(exp(-ln(u) / 2) - 1), ln(exp(-ln(u) / 8) - 1),
ln(-ln(u) / 2), ln(u / (1 - u))."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A function of center + half_width * v, in float64, clamped to [low, high], where v is uniform in (-1, 1)."""

    function: Function
    center: float
    half_width: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Waves:
    """Rows of waves, amplitude * sin(2 pi (t * frequency + quarter / 4)), in float64.

    Position p has time t = first + (p div (columns * run)) mod rows, and column p mod columns.
    """

    first: int
    rows: int
    frequencies: tuple[int, ...]
    """Frequency of each column, in 2^-96 turns per row, modulo a turn."""
    quarters: tuple[int, ...]
    """Phase of each column: 0 is a sine, 1 a cosine, 2 and 3 are their negatives."""
    amplitudes: tuple[float, ...]
    """Amplitude of each row. A single one applies to all rows."""
    run: int = 1
    """Number of rows that follow each other with the same time."""


@dataclass(frozen=True, slots=True)
class Polar:
    """Complex numbers r exp(i phi), in float64, where phi is a uniform angle and u is uniform in (0, 1).

    If `mass` is 0, r = scale * sqrt(u), so numbers are uniform on a disk. Otherwise
    r = scale * sqrt(-ln(1 - mass * u)). That is the normal distribution with E|z|^2 = scale^2, restricted to a disk of
    this probability.
    """

    scale: float
    mass: float


@dataclass(frozen=True, slots=True)
class Sparse:
    """`draw` with `zeros` zeros in each line, at the first indices of a random permutation of the line.

    Position p is row (p div inner) mod size of line (p div (inner * size)) * inner + p mod inner.
    """

    draw: Plain
    size: int
    inner: int
    zeros: int


Element = Literal["E4M3", "E2M1", "I8", "I4", "U4"]
"""Numbers that an element is rounded to: F8_E4M3, those of MXFP4, integers of 8 or 4 bits, or of 4 without a sign."""
ScaleRule = Literal["given", "largest", "power", "two_level", "range"]
"""Source of the scale of a group: nothing, its largest magnitude, or its least and largest number."""
Packing = Literal["none", "bytes", "words", "gptq", "awq"]
"""Storage of codes: each alone, or 4 bits of each in bytes or in 32-bit words."""
QuantizedPart = Literal["data", "scale", "zero_point"]


@dataclass(frozen=True, slots=True)
class Quantized:
    """One part of a quantized tensor: the codes, the scales or the zero points of the numbers of `draw`.

    The numbers are those of `draw` in float32, in matrices of `rows` x `columns`. Groups of them share a scale.
    """

    draw: Draw
    twin: str | None
    """Last component of the name whose stream `draw` uses. By default it is that of the tensor itself."""
    rows: int
    columns: int
    transposed: bool
    """True if `draw` has the matrices transposed."""
    group: tuple[int, int]
    """Rows and columns of a group. Groups at the end of an axis can be smaller."""
    element: Element
    rule: ScaleRule
    scale: float
    """The scale of all groups for the rule `given`, the global scale for `two_level`, otherwise 0."""
    scale_type: Literal["F32", "BF16", "F16"]
    """Storage type of the scales of the rules `given`, `largest` and `range`."""
    part: QuantizedPart
    packing: Packing

    @property
    def unit(self) -> tuple[int, int]:
        """Rows and columns of the matrix that one stored element of the part stands for."""
        rows, columns = (1, 1) if self.part == "data" else self.group
        packed = {"none": 1, "bytes": 2, "words": 8, "gptq": 8, "awq": 8}[self.packing]
        if self.part == "data":
            return (packed, 1) if self.packing == "awq" else (1, packed)
        return (rows * packed if self.part == "zero_point" else rows, columns)

    @property
    def is_flipped(self) -> bool:
        """True if rows of the part are columns of the matrix."""
        return self.packing in ("gptq", "awq")


Plain = Fill | Uniform | Normal | TruncatedNormal
"""A draw that a backend generates directly. An element depends on its random word only."""
Composed = Blocks | Table | Arange | Mapped | Waves | Polar | Sparse | Stack
"""A draw that all backends compute in the same way, from plain draws or without them."""
Draw = Plain | Composed | Orthogonal | Quantized
