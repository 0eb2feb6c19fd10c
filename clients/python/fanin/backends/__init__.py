"""Backends: each fills an element range of one draw into a buffer. They know draws, not schemes.

`native` (C) and `reference` (NumPy) give the same bits; `get` picks.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.errors import BackendError, NotBuiltError
from fanin.streams import Stream

ENVIRONMENT = "FANIN_BACKEND"
"""Environment variable that names the backend to use where the caller names none."""


class Backend(Protocol):
    """What generates elements."""

    name: str

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write elements [first, first + n) into `out`, n * dtype.itemsize writable bytes of any alignment.

        Elements are little-endian; `first` lies in [0, 2^66).
        """


def _native() -> Backend:
    from fanin.backends.native import NativeBackend

    return NativeBackend()


def _reference() -> Backend:
    from fanin.backends.reference import ReferenceBackend

    return ReferenceBackend()


# In order of preference.
_FACTORIES: dict[str, Callable[[], Backend]] = {"native": _native, "reference": _reference}


@lru_cache
def load(name: str) -> Backend:
    """The backend of this name.

    Raises:
        BackendError: there is none of this name, or it cannot be used here.
    """
    if name not in _FACTORIES:
        raise BackendError(f"unknown backend {name!r}; there are {', '.join(_FACTORIES)}")
    return _FACTORIES[name]()


def get(name: str | None = None) -> Backend:
    """The backend `name`, else the one the environment names, else the fastest usable one.

    Raises:
        BackendError: the named one is unknown or cannot be used here.
    """
    name = name or os.environ.get(ENVIRONMENT) or None
    return load(name) if name else load(available()[0])


@lru_cache
def available() -> tuple[str, ...]:
    """Names of the backends usable here, the fastest first. `reference` always is.

    Raises:
        BackendError: the environment asks one of them for what it has not.
    """
    usable = []
    for name in _FACTORIES:
        try:
            load(name)
        except NotBuiltError:
            continue
        usable.append(name)
    return tuple(usable)
