"""The native backend: the C kernels, called through ctypes (which lets go of the GIL)."""

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
from fanin.backends.base import Backend, Tensor
from fanin.backends.matrices import CACHE_BYTES
from fanin.backends.native_orthogonal import OrthogonalKernel
from fanin.backends.packing import RANGE, PackedTensors, keys, law
from fanin.draws import Draw, Fill, Orthogonal, Plain, Sparse, is_plain
from fanin.dtypes import DType
from fanin.errors import BackendError, NotBuiltError
from fanin.streams import Stream

ABI = 5
LEVELS = ("baseline", "avx2", "avx512")
"""Levels of instructions, the plainest first; all make the same bits."""
ENVIRONMENT = "FANIN_SIMD"
"""Environment variable that names the level to use; by default the highest that this processor has."""
_ONE_RANGE = struct.Struct("=3Q 8I 2I")
_SPARSE = struct.Struct("=9Q 4I")
"""`fanin_sparse` of native.c."""
_NO_KEYS = (0,) * 8
_FEW = 2
"""Tensors that are filled faster one by one than through a table of all."""


class NativeBackend(Backend):
    """C, in vectors where the processor has them, on every CPU this process may use.

    Its threads are kept, each on its CPU. They take no signal and run no Python: an interrupt waits for them.
    """

    name = "native"
    prompt_bytes = 64 << 10

    def __init__(
        self, level: str | None = None, threads: int | None = None, *, matrix_bytes: int = CACHE_BYTES
    ) -> None:
        """Load the compiled kernels; `level` is one of `LEVELS`, `threads` how many to use, by default one a CPU.

        Raises:
            BackendError: the package was installed without them, or they belong to another version of it, or the
                level asked for, here or by the environment, is unknown or not one of this processor.
        """
        super().__init__(matrix_bytes)
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
        self.threads = threads or min([os.cpu_count() or 1, *_quotas()])
        """Most threads in use, the caller's among them; the CPUs in the caller's affinity mask have one each."""
        self._level = LEVELS.index(self.level)
        self._packed: WeakKeyDictionary[Sequence[Tensor], PackedTensors] = WeakKeyDictionary()
        self._orthogonal = OrthogonalKernel(kernels, self._level, self.threads)
        self._mark_zeros = kernels.fanin_mark_zeros
        self._mark_zeros.restype, self._mark_zeros.argtypes = None, [ctypes.c_void_p, ctypes.c_int]
        self._fill = kernels.fanin_fill
        self._fill.restype = None
        self._fill.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int, ctypes.c_int]

    def _fill_constant(self, draw: Fill, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:  # noqa: ARG002
        self._fill_range(draw, _NO_KEYS, dtype, 0, out)

    def _fill_plain(self, draw: Plain, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self._fill_range(draw, keys(stream, dtype), dtype, first, out)

    def _fill_range(self, draw: Plain, words: Sequence[int], dtype: DType, first: int, out: memoryview) -> None:
        held = ctypes.c_char.from_buffer(out)
        block, skip = divmod(first, 4)
        count = len(out) // dtype.itemsize
        elements = _ONE_RANGE.pack(block, count, ctypes.addressof(held), *words, 0, skip)
        self._fill(law(draw, dtype.name), elements, 1, self._level, self.threads)

    def _make_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview) -> None:
        self._orthogonal.make(draw, stream, dtype, out)

    def zeros(self, draw: Sparse, stream: Stream, positions: NDArray[np.uint64]) -> NDArray[np.bool_]:
        is_zero = np.empty(len(positions), np.bool_)
        places = np.ascontiguousarray(positions)
        task = _SPARSE.pack(
            *(draw.size, *permutations.sides(draw.size), permutations.rounds(draw.size)),
            *(draw.inner, draw.zeros, len(places), places.ctypes.data, is_zero.ctypes.data),
            *stream.key("sparse"),
        )
        self._mark_zeros(task, self.threads)
        return is_zero

    def fill_runs(
        self,
        draw: Draw,
        stream: Stream,
        dtype: DType,
        firsts: NDArray[np.uint64],
        count: int,
        addresses: NDArray[np.uint64],
    ) -> None:
        if not is_plain(draw, dtype):
            super().fill_runs(draw, stream, dtype, firsts, count, addresses)
            return
        ranges = np.zeros(len(firsts), RANGE)
        ranges["block"], ranges["skip"] = np.divmod(firsts, np.uint64(4))
        ranges["count"], ranges["out"] = count, addresses
        ranges["keys"] = keys(stream, dtype)
        self._fill(law(draw, dtype.name), ranges.ctypes.data, len(ranges), self._level, self.threads)

    def fill_tensors(self, tensors: Sequence[Tensor], addresses: NDArray[np.uint64], first: int = 0) -> None:
        if len(addresses) <= _FEW:
            super().fill_tensors(tensors, addresses, first)
            return
        packed = self._packed.get(tensors)
        if packed is None:
            packed = self._packed[tensors] = PackedTensors.of(tensors)
        ranges = packed.ranges[first : first + len(addresses)].copy()
        ranges["out"] = addresses
        self._fill(packed.laws, ranges.ctypes.data, len(ranges), self._level, self.threads)
        composed = packed.composed
        for place in composed[bisect_left(composed, first) : bisect_left(composed, first + len(addresses))]:
            self._fill_tensor(tensors[place], int(addresses[place - first]))


def _quotas(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[int]:
    """CPUs that the control groups this process is in, from its own up, allow each second, rounded up (cgroups(7))."""
    try:
        groups = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:  # no Linux
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
            with suppress(OSError, ValueError):  # the top has no such file, and "max" is no number
                quota, period = map(int, " ".join((folder / file).read_text() for file in files).split())
                if quota > 0:
                    yield math.ceil(quota / period)
            if folder == top:
                break
