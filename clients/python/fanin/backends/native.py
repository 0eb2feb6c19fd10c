"""The native backend: the C kernels, called through ctypes (which lets go of the GIL)."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import astuple
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from queue import SimpleQueue

from fanin.backends.reference import repeat
from fanin.draws import WHOLE_SIDE, Draw, Fill, Normal, TruncatedNormal, Uniform
from fanin.dtypes import DTYPES, DType
from fanin.errors import BackendError, NotBuiltError
from fanin.streams import Stream

ABI = 2
_UNIFORM, _NORMAL, _TRUNCATED, _CONSTANT = 0, 1, 2, 3
LEVELS = ("baseline", "avx2", "avx512")
"""Levels of instructions, the plainest first; all make the same bits."""
ENVIRONMENT = "FANIN_SIMD"
"""Environment variable that names the level to use; by default the highest that this processor has."""
PART = 1 << 18
"""Least elements that are worth a thread: a tenth of a millisecond or so."""
_DTYPES = {name: number for number, name in enumerate(DTYPES)}


class _Side(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_uint64),
        ("tail_count", ctypes.c_uint64),
        ("tail_offset", ctypes.c_double),
        ("central_offset", ctypes.c_double),
        ("step", ctypes.c_double),
    ]


class _Draw(ctypes.Structure):
    _fields_ = [
        ("offset", ctypes.c_double),
        ("scale", ctypes.c_double),
        ("low", ctypes.c_double),
        ("high", ctypes.c_double),
        ("negative", _Side),
        ("positive", _Side),
    ]


class NativeBackend:
    """C, in vectors where the processor has them, on every CPU this process may use.

    Its threads are kept, each on its CPU.
    """

    name = "native"

    def __init__(self, level: str | None = None) -> None:
        """Load the compiled kernels; `level` is one of `LEVELS`.

        Raises:
            BackendError: the package was installed without them, or they belong to another version of it, or the
                level asked for, here or by the environment, is unknown or not one of this processor.
        """
        # By resources, not by path: an editable install keeps built files apart from the source.
        library = str(resources.files("fanin.backends").joinpath("_native.so"))
        try:
            kernels = ctypes.CDLL(library)
        except OSError as error:
            raise NotBuiltError(f"the native backend was not built with this package: {error}") from error
        if kernels.fanin_abi() != ABI:
            raise NotBuiltError(f"{library} belongs to another version of this package")
        self.levels = [name for number, name in enumerate(LEVELS) if kernels.fanin_has_level(number)]
        """Levels that this processor has, the plainest first."""
        self.level = level or os.environ.get(ENVIRONMENT) or self.levels[-1]
        """Level of instructions in use."""
        if self.level not in self.levels:
            raise BackendError(f"unknown or unusable level {self.level!r}; here there are {', '.join(self.levels)}")
        self._fill = kernels.fanin_fill
        self._fill.restype = None
        self._fill.argtypes = [
            ctypes.POINTER(_Draw),
            ctypes.c_int,
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_uint32),
            ctypes.c_uint64,
            ctypes.c_int,
            ctypes.c_uint64,
            ctypes.c_void_p,
            ctypes.c_int,
        ]

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if not out:
            return
        if isinstance(draw, Fill):
            repeat(draw.value, dtype, out)
            return
        law, numbers = parameters(draw, dtype.compute.name)
        low = stream.key("low") if dtype.name == "F64" else (0, 0, 0, 0)
        keys = (ctypes.c_uint32 * 8)(*stream.key("main"), *low)
        held = ctypes.c_char.from_buffer(out)
        address = ctypes.addressof(held)
        level, size = LEVELS.index(self.level), dtype.itemsize

        def part(start: int, stop: int) -> None:
            block, skip = divmod(first + start, 4)
            at = address + start * size
            self._fill(numbers, law, _DTYPES[dtype.name], keys, block, skip, stop - start, at, level)

        count = len(out) // size
        cpus = _cpus() if count >= 2 * PART else ()
        parts = min(len(cpus), count // PART)
        if parts < 2:
            part(0, count)
        else:
            _in_threads(part, [count * n // parts for n in range(parts + 1)], cpus)


def _in_threads(part: Callable[[int, int], None], edges: list[int], cpus: tuple[int, ...]) -> None:
    """Run `part` between each two edges; returns, or raises, when no thread is at it any more.

    The parts write into the caller's memory, which may be gone the moment this has returned: an interrupt waits.
    """
    running: list[Future[None]] = []
    interrupt: BaseException | None = None
    try:
        for start, stop in pairwise(edges):
            try:
                running.append(_threads(cpus).submit(part, start, stop))
            except RuntimeError:  # the interpreter is ending, and takes no more work
                part(start, stop)
    except BaseException as error:
        interrupt = error
    while True:
        try:
            wait(running)
            break
        except BaseException as error:
            interrupt = error
    if interrupt:
        raise interrupt
    for future in running:
        future.result()


@lru_cache(maxsize=1)
def _threads(cpus: tuple[int, ...]) -> ThreadPoolExecutor:
    """One thread for each CPU, and there to stay: left alone, short work is often packed on one of them."""
    free = SimpleQueue[int]()
    for cpu in cpus:
        free.put(cpu)
    return ThreadPoolExecutor(len(cpus), "fanin-fill", lambda: _stay_on(free.get()))


# A forked child, such as a data loader's worker, inherits the executor and none of its threads.
os.register_at_fork(after_in_child=_threads.cache_clear)


def _cpus() -> tuple[int, ...]:
    """The CPUs this process may use."""
    return tuple(sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def _stay_on(cpu: int) -> None:
    # It helps, and may be forbidden.
    with suppress(OSError, AttributeError):
        os.sched_setaffinity(0, {cpu})


@lru_cache(maxsize=1024)
def parameters(draw: Draw, compute: str) -> tuple[int, _Draw]:
    """The law and the numbers of a draw, as the kernels take them."""
    match draw:
        case Fill(value):
            return _CONSTANT, _Draw(value)
        case Uniform(center, half_width, low, high):
            return _UNIFORM, _Draw(center, half_width, low, high)
        case Normal(mean, std):
            side = _Side(*astuple(WHOLE_SIDE[compute]))
            return _NORMAL, _Draw(mean, std, -math.inf, math.inf, side, side)
        case TruncatedNormal(mean, std, low, high, negative, positive):
            sides = _Side(*astuple(negative)), _Side(*astuple(positive))
            return _TRUNCATED, _Draw(mean, std, low, high, *sides)
    raise TypeError(f"not a draw: {draw!r}")
