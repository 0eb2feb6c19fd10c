"""The guard: which backend the service uses, and for how long its bits are trusted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from fanin import BackendError, backends
from fanin.backends import Backend, ForwardingBackend, Tensor
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.errors import NoDeviceError, NotBuiltError
from fanin.streams import Stream
from fanin_service.backend import known_answer
from fanin_service.errors import LaterError
from fanin_service.settings import Settings

MISSED = 3
"""Intervals without a test, after which the last one counts no more: the backend hangs."""

_log = logging.getLogger(__name__)


class NotReadyError(LaterError):
    """Nothing is generated: the backend has not shown that its bits are right, or the service stops."""

    def __init__(self, detail: str, seconds: float = 1) -> None:
        super().__init__(detail, seconds)


class GuardedBackend(ForwardingBackend):
    """Generates as its backend does, for as long as that passes its known-answer test.

    A backend that has failed, in the test or while it generated, generates nothing more before it passes again: what
    is being sent is cut short.
    """

    def __init__(self, backend: Backend, seconds: float) -> None:
        """A guard that is to test `backend` every so many seconds; it has not passed yet."""
        super().__init__(backend)
        self.name, self.prompt_bytes = backend.name, backend.prompt_bytes
        self.on_failure: Callable[[], None] = lambda: None
        """Called where generating failed, in the thread where it did."""
        self._seconds = seconds
        self._passed_at: float | None = None
        self._fault = "has not passed its known-answer test yet"
        self._error: Exception | None = None

    @property
    def fault(self) -> str | None:
        """Why nothing may be generated; `None` if it may."""
        if self._passed_at is None:
            return f"the {self.name} backend {self._fault}"
        if time.monotonic() - self._passed_at > MISSED * self._seconds:
            return f"the {self.name} backend has not passed its known-answer test lately"
        return None

    def test(self) -> None:
        """Run the known-answer test, in this thread."""
        fault = _fault(self._backend)
        if fault:
            self._fault, self._passed_at = fault, None
        if self._passed_at is None:
            # Some matrices may be wrong. They are discarded again before the backend is trusted again: a thread that
            # began before the failure may have stored one after it.
            self.matrices.clear()
        if not fault:
            self._fault, self._error, self._passed_at = "", None, time.monotonic()

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        with self._guarded():
            super()._generate(draw, stream, dtype, first, out)

    def fill_tensors(self, tensors: Sequence[Tensor], addresses: NDArray[np.uint64], first: int = 0) -> None:
        with self._guarded():
            self._backend.fill_tensors(tensors, addresses, first)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        if self._passed_at is None:
            raise BackendError(self.fault)
        try:
            yield
        except Exception as error:
            self._fault, self._error, self._passed_at = f"failed: {error}", error, None
            self.on_failure()
            raise
        if self._passed_at is None:
            # It failed meanwhile, so these bits may be wrong, too. The log names the first failure as the cause:
            # nobody may be left to await the chunk that met it.
            raise BackendError(self.fault) from self._error


def choose(settings: Settings) -> Backend:
    """The backend that the settings name, else the fastest that works here; it has passed its known-answer test.

    It is a new one, whose cache of matrices has the size that the settings allow.

    Raises:
        BackendError: the named one is unknown, or cannot be used here, or fails, and the settings ask for no other.
    """
    named = settings.backend
    for name in _candidates(settings):
        try:
            backend = backends.create(name, matrix_bytes=settings.matrix_bytes)
            fault = _fault(backend)
        except (NotBuiltError, NoDeviceError) as error:
            fault = f"cannot be used: {error}"
        if fault is None:
            return backend
        if name == named and not settings.backend_fallback:
            raise BackendError(f"the {name} backend {fault}")
        _log.warning("the %s backend %s", name, fault)
    raise BackendError("no backend passes its known-answer test here")


def _candidates(settings: Settings) -> Iterator[str]:
    """Names of backends, in the order in which they are to be tried."""
    if settings.backend:
        yield settings.backend
    yield from (name for name in backends.available() if name != settings.backend)


def _fault(backend: Backend) -> str | None:
    """What is wrong with it, by the known-answer test."""
    try:
        return None if known_answer.passes(backend) else "failed its known-answer test"
    except Exception as error:  # whatever it is: not even this could be made
        return f"failed its known-answer test: {error}"
