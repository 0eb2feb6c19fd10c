"""The reference backend: SPEC.md in NumPy, written to be read.

Every float operation is one IEEE operation, rounded once. Runs on any machine; about a hundred times slower than
`native`.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.backends import orthogonal
from fanin.backends.base import Backend, numpy_without_errors
from fanin.backends.matrices import Complete
from fanin.backends.philox import U32, words
from fanin.draws import WHOLE_SIDE, Draw, Normal, Orthogonal, Plain, Side, TruncatedNormal, Uniform
from fanin.dtypes import DType
from fanin.streams import Stream

Floats = NDArray[Any]  # float32, or float64 for F64

CHUNK = 1 << 16
"""Elements per pass: temporaries stay in cache and memory stays bounded."""


class ReferenceBackend(Backend):
    """The backend that needs NumPy only."""

    name = "reference"

    @numpy_without_errors()
    def _fill_plain(self, draw: Plain, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        count = len(out) // dtype.itemsize
        target = np.frombuffer(out, dtype=dtype.numpy)
        for at in range(0, count, CHUNK):
            size = min(CHUNK, count - at)
            high = words(stream.key("main"), first + at, size)
            low = words(stream.key("low"), first + at, size) if dtype.name == "F64" else None
            target[at : at + size] = store(values(draw, high, low), dtype)

    def _fill_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self.matrices.fill(self._begin_matrix, draw, stream, dtype, first, out)

    def _begin_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview) -> Complete:
        return Complete(lambda: self._make_matrix(draw, stream, dtype, out))

    def _make_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview) -> None:
        def normals(first: int, count: int) -> Floats:
            low = words(stream.key("low"), first, count) if dtype.name == "F64" else None
            return values(Normal(0.0, 1.0), words(stream.key("main"), first, count), low)

        target = np.frombuffer(out, dtype=dtype.numpy)
        target[:] = store(orthogonal.matrix(draw, normals).reshape(-1), dtype)


def values(draw: Draw, high: U32, low: U32 | None) -> Floats:
    """The draw at these words, in float32, or with `low` words in float64."""
    compute = np.float32 if low is None else np.float64
    match draw:
        case Uniform():
            value = compute(draw.center) + compute(draw.half_width) * symmetric_unit(high, low)
            return within(value, compute(draw.low), compute(draw.high))
        case Normal():
            side = WHOLE_SIDE["F32" if low is None else "F64"]
            return compute(draw.mean) + compute(draw.std) * standard_normal(high, low, side, side)
        case TruncatedNormal():
            value = compute(draw.mean) + compute(draw.std) * standard_normal(high, low, draw.negative, draw.positive)
            return within(value, compute(draw.low), compute(draw.high))
    raise TypeError(f"not a random draw: {draw!r}")


def within(value: Floats, low: Any, high: Any) -> Floats:
    """Values outside an interval, moved to its ends."""
    value = np.where(value < low, low, value)
    return np.where(value > high, high, value)


def symmetric_unit(high: U32, low: U32 | None) -> Floats:
    """v = (2 m + 1 - 2^p) 2^-p, m the top p bits of the word: odd multiples of 2^-p in (-1, 1), exact. p = 24, 53."""
    if low is None:
        top = (high >> np.uint32(8)).astype(np.int32)
        return (2 * top + 1 - 2**24).astype(np.float32) * np.float32(2.0**-24)
    wide = ((high.astype(np.uint64) << np.uint64(32) | low) >> np.uint64(11)).astype(np.int64)
    return (2 * wide + 1 - 2**53).astype(np.float64) * np.float64(2.0**-53)


def standard_normal(high: U32, low: U32 | None, negative: Side, positive: Side) -> Floats:
    """Return the inverse CDF of the normal distribution, or of a truncated one, at these words."""
    below = high.astype(np.uint64) < np.uint64(negative.count)
    result = np.empty(high.shape, np.float32 if low is None else np.float64)
    result[below] = -magnitude(high[below], None if low is None else low[below], negative)
    result[~below] = magnitude(~high[~below], None if low is None else ~low[~below], positive)
    return result


def magnitude(rank: U32, low: U32 | None, side: Side) -> Floats:
    """Return |z| of words by their rank, counted from the far end of `side`."""
    compute: type[np.floating] = np.float32 if low is None else np.float64
    step, half = compute(side.step), compute(0.5)
    tail = rank.astype(np.uint64) < np.uint64(side.tail_count)
    result = np.empty(rank.shape, compute)

    far, near = rank[tail], np.uint32((side.count - 1) & 0xFFFFFFFF) - rank[~tail]
    if low is None:
        from_far, from_near = far.astype(np.float32), near.astype(np.float32)
    else:
        from_far = (far.astype(np.uint64) << np.uint64(32) | low[tail]).astype(np.float64)
        from_near = (near.astype(np.uint64) << np.uint64(32) | ~low[~tail]).astype(np.float64)

    t = compute(side.tail_offset) + step * (from_far + half)
    mantissa, exponent = np.frexp(t)  # mantissa in [0.5, 1): exact
    result[tail] = horner(table(low is not None)[-exponent], compute(2) - 2 * mantissa)

    r = compute(side.central_offset) + step * (from_near + half)
    central = np.broadcast_to(table(low is not None)[0], (*r.shape, table(low is not None).shape[1]))
    result[~tail] = r * horner(central, r * r)
    return result


def horner(coefficients: Floats, v: Floats) -> Floats:
    """(...(c[n-1] v + c[n-2]) v + ...) v + c[0], a row of coefficients for each v."""
    total = coefficients[:, -1]
    for column in range(coefficients.shape[1] - 2, -1, -1):
        total = total * v + coefficients[:, column]
    return total


@lru_cache(maxsize=2)
def table(double: bool) -> Floats:
    """Polynomials of the inverse normal CDF: row 0 the central region, row e the octave [2^-(e+1), 2^-e) of t."""
    name = "normal_f64.inc" if double else "normal_f32.inc"
    text = resources.files("fanin.backends").joinpath("csrc", name).read_text("ascii")
    rows = [line for line in text.splitlines() if line and not line.startswith("//")]
    numbers = [[float.fromhex(number.strip().rstrip("f")) for number in row.rstrip(",").split(",")] for row in rows]
    return np.array(numbers, np.float64 if double else np.float32)


def store(value: Floats, dtype: DType) -> NDArray[Any]:
    """Round values of the compute type to a storage type: once, to nearest, ties to even."""
    if dtype is dtype.compute:
        return value.astype(dtype.numpy)
    bits = value.view(np.uint32)
    sign, field = bits >> np.uint32(31), (bits >> np.uint32(23)) & np.uint32(0xFF)
    exponent = np.maximum(field, 1).astype(np.int32) - 127
    significand = (bits & np.uint32(0x7FFFFF)) | np.where(field > 0, np.uint32(0x800000), np.uint32(0))
    # Bits to drop: those beyond the precision, and below the smallest normal number one more for each octave.
    excess = 24 - dtype.precision + np.maximum(dtype.min_exponent - exponent, 0)
    excess = np.minimum(excess, 25).astype(np.uint32)
    kept = significand >> excess
    rest = significand - (kept << excess)
    half = np.uint32(1) << (excess - np.uint32(1))
    kept = kept + ((rest > half) | ((rest == half) & (kept & np.uint32(1) == 1))).astype(np.uint32)
    # A carry out of `kept` moves into the exponent field by itself, as does one out of the subnormals.
    hidden = np.uint32(1 << (dtype.precision - 1))
    packed = np.maximum(exponent - dtype.min_exponent, 0).astype(np.uint32) * hidden + kept
    sign = np.where((packed == 0) & (dtype.has_one_zero), np.uint32(0), sign)
    packed |= sign << np.uint32(dtype.bits - 1)
    stored: NDArray[Any] = packed.astype(np.dtype(f"<u{dtype.itemsize}")).view(dtype.numpy)
    return stored
