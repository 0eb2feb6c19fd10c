"""The part of CuPy that the CUDA backend uses, on the CPU, as adverse as CUDA may be.

Kernels are compiled as C and run thread by thread, blocks and threads last to first; shared and device memory are
poisoned and fenced. Streams are queues; the `Pace` decides how far one advances beyond the last wait. So
a copy that is read before it was waited for, or a slab that is written before it was read, gives wrong bytes.
"""

from __future__ import annotations

import ctypes
import hashlib
import random
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fanin.backends.cuda import CudaBackend

Pace = Literal["eager", "lazy", "random"]
"""Work is done immediately, only when something waits for it, or in random portions."""
POISON = 0xA5
FENCE = 256
"""Bytes on either side of device memory that nothing may change; and its alignment, as CUDA's."""
MULTIPROCESSORS = 2

BEFORE = """
#include <ucontext.h>
#define __global__
#define __device__
#define __shared__
#define __forceinline__ inline
#define __align__(n) __attribute__((aligned(n)))
static struct { unsigned x; } gridDim, blockDim, blockIdx, threadIdx;
static ucontext_t scheduler, context[64];
static char stack[64][1 << 16];
static void wait_for_all(void) { swapcontext(&context[threadIdx.x], &scheduler); }
#define __syncthreads() wait_for_all()
"""
AFTER = """
typedef void kernel_function(fanin_draw, fanin_keys, uint64_t, uint32_t, uint64_t, void *);
static struct {
    kernel_function *kernel;
    fanin_draw draw;
    fanin_keys keys;
    uint64_t block, count;
    uint32_t skip;
    void *out;
} call;
static int has_ended[64];
static void be_thread(void)
{
    call.kernel(call.draw, call.keys, call.block, call.skip, call.count, call.out);
    has_ended[threadIdx.x] = 1;
}
static struct {
    void (*kernel)(fanin_task);
    fanin_task task;
} task_call;
static void be_task_thread(void)
{
    task_call.kernel(task_call.task);
    has_ended[threadIdx.x] = 1;
}
static void run(void (*thread)(void), unsigned blocks, unsigned threads);
void launch(kernel_function *kernel, unsigned blocks, unsigned threads, const fanin_draw *draw, const fanin_keys *keys,
            uint64_t block, uint32_t skip, uint64_t count, void *out)
{
    call.kernel = kernel, call.draw = *draw, call.keys = *keys;
    call.block = block, call.skip = skip, call.count = count, call.out = out;
    run(be_thread, blocks, threads);
}
void launch_task(void (*kernel)(fanin_task), unsigned blocks, unsigned threads, const fanin_task *task)
{
    task_call.kernel = kernel, task_call.task = *task;
    run(be_task_thread, blocks, threads);
}
static void run(void (*thread)(void), unsigned blocks, unsigned threads)
{
    gridDim.x = blocks, blockDim.x = threads;
    for (blockIdx.x = blocks; blockIdx.x-- > 0;) {
        memset(fanin_near_f32, 0xA5, sizeof fanin_near_f32);
        memset(fanin_near_f64, 0xA5, sizeof fanin_near_f64);
        for (unsigned t = 0; t < threads; t++) {
            getcontext(&context[t]);
            context[t].uc_stack.ss_sp = stack[t], context[t].uc_stack.ss_size = sizeof stack[t];
            context[t].uc_link = &scheduler;
            makecontext(&context[t], thread, 0);
            has_ended[t] = 0;
        }
        for (unsigned left = threads; left;) /* every round is up to the next barrier */
            for (unsigned t = threads; t-- > 0;)
                if (!has_ended[t]) threadIdx.x = t, swapcontext(&scheduler, &context[t]), left -= has_ended[t];
    }
}
"""
FLAGS = ("-std=gnu99", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")


class CUDARuntimeError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class CompileException(Exception):  # noqa: N818  (CuPy's name)
    pass


class FakeCuPy:
    """In place of the module `cupy`."""

    def __init__(self, folder: Path, pace: Pace = "eager", *, version: str = "14.0.0", gpus: int = 1) -> None:
        self.__version__ = version
        self._folder, self._pace = folder, pace
        self._random = random.Random(1)
        self._lock = threading.RLock()
        self._local = threading.local()
        self._streams: list[Stream] = []
        self._allocations: list[NDArray[np.uint8]] = []
        self._null = Stream(self)
        self.allocated = 0
        """Bytes of device and of pinned memory that cuda.Memory and cuda.alloc_pinned_memory ever allocated."""
        self.launches: list[str] = []
        self.failing: Callable[[str], bool] = lambda operation: False
        """Returns whether an operation, "launch" or "copy", fails."""
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                is_hip=False,
                memoryTypeHost=1,
                CUDARuntimeError=CUDARuntimeError,
                getDeviceCount=lambda: gpus,
                getDevice=lambda: 0,
                pointerGetAttributes=self._attributes,
            ),
            compiler=SimpleNamespace(CompileException=CompileException),
            Device=lambda device=None: Device(0 if device is None else device),
            Stream=lambda *, non_blocking: Stream(self),
            ExternalStream=lambda pointer, device: self._null,
            Event=lambda *, block, disable_timing: Event(self),
            Memory=self._memory,
            MemoryPointer=lambda memory, offset: MemoryPointer(self, memory, offset),
            alloc_pinned_memory=self._pinned,
        )
        self._pinned_ranges: list[range] = []

    def RawModule(self, *, code: str, options: tuple[str, ...]) -> RawModule:  # noqa: N802
        return RawModule(self, code)

    def empty(self, count: int, dtype: np.dtype[Any]) -> Array:
        return Array(self, self._allocate(count * dtype.itemsize).view(dtype))

    def from_dlpack(self, memory: Any) -> Array:
        """Memory of others, which the GPU is said to have."""
        return Array(self, np.from_dlpack(memory))

    def pinned_empty(self, count: int) -> NDArray[np.uint8]:
        """In place of cupyx.empty_pinned."""
        return self._pinned(count)

    @property
    def busy(self) -> bool:
        """Return whether any stream has work to do."""
        return any(stream.queue for stream in self._streams)

    def check_fences(self) -> None:
        """Nothing was written beside any allocation."""
        for memory in self._allocations:
            assert (memory[:FENCE] == POISON).all()
            assert (memory[-FENCE:] == POISON).all()

    def _current(self) -> Stream:
        stack = getattr(self._local, "streams", [])
        return stack[-1] if stack else self._null

    def _progress(self) -> None:
        """Let streams come as far as they like."""
        if self._pace == "lazy":
            return
        for stream in self._random.sample(self._streams, len(self._streams)):
            stream.run(len(stream.queue) if self._pace == "eager" else self._random.randint(0, len(stream.queue)))

    def _allocate(self, size: int) -> NDArray[np.uint8]:
        room = np.full(size + 3 * FENCE, POISON, np.uint8)
        start = -room.ctypes.data % FENCE
        memory = room[start : start + size + 2 * FENCE]
        self._allocations.append(memory)
        return memory[FENCE : FENCE + size]

    def _memory(self, size: int) -> NDArray[np.uint8]:
        self.allocated += size
        return self._allocate(size)

    def _pinned(self, size: int) -> Pinned:
        self.allocated += size
        memory = self._allocate(size).view(Pinned)
        self._pinned_ranges.append(range(memory.ctypes.data, memory.ctypes.data + size))
        return memory

    def _attributes(self, address: int) -> SimpleNamespace:
        return SimpleNamespace(type=int(any(address in part for part in self._pinned_ranges)))


