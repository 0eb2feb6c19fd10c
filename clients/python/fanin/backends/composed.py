"""Composed draws, blocks and tables: a backend makes them through its own fill of plain ones (SPEC.md section 12)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.draws import Blocks, Draw, Fill, Orthogonal, Plain, Table
from fanin.dtypes import DType
from fanin.streams import Stream

LONG = 1 << 11
"""Elements for which a plain draw must go on, now or after at most ..."""
AHEAD = 8
"""... so many changes, to be made where it belongs. What changes faster is put together, ..."""
CHUNK = 1 << 16
"""... so many elements at a time."""

Composed = Blocks | Table
PlainFill = Callable[[Draw, Stream, DType, int, memoryview], None]
Bits = NDArray[Any]
Positions = NDArray[np.uint64]


def repeat(value: float, dtype: DType, out: memoryview) -> None:
    """Write one number of the storage type all over `out`."""
    target = _bits(out, dtype)
    target[:] = _bits(np.array(value).astype(dtype.numpy).tobytes(), dtype)


def compose(fill: PlainFill, draw: Composed, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
    """Write elements [first, first + n) of a composed draw into `out`; `fill` makes plain ones."""
    size = dtype.itemsize
    for plain, at, count in pieces(draw, first, len(out) // size):
        target = out[at * size : (at + count) * size]
        if plain:
            fill(plain, stream, dtype, first + at, target)
        else:
            mixed(fill, draw, stream, dtype, first + at, target)


def pieces(draw: Composed, first: int, count: int) -> Iterator[tuple[Plain | None, int, int]]:
    """Elements [first, first + count) as (plain draw, offset, length), or without a draw where they are `mixed`."""
    at = 0
    while at < count:
        plain, length = _run(draw, first + at)
        if not plain or not _goes_on(draw, first + at, count - at):
            plain, length = None, CHUNK
        length = min(length, count - at)
        yield plain, at, length
        at += length


def _goes_on(draw: Composed, first: int, count: int) -> bool:
    """Whether a plain draw is soon reached that goes on for long, or the end is."""
    at = 0
    for _ in range(AHEAD):
        plain, length = _run(draw, first + at)
        at += length
        if (plain and length >= LONG) or at >= count:
            return True
    return False


def mixed(fill: PlainFill, draw: Composed, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
    """As `compose`, for a chunk: each draw is made once, from its first element here to its last, and picked from."""
    target = _bits(out, dtype)
    where = np.arange(len(target), dtype=np.intp)
    for part, positions, here in _parts(draw, np.uint64(first) + where.astype(np.uint64), where):
        if isinstance(part, Table):
            values = _bits(part.values, dtype)
            target[here] = values[positions // np.uint64(part.run) % np.uint64(len(values))]
        elif isinstance(part, Fill):
            value = bytearray(dtype.itemsize)
            repeat(part.value, dtype, memoryview(value))
            target[here] = _bits(value, dtype)
        else:
            start, stop = int(here[0]), int(here[-1]) + 1
            made = bytearray((stop - start) * dtype.itemsize)
            fill(part, stream, dtype, first + start, memoryview(made))
            target[here] = _bits(made, dtype)[here - start]


def _run(draw: Draw, position: int) -> tuple[Plain | None, int]:
    """The plain draw at a position, none of a table, and for how many elements it goes on at least."""
    if isinstance(draw, Table):
        return None, 1
    if not isinstance(draw, Blocks):
        assert not isinstance(draw, Orthogonal)  # which is no part
        return draw, 1 << 70
    period, at = divmod(position, draw.period)
    j = bisect_right(draw.starts, at) - 1
    inside = at - draw.starts[j]
    plain, length = _run(draw.draws[j], period * draw.length(j) + inside)
    return plain, min(length, draw.length(j) - inside)


def _parts(
    draw: Draw, positions: Positions, where: NDArray[np.intp]
) -> Iterator[tuple[Draw, Positions, NDArray[np.intp]]]:
    """Plain draws and tables at these positions, with their own positions, and where each belongs, in order."""
    if not isinstance(draw, Blocks):
        yield draw, positions, where
        return
    periods, at = np.divmod(positions, np.uint64(draw.period))
    block = np.searchsorted(np.array(draw.starts, np.uint64), at, side="right") - 1
    for j in np.flatnonzero(np.bincount(block)).tolist():
        chosen = block == j
        own = periods[chosen] * np.uint64(draw.length(j)) + (at[chosen] - np.uint64(draw.starts[j]))
        yield from _parts(draw.draws[j], own, where[chosen])


def _bits(data: bytes | bytearray | memoryview, dtype: DType) -> Bits:
    return np.frombuffer(data, f"<u{dtype.itemsize}")
