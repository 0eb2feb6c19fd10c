"""Backends: each fills an element range of one draw into a buffer. They know draws, not schemes.

`cuda` (a GPU, through CuPy), `native` (C) and `reference` (NumPy) give the same bits; `get` picks.
"""

from __future__ import annotations

import ctypes
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fanin.backends import permutations
from fanin.backends.matrices import CACHE_BYTES, Matrices
from fanin.backends.packing import Tensor, Tensors
from fanin.draws import Draw, Sparse
from fanin.dtypes import DType
from fanin.errors import BackendError, NoDeviceError, NotBuiltError
from fanin.streams import Stream

ENVIRONMENT = "FANIN_BACKEND"
"""Environment variable that names the backend to use where the caller names none."""


SLOW = (
    "the compiled backend is not installed, so NumPy makes the weights: the same bytes, many times slower. Install a C"
    f" compiler and then Fanin again; or set {ENVIRONMENT}=reference, and this warning ends"
)
"""Warning for a user who did not request the reference backend."""


class Backend(Protocol):
    """What generates elements. Backends inherit from it, for what they do not do in a better way."""

    name: str
    prompt_bytes: int = 0
    """Bytes that it makes in less time than it takes to hand work to a thread; 0 if it may keep a caller waiting."""

    matrices: Matrices
    """Orthogonal matrices that this backend has generated for parts of them."""

    def __init__(self, matrix_bytes: int = CACHE_BYTES) -> None:
        """Start with an empty cache of matrices, of at most `matrix_bytes` bytes."""
        self.matrices = Matrices(matrix_bytes)

    @abstractmethod
    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write elements [first, first + n) into `out`, n * dtype.itemsize writable bytes of any alignment.

        Elements are little-endian; `first` lies in [0, 2^66).
        """

    def fill_tensors(self, tensors: Tensors, addresses: NDArray[np.uint64]) -> None:
        """Write whole tensors, each to its own address, where there is room for it."""
        for tensor, address in zip(tensors.tensors, addresses, strict=True):
            self._fill_tensor(tensor, int(address))

    def fill_runs(
        self,
        draw: Draw,
        stream: Stream,
        dtype: DType,
        firsts: NDArray[np.uint64],
        count: int,
        addresses: NDArray[np.uint64],
    ) -> None:
        """Write runs of `count` elements, each from its own first one on and to its own address."""
        for first, address in zip(firsts.tolist(), addresses.tolist(), strict=True):
            self.fill(draw, stream, dtype, first, _memory_at(address, count * dtype.itemsize))

    def zeros(self, draw: Sparse, stream: Stream, positions: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Whether the elements at these positions of a sparse tensor are zero."""
        return permutations.zeros(draw, stream.key("sparse"), positions)

    def _fill_tensor(self, tensor: Tensor, address: int) -> None:
        if size := tensor.count * tensor.dtype.itemsize:
            self.fill(tensor.draw, tensor.stream, tensor.dtype, 0, _memory_at(address, size))


def _memory_at(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")


@runtime_checkable
class ArrayBackend(Protocol):
    """What makes arrays of a kind of its own, as a GPU does in its memory."""

    def empty(self, count: int, dtype: DType) -> Any:
        """A one-dimensional array of this storage type, or of unsigned integers for its bits."""

    def fill_array(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: Any) -> None:
        """Write elements [first, first + n) into `out`, a contiguous one-dimensional array of n elements."""


def _cuda(matrix_bytes: int) -> Backend:
    from fanin.backends.cuda import CudaBackend

    return CudaBackend(matrix_bytes=matrix_bytes)


def _native(matrix_bytes: int) -> Backend:
    from fanin.backends.native import NativeBackend

    return NativeBackend(matrix_bytes=matrix_bytes)


def _reference(matrix_bytes: int) -> Backend:
    from fanin.backends.reference import ReferenceBackend

    return ReferenceBackend(matrix_bytes)


# The fastest first.
_FACTORIES: dict[str, Callable[[int], Backend]] = {"cuda": _cuda, "native": _native, "reference": _reference}


def create(name: str, *, matrix_bytes: int = CACHE_BYTES) -> Backend:
    """Return a new backend, with its own cache of matrices of at most `matrix_bytes` bytes.

    Raises:
        BackendError: the name is unknown, or the backend cannot be used here.
    """
    if name not in _FACTORIES:
        raise BackendError(f"unknown backend {name!r}; there are {', '.join(_FACTORIES)}")
    return _FACTORIES[name](matrix_bytes)


@lru_cache
def load(name: str) -> Backend:
    """Return the backend of this name that the process shares.

    Raises:
        BackendError: the name is unknown, or the backend cannot be used here.
    """
    return create(name)


def get(name: str | None = None) -> Backend:
    """The backend `name`, else the one the environment names, else the fastest usable one of this machine's CPUs.

    A GPU is used only where it is asked for: starting CUDA takes a second and hundreds of megabytes of its memory,
    keeps this process from forking, and arrays would be of another kind from one machine to the next. Warns, once, if
    that is the reference backend and nobody asked for it.

    Raises:
        BackendError: the named one is unknown or cannot be used here.
    """
    name = name or os.environ.get(ENVIRONMENT) or None
    if name:
        return load(name)
    backend = load(_usable(("native", "reference"))[0])
    if backend.name == "reference":
        _warn_slow()
    return backend


@lru_cache
def _warn_slow() -> None:
    warnings.warn(SLOW, RuntimeWarning, stacklevel=3)


def available() -> tuple[str, ...]:
    """Names of the backends usable here, the fastest first. `reference` always is.

    Where CuPy is installed this starts CUDA.

    Raises:
        BackendError: the environment asks one of them for what it has not.
    """
    return _usable(tuple(_FACTORIES))


@lru_cache
def _usable(names: tuple[str, ...]) -> tuple[str, ...]:
    usable = []
    for name in names:
        try:
            load(name)
        except (NotBuiltError, NoDeviceError):
            continue
        usable.append(name)
    return tuple(usable)
