"""Orthogonal matrices in C: the steps of `orthogonal`, with the memory that they need."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.backends.memory import aligned
from fanin.backends.orthogonal import PANEL
from fanin.backends.packing import keys, parameters
from fanin.draws import Normal, Orthogonal
from fanin.dtypes import DTYPES, DType
from fanin.streams import Stream

_GROUP_BYTES = 256
"""Of a row of the columns that a thread makes together."""
_PADDING = 4
"""Rows are padded to a multiple of it."""
_WORTH_THREADS = 1 << 14
"""Least elements of a matrix that are worth threads: a millisecond or so."""
_DTYPES = {name: number for number, name in enumerate(DTYPES)}


class _Matrix(ctypes.Structure):
    """`fanin_matrix` of native.h."""

    _fields_ = [
        ("rows", ctypes.c_uint64),
        ("columns", ctypes.c_uint64),
        ("padded", ctypes.c_uint64),
        ("v", ctypes.c_void_p),
        ("t", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("work", ctypes.c_void_p),
        ("normal", ctypes.c_void_p),
        ("gain", ctypes.c_double),
        ("out", ctypes.c_void_p),
        ("keys", ctypes.c_uint32 * 8),
        ("dtype", ctypes.c_int32),
        ("is_wide", ctypes.c_int32),
    ]


class OrthogonalKernel:
    """The kernel, at one level of instructions."""

    def __init__(self, library: ctypes.CDLL, level: int, threads: int) -> None:
        self._level, self._threads = level, threads
        self._make = library.fanin_orthogonal
        self._make.restype = None
        self._make.argtypes = [ctypes.POINTER(_Matrix), ctypes.c_int, ctypes.c_int]

    def make(self, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview) -> None:
        """Write the whole matrix to `out`.

        Takes beside it, in the compute type, the size of the matrix at most, and 256 bytes a row for each thread.

        Raises:
            MemoryError: there is no such memory.
        """
        compute = dtype.compute
        rows, columns = max(draw.rows, draw.columns), min(draw.rows, draw.columns)
        padded = -(-rows // _PADDING) * _PADDING
        groups = -(-columns * compute.itemsize // _GROUP_BYTES)
        threads = self._threads if rows * columns >= _WORTH_THREADS else 1
        panels = -(-columns // PANEL)
        v = _aligned(panels * PANEL * padded - panels * (panels - 1) // 2 * PANEL**2, compute.numpy)
        t = _aligned(panels * PANEL**2, compute.numpy)
        x = _aligned(panels * PANEL**2, np.dtype(np.float64))
        work = _aligned(min(threads, groups) * padded * _GROUP_BYTES, np.dtype(np.uint8))
        _, normal = parameters(Normal(0.0, 1.0), compute.name)
        matrix = _Matrix(
            *(rows, columns, padded, *(array.ctypes.data for array in (v, t, x, work)), ctypes.addressof(normal)),
            *(draw.gain, ctypes.addressof(ctypes.c_char.from_buffer(out)), (ctypes.c_uint32 * 8)(*keys(stream, dtype))),
            *(_DTYPES[dtype.name], draw.rows < draw.columns),
        )
        self._make(ctypes.byref(matrix), self._level, threads)


def _aligned(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return aligned(count * dtype.itemsize).view(dtype)
