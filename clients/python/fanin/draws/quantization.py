"""Quantized tensors: the formats, and the draws of their parts (SPEC.md section 6.16)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from fanin import scalars
from fanin.draws.composed import MAX_TABLE
from fanin.draws.plain import fill
from fanin.draws.types import (
    Arange,
    Blocks,
    Draw,
    DrawError,
    Element,
    Fill,
    Mapped,
    Normal,
    Packing,
    Quantized,
    QuantizedPart,
    ScaleRule,
    Sparse,
    Stack,
    Table,
    TruncatedNormal,
    Uniform,
    Waves,
)
from fanin.dtypes import DTYPES, INTEGERS, STORAGE

LARGEST: dict[Element, Fraction] = {
    "E4M3": Fraction(448),
    "E2M1": Fraction(6),
    "I8": Fraction(255, 2),
    "I4": Fraction(15, 2),
    "U4": Fraction(15),
}
"""The number to which a scale maps the largest magnitude of a group, or for `U4` its range."""
LEAST_RANGE = 2.0**-100
"""A group of a smaller magnitude has the scale 1. A subnormal scale would differ between devices."""
MOST_STANDARD = Fraction(float.fromhex("0x1.95a11ap+2"))
"""Largest magnitude of a standard normal number in float32: that of the word 0 (SPEC.md section 6.3)."""
MAX_GROUP = 2**20
"""Most elements of a group. All of them are generated for any one of them."""
MAX_COLUMNS = 2**18
"""Most columns of a matrix whose groups have several rows. A part of a row needs the scales of a row of groups."""
_F32 = DTYPES["F32"]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of quantized tensors."""

    element: Element
    rule: ScaleRule
    packing: Packing
    data_type: str
    """Storage type of the codes."""
    group: tuple[int, int] = (1, 0)
    """Rows and columns of a group. 0 is the full axis, or the parameter `group_size` if `has_group_size`."""
    has_group_size: bool = False
    scale_types: tuple[str, ...] = ("F32", "BF16", "F16")
    """Storage types of the scales. The first is the default."""


PIECE = 32 << 10
"""Bytes of numbers that take about as long as one small matrix of a stack, or one small part of `Blocks`: 70 us."""
FEW_PIECES = 16
"""Pieces of one tensor that are not counted. Usual `blocks` have fewer, such as the gates of an LSTM."""
_POWERS = ("U8", "F8_E8M0")
FORMATS: dict[str, Format] = {
    "fp8": Format("E4M3", "given", "none", "F8_E4M3", (1, 1)),
    "fp8_channel": Format("E4M3", "largest", "none", "F8_E4M3"),
    "fp8_block": Format("E4M3", "largest", "none", "F8_E4M3", (128, 128)),
    "int8": Format("I8", "largest", "none", "I8"),
    "mxfp8": Format("E4M3", "power", "none", "F8_E4M3", (1, 32), scale_types=_POWERS),
    "mxfp4": Format("E2M1", "power", "bytes", "U8", (1, 32), scale_types=_POWERS),
    "nvfp4": Format("E2M1", "two_level", "bytes", "U8", (1, 16), scale_types=("F8_E4M3",)),
    "int4": Format("I4", "largest", "words", "I32", has_group_size=True),
    "int4_asymmetric": Format("U4", "range", "words", "I32", has_group_size=True),
    "awq": Format("U4", "range", "awq", "I32", has_group_size=True, scale_types=("F16", "BF16", "F32")),
    "gptq": Format("I4", "largest", "gptq", "I32", has_group_size=True, scale_types=("F16", "BF16", "F32")),
}
"""Every format by its name."""


def quantized(
    form: Format,
    part: QuantizedPart,
    draw: Draw,
    matrix: tuple[int, int],
    group: tuple[int, int],
    scale_type: str,
    *,
    twin: str | None = None,
    transposed: bool = False,
) -> Draw:
    """Return a part of the numbers of `draw`, a draw at F32, in matrices of this size.

    Raises:
        DrawError: a group has too many elements, or a scale can be too large for its type.
    """
    rows, columns = matrix
    group = min(group[0], rows), min(group[1], columns)
    if (count := math.prod(group)) > MAX_GROUP:
        raise DrawError("tensor", f"a group has {count} elements, and at most {MAX_GROUP} can share a scale")
    if group[0] > 1 and columns > MAX_COLUMNS:
        raise DrawError(
            "tensor", f"there are {columns} columns, and at most {MAX_COLUMNS} where groups have several rows"
        )
    most = bound(draw)
    scale = 0.0
    if form.rule == "given":
        scale = _scale(most, LARGEST[form.element], scale_type)
    elif form.rule == "two_level":
        scale = 1.0 if most < LEAST_RANGE else scalars.rounded(448 * LARGEST[form.element] / Fraction(most), _F32)
    elif form.rule != "power":
        if form.rule == "range" and 2 * most > _F32.largest:
            raise DrawError("tensor", f"numbers up to {most:.9g} are too large: their range may not be one of float32")
        _scale(2 * most if form.rule == "range" else most, LARGEST[form.element], scale_type)
    if form.rule == "given" and part == "scale":
        return Fill(scale)
    return Quantized(
        *(draw, twin, rows, columns, transposed, group),
        *(form.element, form.rule, scale),
        "BF16" if scale_type == "BF16" else "F16" if scale_type == "F16" else "F32",
        *(part, form.packing),
    )


