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
        ("first_panel", ctypes.c_uint64),
        ("stop_panel", ctypes.c_uint64),
        ("first_group", ctypes.c_uint64),
        ("stop_group", ctypes.c_uint64),
    ]


class OrthogonalKernel:
    """The function of the library at one level of instructions."""

    def __init__(self, library: ctypes.CDLL, level: int, threads: int) -> None:
        self.level, self.threads = level, threads
        self.panel: int = library.fanin_panel()
        self.group_bytes: int = library.fanin_group_bytes()
        """Bytes of one row of the columns that are computed together."""
        self.padding: int = library.fanin_padding()
        self.make = library.fanin_orthogonal
        self.make.restype = None
        self.make.argtypes = [ctypes.POINTER(_Matrix), ctypes.c_int, ctypes.c_int]

    def begin(self, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview) -> NativeColumns:
        """Return what writes columns of a matrix to `out`, which has memory for all of them.

        It allocates at most the size of the matrix in the compute type.

        Raises:
            MemoryError: there is not enough memory.
        """
        return NativeColumns(self, draw, stream, dtype, out)


class NativeColumns:
    """One matrix, whose columns are computed by need. Its panels stay in memory."""

    def __init__(
        self, kernel: OrthogonalKernel, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview
    ) -> None:
        compute = dtype.compute
        rows, columns = max(draw.rows, draw.columns), min(draw.rows, draw.columns)
        padded = -(-rows // kernel.padding) * kernel.padding
        panels, square = -(-columns // kernel.panel), kernel.panel**2
        v = _aligned(panels * kernel.panel * padded - panels * (panels - 1) // 2 * square, compute.numpy)
        t = _aligned(panels * square, compute.numpy)
        x = _aligned(panels * square, np.dtype(np.float64))
        _, normal = parameters(Normal(0.0, 1.0), compute.name)
        self._kernel, self._group = kernel, kernel.group_bytes // compute.itemsize
        self._threads = kernel.threads if rows * columns >= _WORTH_THREADS else 1
        self._panels = 0
        """Number of panels that are complete."""
        self._memory = v, t, x, normal, out
        self.nbytes = v.nbytes + t.nbytes + x.nbytes
        """Bytes of memory beside `out`."""
        self._matrix = _Matrix(
            *(rows, columns, padded, *(array.ctypes.data for array in (v, t, x)), None, ctypes.addressof(normal)),
            *(draw.gain, ctypes.addressof(ctypes.c_char.from_buffer(out)), (ctypes.c_uint32 * 8)(*keys(stream, dtype))),
            *(DTYPE_NUMBERS[dtype.name], draw.rows < draw.columns),
        )

    def make(self, first: int, stop: int) -> None:
        """Write columns [first, stop). `first` is a multiple of a group of columns, and so is `stop`, or it is the end.

        It allocates 256 bytes per row for each thread.

        Raises:
            MemoryError: there is not enough memory.
        """
        matrix = self._matrix
        matrix.first_panel, matrix.stop_panel = self._panels, max(self._panels, -(-stop // self._kernel.panel))
        matrix.first_group, matrix.stop_group = first // self._group, -(-stop // self._group)
        threads = min(self._threads, matrix.stop_group - matrix.first_group)
        work = _aligned(threads * matrix.padded * self._kernel.group_bytes, np.dtype(np.uint8))
        matrix.work = work.ctypes.data
        self._kernel.make(ctypes.byref(matrix), self._kernel.level, self._threads)
        self._panels = matrix.stop_panel


def _aligned(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    return aligned(count * dtype.itemsize).view(dtype)
