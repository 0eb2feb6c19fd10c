"""Measure how fast a GPU generates elements, beside its own limits, torch.cuda and cuRAND.

    python -m tests.gpu.bench device|host [--elements N] [--repeats N] [--seconds S]

Prints a line of JSON for each case as soon as it is measured. `device`: memory on the GPU, timed by CUDA events, beside
setting the same bytes to zero. `host`: fills of pinned and of ordinary memory, beside a plain pinned copy. A value of
`seconds` is one turn of all makers of the case (fanin_lab/bench/pairs.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fanin.backends.cuda import CudaBackend
from fanin.file.layout import Entry, FileLayout
from fanin_lab.bench import pairs

DISTRIBUTIONS = {
    "uniform": {"scheme": "uniform", "low": -0.02, "high": 0.02},
    "normal": {"scheme": "normal", "std": 0.02},
    "truncated": {"scheme": "truncated_normal", "std": 0.02},
}
DTYPES = ("F32", "BF16", "F16", "F8_E4M3", "F64")
"""The first two have targets, so they come first."""
PHILOX = 161
"""CURAND_RNG_PSEUDO_PHILOX4_32_10, the generator of torch.cuda and of Fanin."""
Work = Callable[[], object]


def entry_of(dist: str, dtype: str, count: int) -> Entry:
    return FileLayout.of({"shape": [count], "dtype": dtype, **DISTRIBUTIONS[dist]}).entries[0]


def timed_by_events(cupy: Any, work: Work) -> Callable[[], float]:
    """Return a function that runs the work on the current stream and returns the seconds that the GPU took.

    The GPU works on a first call while the CPU prepares the second, which is measured: launching it takes no time then.
    """

    def run() -> float:
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        work()
        start.record()
        work()
        stop.record()
        stop.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, stop)) / 1e3

    return run


def torch_fills(cupy: Any, array: Any, dtype: str) -> dict[str, Work]:
    """Return the calls of torch.cuda for each distribution, on the same memory and stream, if it has the type."""
    import torch

    types = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64}
    if not torch.cuda.is_available():
        raise RuntimeError("this torch has no CUDA")
    if dtype not in types:
        return {}
    tensor = torch.from_dlpack(array.view(f"<u{array.dtype.itemsize}")).view(types[dtype])
    stream = torch.cuda.ExternalStream(cupy.cuda.get_current_stream().ptr)
    if stream.cuda_stream != cupy.cuda.get_current_stream().ptr:
        raise RuntimeError("torch does not use CuPy's stream, so its time would not be measured")

    def on_the_stream(work: Work) -> Work:
        def run() -> None:
            with torch.cuda.stream(stream):
                work()

        return run

    return {
        "uniform": on_the_stream(lambda: tensor.uniform_(-0.02, 0.02)),
        "normal": on_the_stream(lambda: tensor.normal_(0, 0.02)),
        "truncated": on_the_stream(lambda: torch.nn.init.trunc_normal_(tensor, std=0.02, a=-0.04, b=0.04)),
    }


def curand_fills(cupy: Any, array: Any, dtype: str) -> dict[str, Work]:
    """Return the calls of cuRAND for each distribution that it has, on the same memory and stream."""
    if dtype not in ("F32", "F64"):
        return {}
    from cupy.cuda import curand

    generator = curand.createGenerator(PHILOX)
    curand.setStream(generator, cupy.cuda.get_current_stream().ptr)
    end = "Double" if dtype == "F64" else ""
    uniform, normal = getattr(curand, f"generateUniform{end}"), getattr(curand, f"generateNormal{end}")
    return {
        "uniform": lambda: uniform(generator, array.data.ptr, array.size),
        "normal": lambda: normal(generator, array.data.ptr, array.size, 0.0, 0.02),
    }


PEERS: dict[str, Callable[[Any, Any, str], dict[str, Work]]] = {"torch.cuda": torch_fills, "cuRAND": curand_fills}


def on_the_device(cupy: Any, backend: CudaBackend, count: int, repeats: int, until: float) -> None:
    """Print a line for each type and distribution."""
    missing: set[str] = set()
    for dtype in DTYPES:
        array = backend.empty(count, entry_of("uniform", dtype, count).dtype)
        peers: dict[str, dict[str, Work]] = {}
        for name, fills in PEERS.items():
            try:
                peers[name] = fills(cupy, array, dtype)
            except Exception as error:  # a peer that is missing or fails must not end the run
                if name not in missing:
                    tell({"not measured": name, "reason": f"{type(error).__name__}: {error}"})
                missing.add(name)
        for dist in DISTRIBUTIONS:
            entry = entry_of(dist, dtype, count)
            works: dict[str, Work] = {
                "set to zero": partial(array.data.memset_async, 0, array.nbytes),
                "fanin": partial(backend.fill_array, entry.draw, entry.stream, entry.dtype, 0, array),
                **{name: by_distribution[dist] for name, by_distribution in peers.items() if dist in by_distribution},
            }
            timed = {name: timed_by_events(cupy, work) for name, work in works.items()}
            report(dist, dtype, count, timed, repeats, until)


def to_the_host(cupy: Any, backend: CudaBackend, count: int, repeats: int, until: float) -> None:
    """Print a line for each case."""
    import cupyx

    for dist, dtype in (("normal", "F32"), ("normal", "BF16"), ("uniform", "F32")):
        entry = entry_of(dist, dtype, count)
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

        cupy.cuda.runtime.deviceSynchronize()
        works = {"a pinned copy": copy, "fanin, pinned": fill(pinned), "fanin, ordinary": fill(plain)}
        report(dist, dtype, count, {name: pairs.timed(work) for name, work in works.items()}, repeats, until)


def report(
    dist: str, dtype: str, count: int, works: dict[str, Callable[[], float]], repeats: int, until: float
) -> None:
    """Measure the works of a case in turns and print them."""
    for name, seconds in pairs.in_turns(works, repeats, until).items():
        tell({"distribution": dist, "dtype": dtype, "maker": name, "elements": count, "seconds": seconds})


def tell(row: dict[str, Any]) -> None:
    """Print a row at once, so that a run that is stopped keeps it."""
    print(json.dumps(row), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("device", "host"))
    parser.add_argument("--elements", type=int, default=1 << 28, help="of each array; halved until it fits")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=60, help="after this, only 5 turns of each case")
    options = parser.parse_args()
    import cupy

    backend, count = CudaBackend(), options.elements
    while count * 8 * 2 > cupy.cuda.runtime.memGetInfo()[0]:
        count //= 2
    limits = options.repeats, time.monotonic() + options.seconds
    if options.what == "host":
        to_the_host(cupy, backend, count, *limits)
        return 0
    # Not the null stream, in place of which torch.cuda.ExternalStream(0) takes another (pytorch/pytorch#182960).
    with cupy.cuda.Stream(non_blocking=True):
        on_the_device(cupy, backend, count, *limits)
    return 0


if __name__ == "__main__":
    sys.exit(main())
