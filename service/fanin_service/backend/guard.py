"""The guard: chooses the backend of the service, and stops its use when its bits cannot be trusted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec

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

P = ParamSpec("P")

MISSED = 3
"""Number of intervals without a test after which the last result expires: the backend hangs."""

_log = logging.getLogger(__name__)


class NotReadyError(LaterError):
    """The service generates nothing: the backend has not passed its test, or the service is stopping."""

    def __init__(self, detail: str, seconds: float = 1) -> None:
        super().__init__(detail, seconds)


class GuardedBackend(ForwardingBackend):
    """Generates with a backend while that passes its known-answer test.

    A backend that fails, in the test or while it generates, generates nothing until it passes again. Responses in
    flight are cut short: caches would keep wrong bytes for a year.
    """

    def __init__(self, backend: Backend, seconds: float) -> None:
        """Guard a backend that is tested every `seconds`. It has not passed yet."""
        super().__init__(backend)
        self.name, self.prompt_bytes = backend.name, backend.prompt_bytes
        self.on_failure: Callable[[], None] = lambda: None
        """Called after a failure of the backend, in the thread that called the backend."""
        self._seconds = seconds
        self._passed_at: float | None = None
        self._fault = "has not passed its known-answer test yet"
        self._error: Exception | None = None
        self._era = object()
        """Another one after each failure. A call that began in an earlier era may return wrong bits, and a test that
        began in one says nothing about the failure."""

    @property
    def fault(self) -> str | None:
        """Return why the backend must not generate; `None` if it may."""
        if self._passed_at is None:
            return f"the {self.name} backend {self._fault}"
        if time.monotonic() - self._passed_at > MISSED * self._seconds:
            return f"the {self.name} backend has not passed its known-answer test recently"
        return None

    def test(self) -> str | None:
        """Run the known-answer test, in the calling thread. Return why the backend failed it; `None` if it passed.

        Do not read `fault` in place of the result: another thread may have tested the backend meanwhile.
        """
        era = self._era
        fault = _fault(self._backend)
        if fault:
            self._fail(fault, self._error)
        if self._passed_at is None:
            # Cached matrices may be wrong. They are discarded once more when the test passes again: a thread that
            # started before the failure may have cached one after it.
            self.matrices.clear()
        if not fault and self._era is era:
            self._fault, self._error, self._passed_at = "", None, time.monotonic()
        return fault

    def _fail(self, fault: str, error: Exception | None) -> None:
        self._era = object()
        self._fault, self._error, self._passed_at = fault, error, None

    def _generate(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._guarded(super()._generate, draw, stream, dtype, first, out)

    def fill_tensors(self, tensors: Sequence[Tensor], addresses: NDArray[np.uint64], first: int = 0) -> None:
        self._guarded(self._backend.fill_tensors, tensors, addresses, first)

    def _guarded(self, generate: Callable[P, None], *arguments: P.args, **options: P.kwargs) -> None:
        # The log names the first failure as the cause, since the request that met it may have ended.
        era = self._era
        if self._passed_at is None:
            raise BackendError(self.fault) from self._error
        try:
            generate(*arguments, **options)
        except Exception as error:
            self._fail(f"failed: {error}", error)
            self.on_failure()
            # The caller could not ask for the fault: a test in another thread may pass first, and clear it.
            raise BackendError(f"the {self.name} backend failed: {error}") from error
        if self._era is not era:
            # The backend has failed in another thread, so these bits may be wrong, too. So may a matrix that this call
            # has cached since a test passed.
            self.matrices.clear()
            raise BackendError(self.fault or f"the {self.name} backend failed in another thread") from self._error


def choose(settings: Settings) -> Backend:
    """Return the backend that the settings name, else the fastest one that passes its known-answer test here.

    The backend is a new one. The settings give the size of its cache of matrices.

    Raises:
        BackendError: the named backend is unknown, unusable here or wrong, and the settings allow no other. Or none
            passes.
    """
    named = settings.backend
    for name in _candidates(settings):
        try:
            # One thread a call: a stream generates several chunks at a time.
            backend = backends.create(name, matrix_bytes=settings.matrix_bytes, fill_threads=1)
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
    """Yield the names of backends in the order in which they are tried."""
    if settings.backend:
        yield settings.backend
    yield from (name for name in backends.available() if name != settings.backend)


def _fault(backend: Backend) -> str | None:
    """Return why the backend fails the known-answer test; None if it passes."""
    try:
        return None if known_answer.passes(backend) else "failed its known-answer test"
    except Exception as error:  # any error means that the backend failed
        return f"failed its known-answer test: {error}"