class Device:
    def __init__(self, number: int) -> None:
        self.id = number
        self.attributes = {"MultiProcessorCount": MULTIPROCESSORS}

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


class Stream:
    def __init__(self, fake: FakeCuPy) -> None:
        self._fake = fake
        self.queue: list[Callable[[], None]] = []
        fake._streams.append(self)

    def __enter__(self) -> None:
        self._fake._local.streams = [*getattr(self._fake._local, "streams", []), self]

    def __exit__(self, *error: object) -> None:
        self._fake._local.streams.pop()

    def synchronize(self) -> None:
        with self._fake._lock:
            self.run(len(self.queue))
            self._fake._progress()

    def add(self, operation: Callable[[], None]) -> None:
        with self._fake._lock:
            self.queue.append(operation)
            self._fake._progress()

    def run(self, count: int) -> None:
        for _ in range(count):
            self.queue.pop(0)()


class Event:
    def __init__(self, fake: FakeCuPy) -> None:
        self._fake = fake
        self._stream, self._is_done = fake._null, True

    def record(self, stream: Stream) -> None:
        mark = self._mark = object()
        self._stream, self._is_done = stream, False

        def reach() -> None:
            self._is_done = self._is_done or self._mark is mark

        stream.add(reach)

    def synchronize(self) -> None:
        with self._fake._lock:
            while not self._is_done:
                self._stream.run(1)
            self._fake._progress()


