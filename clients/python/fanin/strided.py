"""Writing the elements of a region to strided memory."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fanin.backends import Backend
from fanin.file.layout import Entry
from fanin.region import Region

BATCH = 1 << 14
"""Most runs of one call. Their table takes a megabyte."""
SHORT = 32
"""Shortest run, in elements, that is written directly. Shorter runs are generated in a dense buffer and copied."""
BUFFER = 2 << 20
"""Most bytes of that buffer, so that it stays in a cache."""


def dense(lengths: Sequence[int], size: int) -> tuple[int, ...]:
    """Return the strides, in bytes, of dense row-major memory with elements of `size` bytes."""
    return tuple(size * math.prod(lengths[axis + 1 :]) for axis in range(len(lengths)))


def place(entry: Entry, region: Region, address: int, strides: Sequence[int], backend: Backend) -> None:
    """Write a region without gaps to `address`. Neighbours on an axis of the tensor are `strides[axis]` bytes apart.

    Memory that is dense along the last axes is written without another copy.
    """
    if not math.prod(region.lengths):
        return
    size = entry.dtype.itemsize
    inner, count = _run(region, strides, size)
    most = _run(region, dense(region.lengths, size), size)[1]
    if count < min(SHORT, most):
        _through_buffer(entry, region, address, strides, backend)
        return
    begin = sum(axis[0] * stride for axis, stride in zip(region.axes, region.strides))
    for positions in _batches(region.lengths[:inner]):
        firsts = _dot(positions, region.strides) + np.uint64(begin)
        addresses = _dot(positions, strides) + np.uint64(address)
        backend.fill_runs(entry.draw, entry.stream, entry.dtype, firsts, count, addresses)


def _run(region: Region, strides: Sequence[int], size: int) -> tuple[int, int]:
    """Return the first axis from which on elements are dense in the tensor and in memory, and their number."""
    inner, count, is_whole = len(region.axes), 1, True
    for length, stride in zip(region.lengths[::-1], strides[::-1]):
        if length > 1 and not (is_whole and stride == count * size):
            break
        inner -= 1
        count *= length
        is_whole = is_whole and length == region.sizes[inner]
    return inner, count


def _batches(lengths: Sequence[int]) -> Iterator[tuple[NDArray[np.intp], ...]]:
    """Yield positions on these axes in row-major order, at most `BATCH` at a time."""
    total = math.prod(lengths)
    for start in range(0, total, BATCH):
        yield np.unravel_index(np.arange(start, min(start + BATCH, total)), lengths) if lengths else ()


def _dot(positions: Sequence[NDArray[np.intp]], steps: Sequence[int]) -> NDArray[np.uint64]:
    """Return the offsets of these positions. Without axes there is one position, and its offset is 0."""
    distances = [position * step for position, step in zip(positions, steps)]
    return np.asarray(sum(distances, np.zeros(len(distances[0]) if distances else 1, np.int64))).astype(np.uint64)


def _through_buffer(entry: Entry, region: Region, address: int, strides: Sequence[int], backend: Backend) -> None:
    size = entry.dtype.itemsize
    room = np.empty(min(BUFFER // size, math.prod(region.lengths)), f"<u{size}")
    for part in region.parts(lambda part: math.prod(part.lengths) * size <= BUFFER):
        lengths, at = part.lengths, address
        for outer, inner, stride in zip(region.axes, part.axes, strides):
            at += (inner[0] - outer[0]) * stride
        buffer = room[: math.prod(lengths)].reshape(lengths)
        place(entry, part, buffer.ctypes.data, buffer.strides, backend)
        span = sum((length - 1) * stride for length, stride in zip(lengths, strides)) + size
        memory = memoryview((ctypes.c_ubyte * span).from_address(at))
        np.ndarray(lengths, buffer.dtype, memory, strides=tuple(strides))[...] = buffer
