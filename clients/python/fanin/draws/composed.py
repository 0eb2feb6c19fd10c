"""Draws that consist of others, tables and matrices: SPEC.md sections 6.7 to 6.12."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TypeGuard, get_args

import numpy as np

from fanin import scalars
from fanin.draws.plain import EXACT, check_real, fill, inside, scalar, too_large, whole
from fanin.draws.types import (
    Arange,
    Blocks,
    Draw,
    DrawError,
    Fill,
    Function,
    Mapped,
    Orthogonal,
    Plain,
    Quantized,
    Sparse,
    Stack,
    Table,
    Waves,
)
from fanin.dtypes import DTYPES, SCALE, DType

MAX_TABLE = 2**12
"""Most values of a table. Each takes a tenth of a millisecond, because it is computed to 120 digits."""
_PLAIN = frozenset(get_args(Plain))
TURN = 2**96
"""Units of frequency in a turn."""
MAX_ROWS = 2**32
"""Most rows of waves. A sparse line has fewer. Their products with 32-bit words then fit 64 bits."""
MAX_MATRICES = 2**12
"""Most matrices of a tensor's stack. Each takes some tens of microseconds even if it is small."""
MAX_LINES = 2**42
"""Most lines of a sparse tensor. The number of a line is in the upper bits of a block number."""


def table(values: Sequence[Fraction], run: int, dtype: DType) -> Table:
    """Return a table of these values, each rounded as a constant is."""
    numbers = np.array([fill(value, dtype).value for value in values])
    return Table(numbers.astype(dtype.numpy).tobytes(), run)


def arange(start: int, step: int, size: int, dtype: DType) -> Arange:
    """Return the integers start, start + step, ..., `size` of them. Types other than integers round each as a constant.

    Raises:
        DrawError: one of them is not a number of the storage type, or has more than 53 bits and would be rounded.
    """
    if dtype.is_scale:
        check_real(dtype)
    for field, value in (("start", start), ("step", start + step * (size - 1))):
        if dtype.is_integer:
            whole(field, Fraction(value), dtype)
        elif abs(value) > EXACT:
            raise DrawError(
                field, f"{value} is out of range: at {dtype.name} an integer is at most {EXACT} in magnitude"
            )
        else:
            fill(Fraction(value), dtype, field)
    return Arange(start, step, size)


def blocks(period: int, parts: Sequence[tuple[int, Draw]]) -> Draw:
    """Return blocks of these lengths and draws. Lengths add up to the period. Those of length 0 are omitted."""
    kept = [(length, draw) for length, draw in parts if length]
    if not kept:
        return Fill(0.0)
    starts = [0]
    for length, _ in kept:
        starts.append(starts[-1] + length)
    if starts.pop() != period:
        raise ValueError(f"blocks of {[length for length, _ in kept]} do not fill a period of {period}")
    return kept[0][1] if len(kept) == 1 else Blocks(period, tuple(starts), tuple(draw for _, draw in kept))


def mapped(function: Function, low: Fraction, high: Fraction, ends: tuple[Fraction, Fraction], dtype: DType) -> Mapped:
    """Return the function of a uniform number on [low, high]. Its values are clamped to `ends`."""
    check_real(dtype)
    double = DTYPES["F64"]
    if low >= high:
        raise DrawError("low", "low must be less than high")
    if dtype.is_complex:
        raise DrawError("dtype", "this scheme has no complex storage type")
    for end in ends:
        if abs(end) > Fraction(dtype.largest):
            raise too_large("high", end, dtype)
    center, half_width = scalar("low", (low + high) / 2, double), scalar("high", (high - low) / 2, double)
    return Mapped(function, center, half_width, *inside(*ends, dtype))


