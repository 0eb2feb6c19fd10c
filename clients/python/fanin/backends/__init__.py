"""Backends: each fills an element range of one draw into a buffer. They know draws, not schemes.

`cuda` (a GPU, through CuPy), `native` (C) and `reference` (NumPy) give the same bits; `get` picks.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import lru_cache

from fanin.backends.base import Backend, ForwardingBackend, Tensor
from fanin.backends.matrices import CACHE_BYTES
from fanin.errors import BackendError, NoDeviceError, NotBuiltError
from fanin.float_mode import ROUNDING, rounds_to_nearest

__all__ = ["ENVIRONMENT", "SLOW", "Backend", "ForwardingBackend", "Tensor", "available", "create", "get", "load"]

ENVIRONMENT = "FANIN_BACKEND"
"""Environment variable that names the backend to use where the caller names none."""

SLOW = (
    "the compiled backend is absent or of another version, so NumPy generates the weights: the same bytes, many times"
    f" slower. Install Fanin again, with a C compiler; or set {ENVIRONMENT}=reference to end this warning"
)
"""Warning for a user who did not request the reference backend."""


def _cuda(matrix_bytes: int, _fill_threads: int | None) -> Backend:
    from fanin.backends.cuda import CudaBackend

    return CudaBackend(matrix_bytes=matrix_bytes)


def _native(matrix_bytes: int, fill_threads: int | None) -> Backend:
    from fanin.backends.native import NativeBackend

    return NativeBackend(matrix_bytes=matrix_bytes, fill_threads=fill_threads)


def _reference(matrix_bytes: int, _fill_threads: int | None) -> Backend:
    from fanin.backends.reference import ReferenceBackend

    return ReferenceBackend(matrix_bytes)


# The fastest first.
_FACTORIES: dict[str, Callable[[int, int | None], Backend]] = {
    "cuda": _cuda,
    "native": _native,
    "reference": _reference,
}


def create(name: str, *, matrix_bytes: int = CACHE_BYTES, fill_threads: int | None = None) -> Backend:
    """Return a new backend, with its own cache of matrices.

    Args:
        name: `cuda`, `native` or `reference`.
        matrix_bytes: Size of the cache of matrices.
        fill_threads: Most threads of one call that fills, for `native`. Matrices still use all threads. The default is
            one thread per CPU. Programs that fill in several threads at a time pass 1.

    Raises:
        BackendError: the name is unknown, or the backend cannot be used here.
    """
    if name not in _FACTORIES:
        raise BackendError(f"unknown backend {name!r}; there are {', '.join(_FACTORIES)}")
    return _FACTORIES[name](matrix_bytes, fill_threads)


@lru_cache
def load(name: str) -> Backend:
    """Return the backend of this name that the process shares.

    Raises:
        BackendError: the name is unknown, or the backend cannot be used here.
    """
    return create(name)


def get(name: str | None = None) -> Backend:
    """Return the backend `name`, else the one that FANIN_BACKEND names, else the fastest usable one for a CPU.

    A GPU is used only if it is named. Starting CUDA takes a second and hundreds of megabytes of its memory, and keeps
    this process from forking, and arrays would have another type on another machine. It warns, once, if the result is
    the reference backend and nothing names that.

        >>> get("reference").name
        'reference'

    Raises:
        BackendError: the backend that is named is unknown, or cannot be used here, or this thread does not round to
            nearest.
    """
    if not rounds_to_nearest():
        raise BackendError(ROUNDING)
    name = name or os.environ.get(ENVIRONMENT)
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
    """Return the names of the backends that can be used here, the fastest first. `reference` always can.

    If CuPy is installed, this starts CUDA.

    Raises:
        BackendError: FANIN_SIMD names an instruction set that this CPU does not have.
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
