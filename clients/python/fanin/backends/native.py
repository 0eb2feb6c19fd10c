"""The native backend: the C kernels, called through ctypes, which releases the GIL."""

from __future__ import annotations

import ctypes
import math
import os
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fanin.backends import permutations
from fanin.backends.base import Backend, Filler, Tensor
from fanin.backends.codes import Floats
from fanin.backends.matrices import CACHE_BYTES
from fanin.backends.native_codes import CodesKernel
from fanin.backends.native_orthogonal import OrthogonalKernel
from fanin.backends.packing import RANGE, PackedTensors, keys, source
from fanin.draws import Draw, Fill, Orthogonal, Plain, Sparse, is_plain
from fanin.draws.types import Element
from fanin.dtypes import CONVERTED, DType
from fanin.errors import BackendError, NotBuiltError
from fanin.streams import Stream

ABI = 9
"""Version of the functions of the library that this module calls."""
LEVELS = ("baseline", "avx2", "avx512")
"""Levels of instructions, the simplest first. All generate the same bits."""
ENVIRONMENT = "FANIN_SIMD"
"""Environment variable that names the level to use. By default it is the highest that this processor has."""
_ONE_RANGE = struct.Struct("=3Q 8I 2I")
"""`fanin_range` of native.c."""
_SPARSE = struct.Struct("=10Q 4I")
"""`fanin_sparse` of native.h."""
_NO_KEYS = (0,) * 8
_FEW = 2
"""Most tensors that are filled faster one by one than through a table of all."""