def waves(
    columns: Sequence[tuple[Fraction, int]],
    rows: int,
    amplitudes: Sequence[Fraction],
    dtype: DType,
    first: int = 0,
    run: int = 1,
) -> Waves:
    """Return rows of waves, each repeated `run` times.

    A column has a frequency in turns per row, and a phase in quarters of a turn.
    """
    check_real(dtype)
    if first + rows > MAX_ROWS:
        raise DrawError("shape", f"there are more than {MAX_ROWS} rows")
    if 2 * max(map(abs, amplitudes)) > Fraction(dtype.largest):
        raise too_large("shape", 2 * max(map(abs, amplitudes)), dtype)
    frequencies, quarters = zip(*columns)
    sizes = tuple(scalars.rounded(amplitude, DTYPES["F64"]) for amplitude in amplitudes)
    return Waves(first, rows, tuple(round(turns * TURN) % TURN for turns in frequencies), quarters, sizes, run)


def sparse(draw: Plain, size: int, inner: int, lines: int, zeros: int) -> Sparse:
    """Return `draw` with `zeros` zeros in each of `lines` lines. Its `size` elements are `inner` positions apart."""
    if size >= MAX_ROWS:
        raise DrawError("shape", f"a line has at most {MAX_ROWS - 1} elements, not {size}")
    if lines > MAX_LINES:
        raise DrawError("shape", f"there are {lines} lines: at most {MAX_LINES}")
    return Sparse(draw, size, inner, zeros)


def orthogonal(gain: Fraction, rows: int, columns: int, dtype: DType) -> Orthogonal:
    """Return the uniform (Haar) distribution on matrices of orthonormal columns or rows, times `gain`."""
    check_real(dtype)
    if dtype.is_complex:
        raise DrawError("dtype", "unitary matrices are not supported: use a real storage type")
    # An element of Q may exceed 1 by its rounding errors.
    if 2 * gain > Fraction(dtype.largest):
        raise too_large("gain", 2 * gain, dtype)
    return Orthogonal(scalar("gain", gain, dtype), rows, columns)


def stack(matrix: Orthogonal, first: int, count: int) -> Stack:
    """Return `count` independent matrices, numbered from `first` on.

    Raises:
        DrawError: they are too many.
    """
    if count > MAX_MATRICES:
        raise DrawError("batch_axes", f"{count} matrices are too many: the maximum is {MAX_MATRICES}")
    return Stack(matrix, first, count)


def is_plain(draw: Draw, dtype: DType) -> TypeGuard[Plain]:
    """Return whether kernels generate the draw at this type: a constant, or real numbers of a type that they know."""
    kind = type(draw)  # a tenth of the time of isinstance(draw, Plain), which small tensors notice
    return kind is Fill or (kind in _PLAIN and dtype.name in DTYPES)


def matrix_of(draw: Draw) -> Orthogonal | None:
    """Return the first orthogonal matrix in the draw, or None."""
    return next(matrices_of(draw), None)


def matrices_of(draw: Draw) -> Iterator[Orthogonal]:
    """Yield the orthogonal matrices in the draw. Those of a stack are equal draws: it yields one."""
    if isinstance(draw, Blocks):
        for part in draw.draws:
            yield from matrices_of(part)
    elif isinstance(draw, Orthogonal):
        yield draw
    elif isinstance(draw, Stack):
        yield draw.matrix


def numbers_of(draw: Draw) -> Iterator[range]:
    """Yield the numbers of the matrices of each stack in the draw."""
    if isinstance(draw, Blocks):
        for part in draw.draws:
            yield from numbers_of(part)
    elif isinstance(draw, Stack):
        yield range(draw.first, draw.first + draw.count)


def check_positive(draw: Draw) -> None:
    """Check that no element is the constant 0, for a type without 0.

    Raises:
        DrawError: an element is 0.
    """
    if isinstance(draw, Blocks):
        for part in draw.draws:
            check_positive(part)
    elif isinstance(draw, Fill) and draw.value == 0:
        raise DrawError("dtype", f"{SCALE.name} has powers of 2 only, and elements of this scheme are 0")


def is_whole(draw: Draw) -> bool:
    """Return whether a tensor can have only one such draw. Two would be equal, because they use the same words."""
    if isinstance(draw, Blocks):
        return any(map(is_whole, draw.draws))
    return isinstance(draw, Orthogonal | Sparse | Quantized) or (isinstance(draw, Stack) and draw.first == 0)
