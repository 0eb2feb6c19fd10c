"""Composed draws, from the plain draws that a backend generates (SPEC.md sections 6.7 to 6.11)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanin.backends import functions, quantizing
from fanin.draws import (
    Arange,
    Blocks,
    Draw,
    Mapped,
    Normal,
    Orthogonal,
    Plain,
    Polar,
    Quantized,
    Sparse,
    Stack,
    Table,
    Uniform,
    Waves,
)
from fanin.dtypes import DType
from fanin.streams import Stream

if TYPE_CHECKING:
    from fanin.backends.base import Backend

LONG = 1 << 11
"""Shortest run of one plain draw, in elements, that the backend writes directly to its place."""
AHEAD = 8
"""Number of changes of the draw within which such a run must begin. Otherwise the elements are assembled in chunks."""
CHUNK = 1 << 16
"""Elements that are assembled at a time."""

Bits = NDArray[Any]
Doubles = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Positions = NDArray[np.uint64]

_UNIT = Uniform(0.0, 1.0, -1.0, 1.0)
"""The draw of the number v of SPEC.md section 6.2."""


def repeat(value: float, dtype: DType, out: memoryview) -> None:
    """Write one number of the storage type to all elements of `out`."""
    target = _bits(out, dtype)
    target[:] = _bits(dtype.encoded(value), dtype)


def compose(backend: Backend, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
    """Write elements [first, first + n) of a composed draw to `out`. `backend` generates plain draws and matrices."""
    if isinstance(draw, Quantized):
        quantizing.write(backend, draw, stream, dtype, first, out)
        return
    if isinstance(draw, Normal):  # complex: real and imaginary parts alternate
        backend.fill(draw, stream, dtype.compute, 2 * first, out)
        return
    size = dtype.itemsize
    at = 0
    for run in runs(draw, first, len(out) // size):
        target = out[at * size : (at + run.length) * size]
        if not run.draw:
            mixed(backend, draw, stream, dtype, first + at, target)
        elif isinstance(run.draw, Sparse):
            backend.fill(run.draw.draw, stream, dtype, first + at, target)
            backend.clear_zeros(run.draw, stream, dtype, run.position, target)
        else:
            backend.fill(run.draw, stream, dtype, first + at, target)
        at += run.length


class Run(NamedTuple):
    """Consecutive elements of one draw, the first of which is at `position` of that draw."""

    draw: Plain | Sparse | None
    """A draw that is written to its place, or None for elements that `mixed` assembles."""
    position: int
    length: int


def runs(draw: Draw, first: int, count: int) -> Iterator[Run]:
    """Yield the parts of [first, first + count) that are generated one after another."""
    at = 0
    while at < count:
        run = _run(draw, first + at)
        if not run.draw or not _goes_on(draw, first + at, count - at):
            run = Run(None, 0, CHUNK)
        run = run._replace(length=min(run.length, count - at))
        yield run
        at += run.length


def _goes_on(draw: Draw, first: int, count: int) -> bool:
    """Return whether a long run, or the end, follows within `AHEAD` changes."""
    at = 0
    for _ in range(AHEAD):
        run = _run(draw, first + at)
        at += run.length
        if (run.draw and run.length >= LONG) or at >= count:
            return True
    return False


def mixed(backend: Backend, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
    """As `compose`, for a chunk. Each part is generated once, from its first element here to its last."""
    target = _bits(out, dtype)
    where = np.arange(len(target), dtype=np.intp)
    indices = np.uint64(first) + where.astype(np.uint64)
    for part, positions, here in _parts(draw, indices, where):
        target[here] = _elements(backend, part, stream, dtype, indices[here], positions)


def _elements(
    backend: Backend, part: Draw, stream: Stream, dtype: DType, indices: Positions, positions: Positions
) -> Bits:
    """Return elements of a draw other than `Blocks`, as they are stored. Indices and positions are increasing."""
    match part:
        case Table(values, run):
            every = _bits(values, dtype)
            taken: Bits = every[positions // np.uint64(run) % np.uint64(len(every))]
            return taken
        case Arange():
            return _arange(part, positions, dtype)
        case Orthogonal():
            return _picked(backend, part, stream, dtype, positions)
        case Stack():
            return _stacked(backend, part, stream, dtype, positions)
        case Waves():
            return _stored(_waves(part, positions), dtype)
        case Mapped(function, center, half_width, low, high):
            v = _units(backend, stream, dtype.compute, indices)
            value = _FUNCTIONS[function](center + half_width * v)
            return _stored(np.minimum(np.maximum(value, low), high), dtype)
        case Polar(scale, mass):
            v = _units(
                backend, stream, dtype.compute, np.stack([2 * indices, 2 * indices + np.uint64(1)], 1).reshape(-1)
            )
            return _stored(_polar(scale, mass, v[::2], v[1::2]), dtype)
        case Sparse(plain):
            kept = _elements(backend, plain, stream, dtype, indices, positions)
            # The positions of a draw in consecutive elements of a tensor are consecutive.
            backend.clear_zeros(part, stream, dtype, int(positions[0]), kept.view(np.uint8).data)
            return kept
    return _picked(backend, part, stream, dtype, indices)


def _stacked(backend: Backend, draw: Stack, stream: Stream, dtype: DType, positions: Positions) -> Bits:
    """Return elements of matrices one after another, at increasing positions."""
    numbers, inside = np.divmod(positions, np.uint64(draw.matrix.rows * draw.matrix.columns))
    begins = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] + np.uint64(1)))
    parts = [
        _picked(backend, draw.matrix, stream.of_matrix(draw.first + int(numbers[start])), dtype, inside[start:stop])
        for start, stop in pairwise([*begins.tolist(), len(positions)])
    ]
    return np.concatenate(parts)


def _picked(backend: Backend, draw: Draw, stream: Stream, dtype: DType, indices: Positions) -> Bits:
    """Return elements of a draw that `backend` generates, at increasing indices."""
    first, stop = int(indices[0]), int(indices[-1]) + 1
    made = bytearray((stop - first) * dtype.itemsize)
    backend.fill(draw, stream, dtype, first, memoryview(made))
    return _bits(made, dtype)[(indices - np.uint64(first)).astype(np.intp)]


def _units(backend: Backend, stream: Stream, compute: DType, indices: Positions) -> Doubles:
    """Return v of SPEC.md section 6.2 at these indices, in the precision of the compute type."""
    return _picked(backend, _UNIT, stream, compute, indices).view(compute.numpy).astype(np.float64)


def _arange(draw: Arange, positions: Positions, dtype: DType) -> Bits:
    # Modulo 2^64: the final values fit 64 bits, with or without a sign, and products before them need not.
    start, step = (np.uint64(number % 2**64) for number in (draw.start, draw.step))
    values = start + step * (positions % np.uint64(draw.size))
    return (
        values.astype(f"<u{dtype.itemsize}")
        if dtype.is_integer
        else _stored(values.view(np.int64).astype(float), dtype)
    )


_FUNCTIONS: dict[str, Callable[[Doubles], Doubles]] = {
    "log": functions.log,
    "inverse_softplus_exp": lambda u: functions.inverse_softplus(functions.exp(u)),
    "inverse_softplus_log": lambda u: functions.inverse_softplus(-0.5 * functions.log(u)),
    "inverse_softplus_log_8": lambda u: functions.inverse_softplus(-0.125 * functions.log(u)),
    "log_log": lambda u: functions.log(-0.5 * functions.log(u)),
    "logit": lambda u: functions.log(u / (1 - u)),
}


def _waves(draw: Waves, positions: Positions) -> Doubles:
    rows, columns = np.divmod(positions, np.uint64(len(draw.frequencies)))
    times = np.uint64(draw.first) + rows // np.uint64(draw.run) % np.uint64(draw.rows)
    upper = np.array([turns >> 32 for turns in draw.frequencies], np.uint64)[columns]
    lower = np.array([turns & 0xFFFFFFFF for turns in draw.frequencies], np.uint64)[columns]
    quarters = np.array(draw.quarters, np.uint64)[columns] << np.uint64(62)
    phase = times * upper + (times * lower + np.uint64(1 << 31) >> np.uint64(32)) + quarters
    sizes: Doubles = np.array(draw.amplitudes)
    made: Doubles = sizes[times % np.uint64(len(sizes))] * functions.sine(phase) + 0.0  # zero has one sign
    return made


def _polar(scale: float, mass: float, v: Doubles, turns: Doubles) -> Complexes:
    """Return complex numbers from two numbers in (-1, 1): `v` for the radius, `turns` for the phase in half turns."""
    u = (v + 1) * 0.5
    radius = scale * np.sqrt(-functions.log(1 - mass * u) if mass else u)
    phase = (turns * 2.0**24).astype(np.int64).astype(np.uint64) << np.uint64(39)
    made = np.empty(len(v), np.complex128)
    made.real, made.imag = radius * functions.cosine(phase), radius * functions.sine(phase)
    return made


def _stored(values: Doubles | Complexes, dtype: DType) -> Bits:
    """Round to the compute type, both parts of a complex number, and then to the storage type."""
    computed = values if dtype.is_complex else values.astype(dtype.compute.numpy)
    return _bits(computed.astype(dtype.numpy).tobytes(), dtype)


def _run(draw: Draw, position: int) -> Run:
    """Return the draw at a position, if it is plain or sparse, and a number of elements for which it continues."""
    if isinstance(draw, Plain | Sparse):
        return Run(draw, position, 1 << 70)
    if not isinstance(draw, Blocks):
        return Run(None, position, 1)
    period, at = divmod(position, draw.period)
    j = bisect_right(draw.starts, at) - 1
    inside = at - draw.starts[j]
    run = _run(draw.draws[j], period * draw.length(j) + inside)
    return run._replace(length=min(run.length, draw.length(j) - inside))


def _parts(
    draw: Draw, positions: Positions, where: NDArray[np.intp]
) -> Iterator[tuple[Draw, Positions, NDArray[np.intp]]]:
    """Yield the draws other than `Blocks` at these positions, with positions in the draw, and indices in the chunk."""
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
