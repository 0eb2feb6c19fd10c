"""Magnitudes of groups and codes of quantized numbers, in C."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from fanin.backends.codes import Floats
from fanin.draws.types import Element

Array = NDArray[np.float32] | NDArray[np.uint8]
_NUMBERS: dict[Element, int] = {"E4M3": 0, "E2M1": 1, "I8": 2, "I4": 3, "U4": 4}
"""`fanin_element` of native.h."""


class _Groups(ctypes.Structure):
    """`fanin_groups` of native.h."""

    _fields_ = [
        ("values", ctypes.c_void_p),
        ("rows", ctypes.c_uint64),
        ("columns", ctypes.c_uint64),
        ("tall", ctypes.c_uint64),
        ("wide", ctypes.c_uint64),
        ("below", ctypes.c_void_p),
        ("above", ctypes.c_void_p),
        ("divisors", ctypes.c_void_p),
        ("zeros", ctypes.c_void_p),
        ("codes", ctypes.c_void_p),
        ("element", ctypes.c_int32),
    ]


class CodesKernel:
    """The functions of `codes`, by the library at one level of instructions."""

    def __init__(self, library: ctypes.CDLL, level: int, threads: int) -> None:
        self._level, self._threads = level, threads
        self._call = library.fanin_quantize
        self._call.restype = None
        self._call.argtypes = [ctypes.POINTER(_Groups), ctypes.c_int, ctypes.c_int]

    def magnitudes(self, values: Floats, group: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return the largest magnitude of the negative numbers of each group, and that of its other numbers, or 0."""
        (rows, columns), (tall, wide) = values.shape, group
        below, above = np.empty((2, rows // tall, columns // wide), np.float32)
        self._run(values, group, below=below, above=above)
        return below, above

    def codes(
        self, element: Element, values: Floats, group: tuple[int, int], divisors: Floats, zeros: Floats | None
    ) -> NDArray[np.uint8]:
        """Return the code of each number, divided by the divisor of its group. `zeros` has the zero points of `U4`."""
        codes = np.empty(values.shape, np.uint8)
        self._run(values, group, _NUMBERS[element], divisors=divisors, zeros=zeros, codes=codes)
        return codes

    def _run(self, values: Floats, group: tuple[int, int], element: int = 0, **arrays: Array | None) -> None:
        held = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}
        values = np.ascontiguousarray(values)
        addresses = {name: array.ctypes.data for name, array in held.items()}
        task = _Groups(values.ctypes.data, *values.shape, *group, element=element, **addresses)
        self._call(task, self._level, self._threads)
