"""The CUDA backend: the kernels of `csrc/cuda.cu` on an NVIDIA GPU, through CuPy.

Host memory is filled in slabs: while one slab is copied to the host and on into the caller's buffer, the next is
generated. Arrays on the GPU are filled in place, on CuPy's current stream.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from queue import LifoQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.backends import cuda_orthogonal
from fanin.backends.base import Backend
from fanin.backends.composed import Run, runs
from fanin.backends.matrices import CACHE_BYTES, Complete
from fanin.backends.packing import Distribution, keys, parameters
from fanin.backends.source import cuda_source
from fanin.draws import Draw, Normal, Orthogonal, Plain, Quantized
from fanin.dtypes import DTYPES, DType
from fanin.errors import BackendError, NoDeviceError, NotBuiltError
from fanin.streams import Stream

SLAB = 2 << 20
"""Bytes generated and copied at a time: long enough to hide a launch, short enough for a first copy to begin early."""
HOST = 64 << 20
"""Bytes of an array on the GPU that are generated in host memory at a time, if no kernel can generate them."""
LANES = 8
"""Host fills that the GPU works on at once; more wait. Each has two slabs, on the GPU and in pinned memory."""
THREADS = 256
"""Threads of a block."""
BLOCKS = 8
"""Blocks for each multiprocessor, at most: as many as keep it full. They stride over the rest."""
OPTIONS = ("-fmad=false",)
"""Options of the compiler. CuPy appends -ftz=true. The arithmetic is inline PTX, which neither option changes."""
_ALIGNMENT = 16
"""Bytes that a thread stores at a time."""
_WORDS = 4
"""Words of a Philox block."""
_BFLOAT16_SINCE = 14
"""CuPy's first version with ml_dtypes.bfloat16 (https://github.com/cupy/cupy/pull/9494); none has float8."""