class Pinned(np.ndarray[Any, np.dtype[np.uint8]]):
    @property
    def ptr(self) -> int:
        return self.ctypes.data


class MemoryPointer:
    def __init__(self, fake: FakeCuPy, memory: NDArray[np.uint8], offset: int) -> None:
        self._fake, self._memory, self._offset = fake, memory, offset
        self.ptr = memory.ctypes.data + offset

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self._fake, self._memory, self._offset + offset)

    def copy_to_host_async(self, address: int, size: int, stream: Stream) -> None:
        if self._fake.failing("copy"):
            raise CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")
        source = self._memory[self._offset : self._offset + size]
        assert len(source) == size
        stream.add(lambda: ctypes.memmove(address, source.ctypes.data, size) and None)


class RawModule:
    def __init__(self, fake: FakeCuPy, code: str) -> None:
        self._fake = fake
        library = fake._folder / f"{hashlib.sha256(code.encode()).hexdigest()[:16]}.so"
        if not library.exists():
            source = library.with_suffix(".c")
            # As C: a test machine need not have a C++ compiler.
            source.write_text(BEFORE + code.replace('extern "C" ', "") + AFTER, "ascii")
            subprocess.run(["gcc", *FLAGS, source, "-o", library, "-lm"], check=True)
        self._library = ctypes.CDLL(str(library))
        self._library.launch.restype = None

    def get_function(self, name: str) -> Callable[..., None]:
        kernel = getattr(self._library, name)

        def call(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...]) -> None:
            if self._fake.failing("launch"):
                raise CUDARuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error encountered")
            assert 0 < grid[0] < 2**31
            if len(arguments) == 1:
                task = bytes(arguments[0])  # copied now: the caller changes it later
                self._fake.launches.append(name)
                self._fake._current().add(lambda: self._library.launch_task(kernel, grid[0], block[0], task))
                return
            draw, keys, first, skip, count, out = arguments
            assert (draw.size, draw.nbytes, keys.size, keys.nbytes) == (1, 112, 1, 32)
            assert [type(n) for n in arguments[2:]] == [np.uint64, np.uint32, np.uint64, np.uint64]
            # The arguments are taken when the kernel is launched, not when it runs.
            structures = bytes(draw), bytes(keys)
            rest = (ctypes.c_uint64(first), ctypes.c_uint32(skip), ctypes.c_uint64(count), ctypes.c_void_p(int(out)))
            self._fake.launches.append(name)
            self._fake._current().add(lambda: self._library.launch(kernel, grid[0], block[0], *structures, *rest))

        return call


class Array:
    """A CuPy array of the null stream, or of the one that is current when it is written."""

    def __init__(self, fake: FakeCuPy, memory: NDArray[Any]) -> None:
        self._fake, self._memory = fake, memory
        self.dtype, self.shape, self.nbytes = memory.dtype, memory.shape, memory.nbytes
        self.flags = SimpleNamespace(c_contiguous=memory.flags.c_contiguous)
        self.data = SimpleNamespace(ptr=memory.ctypes.data)
        self.device = Device(0)

    def __len__(self) -> int:
        return len(self._memory)

    def __getitem__(self, index: slice) -> Array:
        return Array(self._fake, self._memory[index])

    def __setitem__(self, index: slice, value: Array) -> None:
        target, source = self._memory[index], value._memory

        def copy() -> None:
            target[...] = source

        self._fake._current().add(copy)

    def reshape(self, shape: int | tuple[int, ...]) -> Array:
        return Array(self._fake, self._memory.reshape(shape))

    def view(self, dtype: Any) -> Array:
        return Array(self._fake, self._memory.view(dtype))

    def set(self, value: NDArray[Any]) -> None:
        """As CuPy's from pageable memory: the value is taken before it returns."""
        assert (value.dtype, value.shape) == (self.dtype, self.shape)
        target, taken = self._memory, value.copy()

        def copy() -> None:
            target[...] = taken

        self._fake._current().add(copy)

    def get(self) -> NDArray[Any]:
        self._fake._current().synchronize()
        return self._memory.copy()


Make = Callable[..., tuple[FakeCuPy, CudaBackend]]
"""Makes a backend and the GPU that it is on."""
