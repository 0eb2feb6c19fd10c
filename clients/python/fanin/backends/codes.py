"""Scales and codes of quantized numbers, and their packing (SPEC.md section 6.16).

Numbers are matrices of float32 in groups, whose rows and columns divide those of the matrix. An array of groups has the
two axes of the matrix.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from fanin.backends import pairs
from fanin.draws import Quantized
from fanin.draws.quantization import LARGEST, LEAST_RANGE
from fanin.draws.types import Element
from fanin.dtypes import STORAGE

_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""The number of a group of eight that AWQ stores in each 4 bits of a word, from the lowest."""
_LEAST_E4M3 = 2.0**-9
_E4M3, _E2M1 = np.dtype(ml_dtypes.float8_e4m3fn), np.dtype(ml_dtypes.float4_e2m1fn)

Floats = NDArray[np.float32]
Codes = NDArray[Any]


def magnitudes(values: Floats, group: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the largest magnitude of the negative numbers of each group, and that of its other numbers, or 0."""
    grouped = _grouped(values, group)
    zero = np.float32(0)
    return np.maximum(-grouped.min(axis=(1, 3)), zero), np.maximum(grouped.max(axis=(1, 3)), zero)


def scales(draw: Quantized, below: Floats, above: Floats) -> tuple[Codes, Floats, Floats | None]:
    """Return the stored scale of each group, the number by which it is divided, and the zero points of `U4`.

    `below` and `above` are its `magnitudes`. The rule is not `given`.
    """
    most = np.maximum(below, above)
    largest = np.float32(LARGEST[draw.element])
    match draw.rule:
        case "power":
            emax = np.int32(math.frexp(largest)[1] - 1)
            exponents = np.where(most < LEAST_RANGE, emax, (most.view(np.int32) >> 23) - 127) - emax
            return (exponents + 127).astype(np.uint8), ((exponents + 127) << 23).astype("<i4").view(np.float32), None
        case "two_level":
            local = np.float32(draw.scale) * (most / largest)
            stored = np.clip(local, np.float32(_LEAST_E4M3), np.float32(448)).astype(_E4M3)
            return stored.view(np.uint8), stored.astype(np.float32) / np.float32(draw.scale), None
        case "range":
            stored, scale = _rounded_up(above + below, largest, draw)
            return stored, scale, np.clip(np.rint(below / scale), np.float32(0), np.float32(15))
        case _:
            return *_rounded_up(most, largest, draw), None


def codes(
    element: Element, values: Floats, group: tuple[int, int], divisors: Floats, zeros: Floats | None
) -> NDArray[np.uint8]:
    """Return the code of each number, divided by the divisor of its group. `zeros` has the zero points of `U4`."""
    scaled = _grouped(values, group) / divisors[:, None, :, None]
    match element:
        case "E4M3":
            made = np.clip(scaled, np.float32(-448), np.float32(448)).astype(_E4M3).view(np.uint8)
        case "E2M1":
            made = scaled.astype(_E2M1).view(np.uint8)
        case "I8":
            made = np.clip(np.rint(scaled), np.float32(-128), np.float32(127)).astype(np.int8).view(np.uint8)
        case "I4":
            made = (np.clip(np.rint(scaled), np.float32(-8), np.float32(7)) + np.float32(8)).astype(np.uint8)
        case "U4":
            assert zeros is not None
            made = np.clip(np.rint(scaled) + zeros[:, None, :, None], np.float32(0), np.float32(15)).astype(np.uint8)
    flat: NDArray[np.uint8] = made.reshape(values.shape)
    return flat


def packed(draw: Quantized, found: Codes) -> Codes:
    """Return codes, or zero points, in the words that store them. Scales remain as they are."""
    if draw.part == "scale" or draw.packing == "none":
        return found
    if draw.packing == "bytes":
        return pairs.packed(found)
    along_rows = draw.part == "zero_point" or draw.packing == "awq"
    lines = found.astype(np.uint8, copy=False)
    lines = lines.T if along_rows else lines
    if missing := -lines.shape[1] % 8:
        lines = np.pad(lines, ((0, 0), (0, missing)))
    if draw.packing == "awq":
        lines = lines.reshape(len(lines), -1, 8)[:, :, _AWQ_ORDER].reshape(lines.shape)
    words = np.ascontiguousarray(lines).view("<u8")
    for bits, kept in ((4, 0x00FF00FF00FF00FF), (8, 0x0000FFFF0000FFFF), (16, 0x00000000FFFFFFFF)):
        words = (words | words >> np.uint64(bits)) & np.uint64(kept)
    made = words.astype(np.uint32)
    return made.T if along_rows else made


def _grouped(values: Floats, group: tuple[int, int]) -> Floats:
    """Return the numbers with the axes: row of groups, row in the group, column of groups, column in the group."""
    (rows, columns), (tall, wide) = values.shape, group
    return values.reshape(rows // tall, tall, columns // wide, wide)


def _rounded_up(most: Floats, largest: np.float32, draw: Quantized) -> tuple[Codes, Floats]:
    """Return `most / largest`, rounded to float32 and then up to the type of the scale, as stored and as a number."""
    scale = np.where(most < LEAST_RANGE, np.float32(1), most / largest)
    dtype = STORAGE[draw.scale_type]
    bits = np.ascontiguousarray(scale.astype(dtype.numpy)).view(f"<u{dtype.itemsize}")
    # Positive numbers are in the order of their bits.
    stored = bits + (bits.view(dtype.numpy).astype(np.float32) < scale).astype(bits.dtype)
    return stored, stored.view(dtype.numpy).astype(np.float32)
