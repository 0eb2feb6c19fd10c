"""Quantized tensors, from the float32 numbers that a backend generates (SPEC.md section 6.16).

A part is generated in tiles: rectangles of complete groups of the matrix, of about `TILE` elements, or of one group if
that has more. Codes of a few rows of taller groups need scales of all of their rows. Those are cached.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fanin.backends import codes
from fanin.backends.codes import Codes, Floats
from fanin.backends.matrices import Complete, ScaleRow
from fanin.draws import Quantized
from fanin.dtypes import DTYPES, STORAGE, DType
from fanin.streams import Stream

if TYPE_CHECKING:
    from fanin.backends.base import Backend

TILE = 1 << 18
"""Elements of the matrix that are quantized at a time."""


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
        part[:] = backend.codes(draw.element, values[None], (1, 1), divided[None], None)[0]


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
    group = min(draw.group[0], bottom - top), min(draw.group[1], right - left)
    values = _padded(_numbers(backend, draw, stream, matrix, (top, bottom), (left, right)), *group)
    found: Codes
    if draw.rule == "given":  # all elements have one scale, which is a constant of the recipe
        one = np.full((1, 1), draw.scale, np.float32)
        found = backend.codes(draw.element, values, (len(values), values.shape[1]), one, None)
    else:
        scales, divisors, zeros = codes.scales(draw, *backend.magnitudes(values, group))
        if draw.part == "data":
            found = backend.codes(draw.element, values, group, divisors, zeros)[: bottom - top, : right - left]
        else:
            found = scales if zeros is None or draw.part == "scale" else zeros
    packed = codes.packed(draw, found)
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
