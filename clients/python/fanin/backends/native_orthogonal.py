"""Orthogonal matrices in C. The library has the steps, and Python allocates the memory."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.backends.memory import aligned
from fanin.backends.packing import DTYPE_NUMBERS, keys, parameters
from fanin.draws import Normal, Orthogonal
from fanin.dtypes import DType
from fanin.streams import Stream

_WORTH_THREADS = 1 << 14
"""Least number of elements of a matrix that several threads compute. They take about a millisecond."""


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
    """The function of the library at one level of instructions."""

    def __init__(self, library: ctypes.CDLL, level: int, threads: int) -> None:
        self._level, self._threads = level, threads
        self._panel: int = library.fanin_panel()
        self._group_bytes: int = library.fanin_group_bytes()
        self._padding: int = library.fanin_padding()
        self._make = library.fanin_orthogonal
        self._make.restype = None
        self._make.argtypes = [ctypes.POINTER(_Matrix), ctypes.c_int, ctypes.c_int]

    def make(self, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview) -> None:
        """Write the complete matrix to `out`.

        It allocates at most the size of the matrix in the compute type, and 256 bytes per row for each thread.

        Raises:
            MemoryError: there is not enough memory.
        """
        compute = dtype.compute
        rows, columns = max(draw.rows, draw.columns), min(draw.rows, draw.columns)
        padded = -(-rows // self._padding) * self._padding
        groups = -(-columns * compute.itemsize // self._group_bytes)
        threads = self._threads if rows * columns >= _WORTH_THREADS else 1
        panels, square = -(-columns // self._panel), self._panel**2
        v = _aligned(panels * self._panel * padded - panels * (panels - 1) // 2 * square, compute.numpy)
        t = _aligned(panels * square, compute.numpy)
        x = _aligned(panels * square, np.dtype(np.float64))
        work = _aligned(min(threads, groups) * padded * self._group_bytes, np.dtype(np.uint8))
        _, normal = parameters(Normal(0.0, 1.0), compute.name)
        matrix = _Matrix(
            *(rows, columns, padded, *(array.ctypes.data for array in (v, t, x, work)), ctypes.addressof(normal)),
            *(draw.gain, ctypes.addressof(ctypes.c_char.from_buffer(out)), (ctypes.c_uint32 * 8)(*keys(stream, dtype))),
            *(DTYPE_NUMBERS[dtype.name], draw.rows < draw.columns),
        )
        self._make(ctypes.byref(matrix), self._level, threads)


def _aligned(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return aligned(count * dtype.itemsize).view(dtype)
