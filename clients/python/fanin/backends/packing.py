"""Draws and ranges of elements in the structs that the kernels read."""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.backends.base import Tensor
from fanin.draws import WHOLE_SIDE, Draw, Fill, Normal, Plain, TruncatedNormal, Uniform, is_plain
from fanin.dtypes import STORAGE, DType, DTypeName
from fanin.streams import Stream, main_keys


class Distribution(IntEnum):
    """`fanin_distribution` of native.h."""

    UNIFORM = 0
    NORMAL = 1
    TRUNCATED = 2
    CONSTANT = 3


_NUMBERS = {"F64": 0, "F32": 1, "BF16": 2, "F16": 3, "F8_E4M3": 4, "F8_E5M2": 5}
# The kernels know no other types. Those have constants only, which are bytes: as many as a real type of their size has.
_OF_SIZE = {8: 0, 4: 1, 2: 3, 1: 4}
DTYPE_NUMBERS = {name: _NUMBERS.get(name, _OF_SIZE[dtype.itemsize]) for name, dtype in STORAGE.items()}
"""`fanin_dtype` of native.h, by the name of the storage type."""
RANGE = np.dtype(
    [
        ("block", np.uint64),
        ("count", np.uint64),
        ("out", np.uint64),
        ("keys", np.uint32, 8),
        ("source", np.uint32),
        ("skip", np.uint32),
    ]
)
"""`fanin_range` of native.c: elements of the source with index `source`, to be written to the address `out`."""
_NO_KEY = (0, 0, 0, 0)


class _Side(ctypes.Structure):
    """`fanin_side` of fanin_kernels.h."""

    _fields_ = [
        ("count", ctypes.c_uint64),
        ("tail_count", ctypes.c_uint64),
        ("tail_offset", ctypes.c_double),
        ("central_offset", ctypes.c_double),
        ("step", ctypes.c_double),
    ]


class _Draw(ctypes.Structure):
    """`fanin_draw` of fanin_kernels.h."""

    _fields_ = [
        ("offset", ctypes.c_double),
        ("scale", ctypes.c_double),
        ("low", ctypes.c_double),
        ("high", ctypes.c_double),
        ("negative", _Side),
        ("positive", _Side),
    ]


@dataclass(frozen=True, slots=True)
class PackedTensors:
    """Complete tensors, packed once for any number of calls of the kernels."""

    sources: bytes
    """Array of the `fanin_source` that `ranges` refer to, each once."""
    ranges: NDArray[Any]
    """One `RANGE` per tensor, without an address. It has no elements if the kernels do not know the draw."""
    composed: tuple[int, ...]
    """Indices of the tensors whose draws the kernels do not know: composed ones and matrices."""

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> PackedTensors:
        """Pack these tensors."""
        places: dict[bytes, int] = {}
        # Many tensors share few draws, so each draw is packed once. The dictionary refers to the draw, because the id
        # of an object that no longer exists can be that of another one.
        known: dict[tuple[int, str], tuple[Draw, bool, int]] = {}
        sources, counts, composed, streams, long = (list[Any]() for _ in range(5))
        for n, tensor in enumerate(tensors):
            draw, name = tensor.draw, tensor.dtype.name
            found = known.get((id(draw), name))
            if found is None:
                plain = draw if is_plain(draw, tensor.dtype) else None
                place = places.setdefault(source(plain or Fill(0.0), name), len(places))
                found = known[id(draw), name] = draw, plain is not None, place
            _, is_known, place = found
            sources.append(place)
            counts.append(tensor.count if is_known else 0)
            streams.append(tensor.stream)
            if not is_known:
                composed.append(n)
            if name == "F64":
                long.append(n)
        ranges = np.zeros(len(tensors), RANGE)
        ranges["count"], ranges["source"] = counts, sources
        ranges["keys"][:, :4] = np.frombuffer(main_keys(streams), "<u4").reshape(-1, 4)
        for n in long:
            ranges["keys"][n, 4:] = streams[n].key("low")
        return cls(b"".join(places), ranges, tuple(composed))


def keys(stream: Stream, dtype: DType) -> tuple[int, ...]:
    """Return eight words: the key of stream purpose main, and that of low, or zeros if the type needs no low words."""
    return stream.key("main") + (stream.key("low") if dtype.name == "F64" else _NO_KEY)


@lru_cache(maxsize=4096)
def source(draw: Plain, name: DTypeName) -> bytes:
    """Return the `fanin_source` of native.c for a draw in the storage type of this name."""
    dtype = STORAGE[name]
    number, numbers = parameters(draw, dtype.compute.name)
    bits = dtype.encoded(draw.value) if isinstance(draw, Fill) else b""
    return bytes(numbers) + struct.pack("=8s2i", bits.ljust(8, b"\0"), number, DTYPE_NUMBERS[name])


@lru_cache(maxsize=1024)
def parameters(draw: Plain, compute: str) -> tuple[Distribution, _Draw]:
    """Return the distribution of a draw and its `fanin_draw` of fanin_kernels.h. `compute` is F32 or F64."""
    match draw:
        case Fill(value):
            return Distribution.CONSTANT, _Draw(value)
        case Uniform(center, half_width, low, high):
            return Distribution.UNIFORM, _Draw(center, half_width, low, high)
        case Normal(mean, std):
            side = _Side(*astuple(WHOLE_SIDE[compute]))
            return Distribution.NORMAL, _Draw(mean, std, -math.inf, math.inf, side, side)
        case TruncatedNormal(mean, std, low, high, negative, positive):
            sides = _Side(*astuple(negative)), _Side(*astuple(positive))
            return Distribution.TRUNCATED, _Draw(mean, std, low, high, *sides)
    raise TypeError(f"{draw!r} is not a plain draw")
