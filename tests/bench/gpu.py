"""How fast a GPU makes elements, beside its own ceilings and torch.cuda.

    python tests/bench/gpu.py [--elements N] [--repeats N]

On the device: billions of elements a second into memory that is there, the median of interleaved repeats timed by CUDA
events, and each as a share of the rate at which the same bytes are set to zero. To the host: GB/s of a plain pinned
copy, and of our fills of pinned and of ordinary memory. Without a GPU it prints a line that says so.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import fanin
from fanin.backends.cuda import CudaBackend
from fanin.file_layout import Entry, FileLayout

DISTRIBUTIONS = {
    "uniform": {"scheme": "uniform", "low": -0.02, "high": 0.02},
    "normal": {"scheme": "normal", "std": 0.02},
    "truncated +-2": {"scheme": "truncated_normal", "std": 0.02},
}
DTYPES = ("F32", "BF16", "F16", "F8_E4M3", "F64")
Work = Callable[[], object]


def entry_of(distribution: str, dtype: str, count: int) -> Entry:
    return FileLayout.of({"shape": [count], "dtype": dtype, **DISTRIBUTIONS[distribution]}).entries[0]


def device_seconds(cupy: Any, works: dict[str, Work], repeats: int) -> dict[str, float]:
    """Median seconds of each on the device, interleaved; the first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            start, stop = cupy.cuda.Event(), cupy.cuda.Event()
            start.record()
            work()
            stop.record()
            stop.synchronize()
            if turn:
                times[name].append(cupy.cuda.get_elapsed_time(start, stop) / 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def host_seconds(works: dict[str, Work], repeats: int) -> dict[str, float]:
    """Median seconds of each by the clock, interleaved; the first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def torch_fills(cupy: Any, array: Any, dtype: str) -> dict[str, Callable[[str], Work | None]]:
    """torch.cuda on the same memory and stream, where it is there and has the type."""
    try:
        import torch
    except ImportError:
        return {}
    types = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64}
    if dtype not in types or not torch.cuda.is_available():
        return {}
    tensor = torch.from_dlpack(array.view(f"<u{array.dtype.itemsize}")).view(types[dtype])
    stream = torch.cuda.ExternalStream(cupy.cuda.get_current_stream().ptr)

    def on_the_stream(work: Work) -> Work:
        def run() -> None:
            with torch.cuda.stream(stream):
                work()

        return run

    works: dict[str, Work] = {
        "uniform": on_the_stream(lambda: tensor.uniform_(-0.02, 0.02)),
        "normal": on_the_stream(lambda: tensor.normal_(0, 0.02)),
        "truncated +-2": on_the_stream(lambda: torch.nn.init.trunc_normal_(tensor, std=0.02, a=-0.04, b=0.04)),
    }
    return {"torch.cuda": works.get}


def on_the_device(cupy: Any, backend: CudaBackend, count: int, repeats: int) -> None:
    print("| distribution | type | maker | G elements/s | GB/s | of setting to zero |\n|---|---|---|---|---|---|")
    for dtype in DTYPES:
        array = backend.empty(count, entry_of("uniform", dtype, count).dtype)
        peers = torch_fills(cupy, array, dtype)
        for distribution in DISTRIBUTIONS:
            entry = entry_of(distribution, dtype, count)

            def fill(entry: Entry = entry, array: Any = array) -> None:
                backend.fill_array(entry.draw, entry.stream, entry.dtype, 0, array)

            works: dict[str, Work] = {
                "set to zero": lambda array=array: array.data.memset_async(0, array.nbytes),  # type: ignore[misc]
                "fanin": fill,
                **{name: work for name, by_distribution in peers.items() if (work := by_distribution(distribution))},
            }
            seconds = device_seconds(cupy, works, repeats)
            for name, took in seconds.items():
                rate, share = array.nbytes / took / 1e9, seconds["set to zero"] / took
                print(f"| {distribution} | {dtype} | {name} | {count / took / 1e9:.1f} | {rate:.0f} | {share:.2f} |")


def to_the_host(cupy: Any, backend: CudaBackend, count: int, repeats: int) -> None:
    import cupyx

    print("\n| distribution | type | into | GB/s | of a pinned copy |\n|---|---|---|---|---|")
    for distribution, dtype in (("normal", "F32"), ("normal", "BF16"), ("uniform", "F32")):
        entry = entry_of(distribution, dtype, count)
        source = backend.empty(count, entry.dtype)
        backend.fill_array(entry.draw, entry.stream, entry.dtype, 0, source)
        pinned = cupyx.empty_pinned(source.nbytes, np.uint8)
        plain = np.zeros(source.nbytes, np.uint8)
        stream = cupy.cuda.Stream(non_blocking=True)

        def copy(source: Any = source, pinned: Any = pinned, stream: Any = stream) -> None:
            source.data.copy_to_host_async(pinned.ctypes.data, source.nbytes, stream)
            stream.synchronize()

        def fill(out: Any, entry: Entry = entry) -> Work:
            return lambda: backend.fill(entry.draw, entry.stream, entry.dtype, 0, out.data)

        works = {"a pinned copy": copy, "fanin, pinned": fill(pinned), "fanin, ordinary": fill(plain)}
        cupy.cuda.runtime.deviceSynchronize()
        seconds = host_seconds(works, repeats)
        for name, took in seconds.items():
            rate, share = source.nbytes / took / 1e9, seconds["a pinned copy"] / took
            print(f"| {distribution} | {dtype} | {name} | {rate:.1f} | {share:.2f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=1 << 28)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    try:
        backend = CudaBackend()
    except fanin.BackendError as error:
        print(f"no GPU to measure: {error}")
        return 1
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
    print(f"{properties['name'].decode()}, CUDA {cupy.cuda.runtime.runtimeGetVersion()}, CuPy {cupy.__version__}")
    print(f"fanin {fanin.__version__}, {options.elements} elements, {options.repeats} repeats\n")
    on_the_device(cupy, backend, options.elements, options.repeats)
    to_the_host(cupy, backend, options.elements, options.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
