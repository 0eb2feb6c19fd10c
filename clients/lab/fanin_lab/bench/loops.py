"""Functions that makers of the benchmark need and their libraries lack."""

from __future__ import annotations

import ctypes
import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

LINE = 64
"""Bytes of a cache line. Two threads never write to the same line."""
PART = 1 << 21
"""Minimum number of bytes per thread."""


def truncated_normal(generator: np.random.Generator, bound: float, out: NDArray[Any]) -> None:
    """Return standard normal draws within +-bound, by the usual loop that redraws values outside."""
    generator.standard_normal(dtype=out.dtype, out=out)
    outside = np.flatnonzero(np.abs(out) > bound)
    while outside.size:
        again = generator.standard_normal(outside.size, dtype=out.dtype)
        out[outside] = again
        outside = outside[np.abs(again) > bound]


def finished(array: Any) -> Any:
    """Wait for the array and return it. JAX returns arrays before they are computed."""
    with suppress(AttributeError):
        array.block_until_ready()
    return array


def cpus() -> list[int]:
    """Return the CPUs that this process can use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def mapped(size: int, *, huge: bool = True) -> mmap.mmap:
    """Return new memory from the kernel, in huge pages if available or in small ones."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    advice = "MADV_HUGEPAGE" if huge else "MADV_NOHUGEPAGE"
    if hasattr(mmap, advice):
        with suppress(OSError):  # a kernel without huge pages
            memory.madvise(getattr(mmap, advice))
    return memory


class Memset:
    """Run libc's memset in parts, one thread on each CPU of this process."""

    def __init__(self) -> None:
        """Start the threads."""
        self.cpus = len(cpus())
        free = SimpleQueue[int]()
        for cpu in cpus():
            free.put(cpu)
        self._pool = ThreadPoolExecutor(self.cpus, initializer=lambda: _stay_on(free.get()))

    def __call__(self, memory: bytearray | mmap.mmap) -> None:
        """Write every byte of `memory`."""
        held = ctypes.c_char.from_buffer(memory)
        address, size = ctypes.addressof(held), len(memory)
        parts = min(self.cpus, size // PART)
        if parts < 2:
            ctypes.memset(address, 1, size)
            return
        edges = [size * part // parts // LINE * LINE for part in range(parts)] + [size]
        list(self._pool.map(lambda edge: ctypes.memset(address + edge[0], 1, edge[1] - edge[0]), pairwise(edges)))


def _stay_on(cpu: int) -> None:
    # Pinning makes figures steadier. A container can forbid it.
    with suppress(OSError, AttributeError):
        os.sched_setaffinity(0, {cpu})
