"""Quantized tensors, from the float32 numbers that a backend generates (SPEC.md section 6.16).

A part is generated in tiles: rectangles of complete groups of the matrix, of about `TILE` elements, or of one group if
that has more. Codes of a few rows of taller groups need scales of all of their rows. Those are cached.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from fanin.backends.matrices import Complete, ScaleRow
from fanin.draws import Quantized
from fanin.draws.quantization import LARGEST, LEAST_RANGE
from fanin.dtypes import DTYPES, STORAGE, DType
from fanin.streams import Stream

if TYPE_CHECKING:
    from fanin.backends.base import Backend

TILE = 1 << 18
"""Elements of the matrix that are quantized at a time."""
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""The number of a group of eight that AWQ stores in each 4 bits of a word, from the lowest."""
_LEAST_E4M3 = 2.0**-9
_E4M3, _E2M1 = np.dtype(ml_dtypes.float8_e4m3fn), np.dtype(ml_dtypes.float4_e2m1fn)

Floats = NDArray[np.float32]
Codes = NDArray[Any]


def write(backend: Backend, draw: Quantized, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
    """Write elements [first, first + n) of a part to `out`, at least one element."""
    target = np.frombuffer(out, f"<u{dtype.itemsize}")
    if draw.twin is not None:
        stream = stream._replace(name=stream.name[: stream.name.rfind(".") + 1] + draw.twin)
    at = 0
    for matrix, start, stop in _spans(draw, first, first + len(target)):
        _write_span(backend, draw, stream, matrix, start, target[at : at + stop - start])
        at += stop - start


def _spans(draw: Quantized, first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Yield the matrices of elements [first, last) of a part, each with a range of elements of its part.

    A range of less than a row lies in one row, so that it needs few columns. If groups have several rows, a range of
    codes lies in a part of one row of groups, or has complete rows of groups.
    """
    rows, columns = _sizes(draw)
    band = columns * draw.group[0] if draw.part == "data" and draw.group[0] > 1 else 0
    while first < last:
        matrix, start = divmod(first, rows * columns)
        stop = min(rows * columns, start + last - first)
        if band and (start % band or stop - start < band):
            stop = min(stop, (start // band + 1) * band)
        elif band and stop < rows * columns:
            stop -= stop % band
        if stop - start < columns:
            stop = min(stop, (start // columns + 1) * columns)
        yield matrix, start, stop
        first += stop - start


def _sizes(draw: Quantized) -> tuple[int, int]:
    """Return the rows and columns of the part of one matrix, as it is stored."""
    (down, across) = draw.unit
    rows, columns = -(-draw.rows // down), -(-draw.columns // across)
    return (columns, rows) if draw.is_flipped else (rows, columns)


def _write_span(backend: Backend, draw: Quantized, stream: Stream, matrix: int, start: int, target: Codes) -> None:
    """Write the elements of one matrix's part from `start` on, in row-major order, to `target`."""
    rows, columns = _sizes(draw)
    stop = start + len(target)
    if draw.part == "data" and draw.group[0] > 1 and len(target) < min(draw.group[0] * columns, rows * columns - start):
        _write_rows(backend, draw, stream, matrix, start, target)
        return
    for top, bottom, left, right in _tiles(draw, start, stop):
        low, high = top * columns + left, (bottom - 1) * columns + right
        begin, end = max(low, start), min(high, stop)
        if begin >= end:  # columns in front of the first element, or behind the last
            continue
        tile = _tile(backend, draw, stream, matrix, (top, bottom), (left, right))
        if right - left == columns or bottom - top == 1:
            target[begin - start : end - start] = tile.reshape(-1)[begin - low : end - low]
            continue
        for row in range(max(top, start // columns), min(bottom, -(-stop // columns))):
            begin, end = max(row * columns + left, start), min(row * columns + right, stop)
            if begin < end:
                offset = row * columns + left
                target[begin - start : end - start] = tile[row - top, begin - offset : end - offset]


def _write_rows(backend: Backend, draw: Quantized, stream: Stream, matrix: int, start: int, target: Codes) -> None:
    """As `_write_span`, for codes in some rows of one row of groups. The scales of all of its rows are cached."""
    row = start // draw.columns // draw.group[0]
    scales = dataclasses.replace(draw, part="scale")
    dtype = STORAGE[draw.scale_type]
    stored = backend.matrices.scales(
        lambda key, stream, dtype, out: Complete(lambda: _write_scales(backend, key, stream, dtype, out)),
        ScaleRow(scales, matrix, row, 1, _sizes(scales)[1]),
        stream,
        dtype,
    )
    divisors = np.repeat(np.frombuffer(stored, dtype.numpy).astype(np.float32), draw.group[1])[: draw.columns]
    step = max(TILE // draw.columns, 1) * draw.columns
    for at in range(0, len(target), step):
        part = target[at : at + step]
        values = _stretch(backend, draw, stream, matrix, start + at, len(part))
        divided = divisors[np.arange(start + at, start + at + len(part)) % draw.columns]
        part[:] = _codes(draw, values, divided, np.zeros(1, np.float32))


def _write_scales(backend: Backend, key: ScaleRow, stream: Stream, dtype: DType, out: memoryview) -> None:
    target = np.frombuffer(out, f"<u{dtype.itemsize}")
    _write_span(backend, key.draw, stream, key.matrix, key.row * key.columns, target)


def _tiles(draw: Quantized, start: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield rows and columns of the part as it is stored: rectangles of complete groups that contain the range."""
    rows, columns = _sizes(draw)
    high, wide = _steps(draw)
    elements = math.lcm(draw.unit[0], draw.group[0]) * math.lcm(draw.unit[1], draw.group[1])
    top, bottom = start // columns, -(-stop // columns)
    left, right = (start % columns, (stop - 1) % columns + 1) if bottom - top == 1 else (0, columns)
    left, right = left // wide * wide, min(-(-right // wide) * wide, columns)
    width = min(max(TILE // elements, 1) * wide, right - left)
    height = max(TILE // (elements * -(-width // wide)), 1) * high if width == right - left else high
    top = top // high * high
    for row in range(top, bottom, height):
        last = min(row + height, -(-bottom // high) * high, rows)
        for column in range(left, right, width):
            yield row, last, column, min(column + width, right)


def _steps(draw: Quantized) -> tuple[int, int]:
    """Return the rows and columns of a part, as it is stored, that have complete groups and complete elements."""
    (down, across), (tall, wide) = draw.unit, draw.group
    steps = math.lcm(down, tall) // down, math.lcm(across, wide) // across
    return steps[::-1] if draw.is_flipped else steps


def _tile(
    backend: Backend, draw: Quantized, stream: Stream, matrix: int, rows: tuple[int, int], columns: tuple[int, int]
) -> Codes:
    """Return a rectangle of a part as it is stored. Its rows and columns begin and end with a group."""
    if draw.is_flipped:
        rows, columns = columns, rows
    down, across = draw.unit
    top, left = rows[0] * down, columns[0] * across
    bottom, right = min(rows[1] * down, draw.rows), min(columns[1] * across, draw.columns)
    values = _numbers(backend, draw, stream, matrix, (top, bottom), (left, right))
    tall, wide = min(draw.group[0], bottom - top), min(draw.group[1], right - left)
    grouped = _padded(values, tall, wide)
    grouped = grouped.reshape(grouped.shape[0] // tall, tall, grouped.shape[1] // wide, wide)
    scales, divisors, zeros = _scales(draw, grouped)
    if draw.part == "scale":
        found = scales
    elif draw.part == "zero_point":
        found = zeros
    else:
        codes = _codes(draw, grouped, divisors[:, None, :, None], zeros[:, None, :, None])
        found = codes.reshape(grouped.shape[0] * tall, -1)[: bottom - top, : right - left]
    packed = _packed(draw, found)
    return np.ascontiguousarray(packed.T) if draw.is_flipped else packed


def _numbers(
    backend: Backend, draw: Quantized, stream: Stream, matrix: int, rows: tuple[int, int], columns: tuple[int, int]
) -> Floats:
    """Return a rectangle of a matrix before quantization."""
    width, (top, bottom), (left, right) = draw.columns, rows, columns
    if draw.transposed:
        width, (top, bottom), (left, right) = draw.rows, columns, rows
    made = np.empty((bottom - top, right - left), np.float32)
    first = matrix * draw.rows * draw.columns + top * width + left
    if right - left == width:
        backend.fill(draw.draw, stream, DTYPES["F32"], first, made.reshape(-1).view(np.uint8).data)
    else:
        runs = np.arange(len(made), dtype=np.uint64)
        firsts, addresses = np.uint64(first) + runs * np.uint64(width), runs * np.uint64(made.strides[0])
        count = right - left
        backend.fill_runs(draw.draw, stream, DTYPES["F32"], firsts, count, addresses + np.uint64(made.ctypes.data))
    return made.T if draw.transposed else made


def _stretch(backend: Backend, draw: Quantized, stream: Stream, matrix: int, start: int, count: int) -> Floats:
    """Return elements [start, start + count) of a matrix before quantization, in row-major order."""
    if draw.transposed:
        top, bottom = start // draw.columns, -(-(start + count) // draw.columns)
        left = start % draw.columns if bottom - top == 1 else 0
        right = left + count if bottom - top == 1 else draw.columns
        made = _numbers(backend, draw, stream, matrix, (top, bottom), (left, right)).reshape(-1)
        return made[start - top * draw.columns - left :][:count]
    values = np.empty(count, np.float32)
    first = matrix * draw.rows * draw.columns + start
    backend.fill(draw.draw, stream, DTYPES["F32"], first, values.view(np.uint8).data)
    return values


def _padded(values: Floats, tall: int, wide: int) -> Floats:
    """Return the numbers with zeros behind them, so that all groups are complete."""
    down, across = -len(values) % tall, -values.shape[1] % wide
    return np.pad(values, ((0, down), (0, across))) if down or across else np.ascontiguousarray(values)


def _scales(draw: Quantized, grouped: Floats) -> tuple[Codes, Floats, NDArray[np.float32]]:
    """Return the stored scale of each group, the number by which it is divided, and its zero point."""
    if draw.rule == "given":
        given = np.full((1, 1), draw.scale, np.float32)
        return given, given, np.zeros_like(given)
    low, high = grouped.min(axis=(1, 3)), grouped.max(axis=(1, 3))
    most = np.maximum(-low, high)
    zeros = np.zeros_like(most)
    largest = np.float32(LARGEST[draw.element])
    match draw.rule:
        case "power":
            emax = np.int32(math.frexp(largest)[1] - 1)
            exponents = np.where(most < LEAST_RANGE, emax, (most.view(np.int32) >> 23) - 127) - emax
            return (exponents + 127).astype(np.uint8), ((exponents + 127) << 23).astype("<i4").view(np.float32), zeros
        case "two_level":
            local = np.float32(draw.scale) * (most / largest)
            stored = np.clip(local, np.float32(_LEAST_E4M3), np.float32(448)).astype(_E4M3)
            return stored.view(np.uint8), stored.astype(np.float32) / np.float32(draw.scale), zeros
        case "range":
            low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
            stored, scale = _rounded_up(high - low, largest, draw)
            return stored, scale, np.clip(np.rint(-low / scale), np.float32(0), np.float32(15))
        case _:
            return *_rounded_up(most, largest, draw), zeros


def _rounded_up(most: Floats, largest: np.float32, draw: Quantized) -> tuple[Codes, Floats]:
    """Return `most / largest`, rounded to float32 and then up to the type of the scale, as stored and as a number."""
    scale = np.where(most < LEAST_RANGE, np.float32(1), most / largest)
    dtype = STORAGE[draw.scale_type]
    bits = np.ascontiguousarray(scale.astype(dtype.numpy)).view(f"<u{dtype.itemsize}")
    # Positive numbers are in the order of their bits.
    stored = bits + (bits.view(dtype.numpy).astype(np.float32) < scale).astype(bits.dtype)
    return stored, stored.view(dtype.numpy).astype(np.float32)


def _codes(draw: Quantized, values: Floats, divisors: Floats, zeros: Floats) -> Codes:
    """Return the codes of these numbers."""
    scaled = values / divisors
    made: Codes
    match draw.element:
        case "E4M3":
            made = np.clip(scaled, np.float32(-448), np.float32(448)).astype(_E4M3).view(np.uint8)
        case "E2M1":
            made = scaled.astype(_E2M1).view(np.uint8)
        case "I8":
            made = np.clip(np.rint(scaled), np.float32(-128), np.float32(127)).astype(np.int8).view(np.uint8)
        case "I4":
            made = (np.clip(np.rint(scaled), np.float32(-8), np.float32(7)) + np.float32(8)).astype(np.uint8)
        case "U4":
            made = np.clip(np.rint(scaled) + zeros, np.float32(0), np.float32(15)).astype(np.uint8)
    return made


def _packed(draw: Quantized, found: Codes) -> Codes:
    """Return codes, or zero points, in the words that store them. Scales remain as they are."""
    if draw.part == "scale" or draw.packing == "none":
        return found
    if draw.packing == "bytes":
        both: Codes = found[:, 0::2] | found[:, 1::2] << np.uint8(4)
        return both
    along_rows = draw.part == "zero_point" or draw.packing == "awq"
    order = _AWQ_ORDER if draw.packing == "awq" else range(8)
    codes = found.astype(np.uint32).T if along_rows else found.astype(np.uint32)
    codes = np.pad(codes, ((0, 0), (0, -codes.shape[1] % 8)))
    words = np.zeros((len(codes), codes.shape[1] // 8), np.uint32)
    for place, number in enumerate(order):
        words |= codes[:, number::8] << np.uint32(4 * place)
    return words.T if along_rows else words