class NativeBackend(Backend):
    """The backend in C. It uses vector instructions, and all CPUs that this process may use.

    All native backends share one pool of threads. An interrupt takes effect only when the C function returns.
    """

    name = "native"
    prompt_bytes = 64 << 10

    def __init__(
        self,
        level: str | None = None,
        threads: int | None = None,
        *,
        matrix_bytes: int = CACHE_BYTES,
        fill_threads: int | None = None,
    ) -> None:
        """Load the compiled kernels.

        Args:
            level: One of `LEVELS`. By default it is the environment's, or else the highest of this processor.
            threads: Most threads to use. By default it is one per CPU.
            matrix_bytes: Size of the cache of matrices.
            fill_threads: Most threads of one call that fills; by default `threads`. Matrices use `threads`.

        Raises:
            NotBuiltError: the package was installed without the kernels, or they belong to another version of it.
            BackendError: the level is unknown, or this processor does not have it.
        """
        # Through resources, because an editable installation has built files in another directory than the source.
        library = str(resources.files("fanin.backends").joinpath("_native.so"))
        try:
            kernels = ctypes.CDLL(library)
        except OSError as error:
            raise NotBuiltError(f"the native backend was not built with this package: {error}") from error
        if kernels.fanin_abi() != ABI:
            raise NotBuiltError(f"{library} belongs to another version of this package")
        self.levels = [name for number, name in enumerate(LEVELS) if kernels.fanin_has_level(number)]
        """Levels that this processor has, the simplest first."""
        self.level = level or os.environ.get(ENVIRONMENT) or self.levels[-1]
        """The level in use."""
        if self.level not in self.levels:
            raise BackendError(
                f"level {self.level!r} is unknown or not usable; this processor has {', '.join(self.levels)}"
            )
        self.threads = threads or min([os.cpu_count() or 1, *_quotas()])
        """Most threads in use, including the caller's. There is also at most one per CPU in its affinity mask."""
        self._fill_threads = fill_threads or self.threads
        self._level = LEVELS.index(self.level)
        self._packed: WeakKeyDictionary[Sequence[Tensor], PackedTensors] = WeakKeyDictionary()
        self._orthogonal = OrthogonalKernel(kernels, self._level, self.threads)
        self._codes = CodesKernel(kernels, self._level, self._fill_threads)
        super().__init__(matrix_bytes, self._orthogonal.group_bytes)
        self._clear_zeros = kernels.fanin_clear_zeros
        self._clear_zeros.restype = None
        self._clear_zeros.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        self._fill = kernels.fanin_fill
        self._fill.restype = None
        self._fill.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_int]
        # Without argtypes, a call takes a third of the time: the arguments must then have their types already.
        self._fill_one = kernels["fanin_fill"]
        self._fill_one.restype = None
        self._one = ctypes.c_uint64(1), ctypes.c_int(self._level), ctypes.c_int(self._fill_threads)
        """The arguments of a fill of one range that do not depend on the range."""

    def _fill_constant(self, draw: Fill, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:  # noqa: ARG002
        self._fill_range(draw, _NO_KEYS, dtype, 0, out)

    def _fill_plain(self, draw: Plain, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._fill_range(draw, keys(stream, dtype), dtype, first, out)

    def _fill_range(self, draw: Plain, words: Sequence[int], dtype: DType, first: int, out: memoryview) -> None:
        held = ctypes.c_char.from_buffer(out)
        block, skip = divmod(first, 4)
        count = len(out) // dtype.itemsize
        elements = _ONE_RANGE.pack(block, count, ctypes.addressof(held), *words, 0, skip)
        self._fill_one(source(draw, dtype.name), elements, *self._one)

    def filler(self, draw: Draw, dtype: DType) -> Filler:
        if not is_plain(draw, dtype):
            return super().filler(draw, dtype)
        call, pack, packed, constants = self._fill_one, _ONE_RANGE.pack, source(draw, dtype.name), self._one

        def fill(stream: Stream, count: int, address: int) -> None:
            if count:
                call(packed, pack(0, count, address, *keys(stream, dtype), 0, 0), *constants)

        return fill

    def _fill_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self.matrices.fill(self._orthogonal.begin, draw, stream, dtype, first, out)

    def clear_zeros(self, draw: Sparse, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        task = _SPARSE.pack(
            *(draw.size, *permutations.sides(draw.size), permutations.rounds(draw.size)),
            *(draw.inner, draw.zeros, first, len(out) // dtype.itemsize, dtype.itemsize),
            ctypes.addressof(ctypes.c_char.from_buffer(out)),
            *stream.key("sparse"),
        )
        self._clear_zeros(task, self._level, self.threads)

    def magnitudes(self, values: Floats, group: tuple[int, int]) -> tuple[Floats, Floats]:
        return self._codes.magnitudes(values, group)

    def codes(
        self, element: Element, values: Floats, group: tuple[int, int], divisors: Floats, zeros: Floats | None
    ) -> NDArray[np.uint8]:
        return self._codes.codes(element, values, group, divisors, zeros)

    def fill_runs(
        self,
        draw: Draw,
        stream: Stream,
        dtype: DType,
        firsts: NDArray[np.uint64],
        count: int,
        addresses: NDArray[np.uint64],
    ) -> None:
        if isinstance(draw, Orthogonal) and dtype.name not in CONVERTED and len(firsts) > 1:
            self.matrices.fill_runs(self._orthogonal.begin, draw, stream, dtype, firsts, count, addresses)
            return
        if not is_plain(draw, dtype):
            super().fill_runs(draw, stream, dtype, firsts, count, addresses)
            return
        ranges = np.zeros(len(firsts), RANGE)
        ranges["block"], ranges["skip"] = np.divmod(firsts, np.uint64(4))
        ranges["count"], ranges["out"] = count, addresses
        ranges["keys"] = keys(stream, dtype)
        self._fill(source(draw, dtype.name), ranges.ctypes.data, len(ranges), self._level, self._fill_threads)

    def fill_tensors(self, tensors: Sequence[Tensor], addresses: NDArray[np.uint64], first: int = 0) -> None:
        if len(addresses) <= _FEW:
            super().fill_tensors(tensors, addresses, first)
            return
        packed = self._packed.get(tensors)
        if packed is None:
            packed = self._packed[tensors] = PackedTensors.of(tensors)
        ranges = packed.ranges[first : first + len(addresses)].copy()
        ranges["out"] = addresses
        self._fill(packed.sources, ranges.ctypes.data, len(ranges), self._level, self._fill_threads)
        composed = packed.composed
        for place in composed[bisect_left(composed, first) : bisect_left(composed, first + len(addresses))]:
            self._fill_tensor(tensors[place], int(addresses[place - first]))


def _quotas(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """Return CPU seconds per second, rounded up, that each control group of this process allows (cgroups(7))."""
    try:
        groups = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:  # not Linux
        return
    for _, controllers, path in groups:
        if controllers == "":
            top, files = root, ["cpu.max"]
        elif "cpu" in controllers.split(","):
            top, files = root / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):  # the top group has no such file, and "max" is not a number
                quota, period = map(int, " ".join((folder / file).read_text() for file in files).split())
                if quota > 0:
                    yield math.ceil(quota / period)
            if folder == top:
                break