def _scale(most: float, largest: Fraction, scale_type: str) -> float:
    """Return the scale of numbers up to this magnitude, rounded to float32 and then up to its storage type."""
    if most < LEAST_RANGE:
        return 1.0
    exact = Fraction(scalars.rounded(Fraction(most) / largest, _F32))
    found = scalars.rounded(exact, STORAGE[scale_type], "up")
    if math.isinf(found):
        raise DrawError("scale_dtype", f"a scale of {float(exact):.9g} is beyond the largest finite {scale_type}")
    return found


def global_scale(draw: Draw, form: Format) -> Fill:
    """Return the global scale of a format that has one."""
    part = quantized(form, "scale", draw, (1, 1), (1, 1), "F32")
    return Fill(part.scale if isinstance(part, Quantized) else 1.0)


def shape_table(shape: tuple[int, ...]) -> Table:
    """Return a table of the sizes of a shape, as I64."""
    return Table(np.array(shape, np.int64).astype("<i8").tobytes(), 1)


def group_index(groups: int, size: int) -> Table:
    """Return a table of the number of each column's group, as I32."""
    if groups > MAX_TABLE:
        raise DrawError("tensor", f"there are {groups} groups in a row, and group_index has at most {MAX_TABLE}")
    return Table(np.arange(groups).astype("<i4").tobytes(), size)


def gptq_zeros() -> Fill:
    """Return the zero points of symmetric GPTQ, 8 in a word. Each is stored as one less: 7."""
    return fill(Fraction(0x77777777), INTEGERS["I32"])


def source_bytes(draw: Draw, count: int) -> int:
    """Return the bytes of float32 numbers that are generated for `count` elements of a quantized part.

    A matrix of a stack, or a part of `Blocks`, costs as much as `PIECE` bytes, however small it is. With more than
    `FEW_PIECES` of them it is what they cost beyond the bytes of the elements. It is 0 for other draws.
    """
    if not count:
        return 0
    if isinstance(draw, Stack | Blocks):
        pieces = _pieces(draw)
        if isinstance(draw, Stack):  # the elements may begin and end inside of a matrix
            pieces = min(pieces, count // (draw.matrix.rows * draw.matrix.columns) + 2)
        return max((min(pieces, count) - FEW_PIECES) * PIECE - 4 * count, 0)
    if not isinstance(draw, Quantized):
        return 0
    # Codes of a few rows of a taller group need the other rows too, for the scale. It is then cached.
    twice = 1 + (draw.part == "data" and draw.group[0] > 1)
    return 4 * (math.prod(draw.unit) * count * twice + math.prod(draw.group))


def _pieces(draw: Draw) -> int:
    """Return the number of draws that are generated one after another."""
    if isinstance(draw, Blocks):
        return sum(map(_pieces, draw.draws))
    return draw.count if isinstance(draw, Stack) else 1


def bound(draw: Draw) -> float:
    """Return a magnitude that no number of a draw at F32 exceeds, a number of float32.

    It is the exact bound of the draw where it has one. Normal distributions have one because their words have 32 bits.
    """
    match draw:
        case Fill(value):
            return abs(value)
        case Normal(mean, std):
            return _up(abs(Fraction(mean)) + MOST_STANDARD * Fraction(std))
        case TruncatedNormal(mean, std, low, high) if math.isinf(low) or math.isinf(high):
            return _up(abs(Fraction(mean)) + scalars.FAR * Fraction(std))
        case Uniform(center, half_width, low, high):
            ends = abs(Fraction(center)) + Fraction(half_width)
            return min(_up(ends), max(abs(low), abs(high)))
        case TruncatedNormal(low=low, high=high) | Mapped(low=low, high=high):
            return max(abs(low), abs(high))
        case Table(values):
            return float(np.abs(np.frombuffer(values, "<f4")).max())
        case Arange(start, step, size):
            return _up(Fraction(max(abs(start), abs(start + step * (size - 1)))))
        case Waves(amplitudes=amplitudes):
            return _up(Fraction(max(map(abs, amplitudes))))
        case Sparse(draw=plain):
            return bound(plain)
        case Blocks(draws=parts):
            return max(map(bound, parts))
    raise DrawError("tensor", "the twin must have a draw whose elements can be generated alone")


def _up(value: Fraction) -> float:
    return scalars.rounded(value, _F32, "up")