class CudaBackend(Backend):
    """A backend on one GPU, which was CuPy's current device when the backend was created.

    Any number of threads and processes can use the GPU. A process that was forked from one of them cannot.
    """

    name = "cuda"
    supports_device_arrays = True

    def __init__(self, *, slab: int = SLAB, lanes: int = LANES, matrix_bytes: int = CACHE_BYTES) -> None:
        """Compile the kernels for the current device. CuPy caches the result on disk.

        Host fills allocate up to 2 * lanes * slab bytes on the GPU, and the same amount of pinned host memory.

        Raises:
            NotBuiltError: CuPy or its compiler is not installed.
            NoDeviceError: CuPy finds no usable GPU.
        """
        super().__init__(matrix_bytes)
        try:
            import cupy
        except ImportError as error:
            raise NotBuiltError(
                f"CuPy cannot be imported ({error}): in a checkout of Fanin, pip install '.[cuda12]' or '.[cuda13]'"
            ) from error
        runtime = cupy.cuda.runtime
        if runtime.is_hip:
            raise NoDeviceError("this CuPy is for AMD GPUs, for which the kernels have not been tested")
        try:
            if not runtime.getDeviceCount():
                raise NoDeviceError("no NVIDIA GPU is visible")
            self._device = runtime.getDevice()
            self._module = cupy.RawModule(code=cuda_source(), options=OPTIONS)
            with cupy.cuda.Device(self._device):
                self._module.get_function("fanin_normal_F32")
        except runtime.CUDARuntimeError as error:
            raise NoDeviceError(f"no usable NVIDIA GPU: {error}") from error
        except (RuntimeError, OSError, ImportError, cupy.cuda.compiler.CompileException) as error:
            raise NotBuiltError(f"CuPy cannot compile here: {error}") from error
        self._cupy: Any = cupy
        self._process = os.getpid()
        self._slab = max(slab // _ALIGNMENT, 1) * _ALIGNMENT
        self._kernels: dict[str, Any] = {}
        # Last in, first out, so that a lane is only created when all existing ones are in use.
        self._lanes: LifoQueue[_Lane | None] = LifoQueue()
        for _ in range(lanes):
            self._lanes.put(None)

    # ---- host memory ------------------------------------------------------------------------------------------------

    def _fill_plain(self, draw: Plain, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        """Write to host memory. The GPU writes to pinned memory (`cupyx.empty_pinned`) without another copy.

        Raises:
            BackendError: the GPU failed, or this process was forked from one that used it. `out` may be written in
                part. Nothing writes to it after this call.
        """
        target = np.frombuffer(out, np.uint8)
        with self._on(self._device), self._lane() as lane:
            pinned = self._is_pinned(target)
            copying: deque[tuple[_Slab, NDArray[np.uint8]]] = deque()
            for n, at in enumerate(range(0, len(target), self._slab)):
                if len(copying) == len(lane):
                    _collect(*copying.popleft(), pinned)
                slab, part = lane[n % len(lane)], target[at : at + self._slab]
                self._start(slab, draw, stream, dtype, first + at // dtype.itemsize, part, pinned)
                copying.append((slab, part))
            while copying:
                _collect(*copying.popleft(), pinned)

    def _start(
        self, slab: _Slab, draw: Plain, stream: Stream, dtype: DType, first: int, part: NDArray[np.uint8], pinned: bool
    ) -> None:
        """Start to generate elements, and to copy them to the slab's pinned memory, or to `part` if it is pinned."""
        # Offset so that Philox blocks begin at multiples of 16 bytes. The kernel then stores complete vectors.
        source = slab.device + first % _WORDS * dtype.itemsize
        with slab.stream:
            self._launch(draw, stream, dtype, first, len(part) // dtype.itemsize, source.ptr)
        source.copy_to_host_async(part.ctypes.data if pinned else slab.pinned.ptr, len(part), slab.stream)
        slab.copied.record(slab.stream)

    @contextmanager
    def _lane(self) -> Iterator[_Lane]:
        """Reserve a lane. On exit no work is in flight on its slabs, or on the memory that they are copied to."""
        lane, kept = self._lanes.get(), None
        try:
            if lane is None:
                lane = _Slab(self._cupy, self._slab), _Slab(self._cupy, self._slab)
            try:
                yield lane
                kept = lane
            finally:
                if kept is None:
                    _settle(lane)
        finally:
            self._lanes.put(kept)

    def _is_pinned(self, target: NDArray[np.uint8]) -> bool:
        """Return whether the GPU may write to the target: both of its ends are in memory that CUDA has pinned."""
        runtime, address = self._cupy.cuda.runtime, target.ctypes.data
        ends = (address, address + len(target) - 1)
        return all(runtime.pointerGetAttributes(end).type == runtime.memoryTypeHost for end in ends)

    def _fill_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        self.matrices.fill(self._begin_matrix, draw, stream, dtype, first, out)

    def _begin_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview) -> Complete:
        return Complete(lambda: self._make_matrix(draw, stream, dtype, out))

    def _make_matrix(self, draw: Orthogonal, stream: Stream, dtype: DType, out: memoryview) -> None:
        """Write a complete matrix, by way of GPU memory that is freed afterwards."""
        target, cuda = np.frombuffer(out, np.uint8), self._cupy.cuda

        def normals(plain: Normal, compute: DType, first: int, count: int, address: int) -> None:
            self._launch(plain, stream, compute, first, count, address)

        with self._on(self._device):
            made = cuda.MemoryPointer(cuda.Memory(len(target)), 0)
            memory = cuda.MemoryPointer(cuda.Memory(cuda_orthogonal.workspace(draw, dtype)), 0)
            own = cuda.Stream(non_blocking=True)
            try:
                with own:
                    cuda_orthogonal.make(draw, dtype, made.ptr, memory.ptr, normals, self._run)
                made.copy_to_host_async(target.ctypes.data, len(target), own)
            finally:
                own.synchronize()

    # ---- arrays on the GPU ------------------------------------------------------------------------------------------

    def empty(self, count: int, dtype: DType) -> Any:
        """A one-dimensional CuPy array on the current device.

        BF16 is `ml_dtypes.bfloat16` from CuPy 14 on. Where CuPy has no such type, elements are the unsigned integers
        of the same bits: uint16 for BF16 before, uint8 for F8.

        Raises:
            BackendError: as for `fill`.
        """
        with self._on():
            return self._cupy.empty(count, _array_type(self._cupy.__version__, dtype))

    def fill_array(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: Any) -> None:
        """Write elements [first, first + n) into `out`, a C-contiguous CuPy array of n * dtype.itemsize bytes.

        In order with other work of the current stream; returns before it is done.

        Raises:
            ValueError: `out` is not contiguous.
            BackendError: as for `fill`; a failure of the kernel itself shows when the stream is synchronized.
        """
        if not out.flags.c_contiguous:
            raise ValueError("the array must be C-contiguous")
        if not out.nbytes:
            return
        count, octets = out.nbytes // dtype.itemsize, out.reshape(-1).view(np.uint8)
        with self._on(out.device.id):
            # In host memory, because no kernel knows complex numbers, integers or codes, and the cache of matrices is
            # there.
            needs_host = dtype.name not in DTYPES or isinstance(draw, Orthogonal | Quantized)
            at = 0
            for run in [Run(None, 0, count)] if needs_host else runs(draw, first, count):
                if isinstance(run.draw, Plain):
                    address = out.data.ptr + at * dtype.itemsize
                    self._launch(run.draw, stream, dtype, first + at, run.length, address)
                else:
                    # The cache of matrices would hold one whose parts are requested.
                    most = run.length if isinstance(run.draw or draw, Orthogonal) else HOST // dtype.itemsize
                    for start in range(at, at + run.length, most):
                        length = min(most, at + run.length - start)
                        host = np.empty(length * dtype.itemsize, np.uint8)
                        self.fill(draw, stream, dtype, first + start, host.data)
                        octets[start * dtype.itemsize : (start + length) * dtype.itemsize].set(host)
                at += run.length

    # ---- both -------------------------------------------------------------------------------------------------------

    def _launch(self, draw: Plain, stream: Stream, dtype: DType, first: int, count: int, address: int) -> None:
        """Have the current stream of the current device write elements [first, first + count) to `address`."""
        distribution, numbers = parameters(draw, dtype.compute.name)
        words = np.array(keys(stream, dtype), np.uint32)
        block, skip = divmod(first, _WORDS)
        unit = max(_WORDS, _ALIGNMENT // dtype.itemsize)
        blocks = -(-(skip + count) // (unit * THREADS))
        most = BLOCKS * _multiprocessors(self._cupy, self._cupy.cuda.runtime.getDevice())
        # CuPy passes an array of one structure by value.
        values = np.frombuffer(bytes(numbers), f"V{ctypes.sizeof(numbers)}"), words.view(f"V{words.nbytes}")
        self._kernel(f"fanin_{_KERNELS[distribution]}_{dtype.name}")(
            (min(blocks, most),),
            (THREADS,),
            (*values, np.uint64(block), np.uint32(skip), np.uint64(count), np.uint64(address)),
        )

    def _run(self, name: str, threads: int, structure: NDArray[Any]) -> None:
        """Start a kernel in the current stream for `threads` outputs. It gets the structure by value."""
        most = BLOCKS * _multiprocessors(self._cupy, self._cupy.cuda.runtime.getDevice())
        value = structure.view(f"V{structure.nbytes}")
        self._kernel(name)((min(-(-threads // THREADS), most),), (THREADS,), (value,))

    def _kernel(self, name: str) -> Any:
        if name not in self._kernels:
            self._kernels[name] = self._module.get_function(name)
        return self._kernels[name]

    @contextmanager
    def _on(self, device: int | None = None) -> Iterator[None]:
        """Run on this device, or on the current one, and convert CuPy's errors to `BackendError`."""
        if os.getpid() != self._process:
            raise BackendError(
                "this process was forked from one that uses the GPU, and CUDA does not survive that: start processes"
                " by the method 'spawn', or use the GPU in the children only"
            )
        cupy = self._cupy
        try:
            # A new object for each use. It stores the device to return to, so threads cannot share one.
            with cupy.cuda.Device(device):
                yield
        except (RuntimeError, MemoryError, cupy.cuda.compiler.CompileException) as error:
            raise BackendError(f"the GPU failed: {error}") from error


_KERNELS = {
    Distribution.UNIFORM: "uniform",
    Distribution.NORMAL: "normal",
    Distribution.TRUNCATED: "normal",
    Distribution.CONSTANT: "constant",
}


class _Slab:
    """Memory on the GPU, pinned memory for its copy, and the stream in which both are used.

    Memory straight from CUDA, not from CuPy's pool: what that gives may still be in use by an earlier stream.
    """

    def __init__(self, cupy: Any, size: int) -> None:
        cuda = cupy.cuda
        self.stream = cuda.Stream(non_blocking=True)
        self.copied = cuda.Event(block=True, disable_timing=True)
        self.device = cuda.MemoryPointer(cuda.Memory(size + _WORDS * DTYPES["F64"].itemsize), 0)
        self.pinned = cuda.alloc_pinned_memory(size)
        self.host = np.frombuffer(self.pinned, np.uint8, size)


_Lane = tuple[_Slab, _Slab]


def _collect(slab: _Slab, part: NDArray[np.uint8], pinned: bool) -> None:
    """Wait for the slab's copy, and copy it on to `part` unless that is pinned memory."""
    slab.copied.synchronize()
    if not pinned:
        part[:] = slab.host[: len(part)]


def _settle(lane: _Lane) -> None:
    """Wait for all work of a lane. It could still write to memory of the caller."""
    for slab in lane:
        with suppress(RuntimeError):  # a GPU that has failed does no more work
            slab.stream.synchronize()


def _array_type(version: str, dtype: DType) -> np.dtype[Any]:
    has_bfloat16 = int(version.partition(".")[0]) >= _BFLOAT16_SINCE
    of_numpy = dtype.is_integer or dtype.name in ("F64", "F32", "F16")
    known = of_numpy or (dtype.name == "BF16" and has_bfloat16)
    return np.dtype(dtype.numpy if known else f"<u{dtype.itemsize}")


@lru_cache
def _multiprocessors(cupy: Any, device: int) -> int:
    count: int = cupy.cuda.Device(device).attributes["MultiProcessorCount"]
    return count
