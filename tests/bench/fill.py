"""How fast elements are made: the native backend at each level, one thread and all, beside torch and NumPy.

    python tests/bench/fill.py [--elements N] [--repeats N]

Nanoseconds an element, the median of interleaved repeats into memory that has been touched, and each as a multiple of
the best of Fanin on one thread for that law. Quote ratios of one run; absolute times are this machine's, now.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import fanin
from fanin.backends import native
from fanin.backends.native import NativeBackend
from fanin.layout import Layout

LAWS = {
    "uniform": {"scheme": "uniform", "low": -0.02, "high": 0.02},
    "normal": {"scheme": "normal", "std": 0.02},
    "truncated +-2": {"scheme": "truncated_normal", "std": 0.02},
    "ones": {"scheme": "ones"},
}
DTYPES = ("F32", "BF16", "F16", "F8_E4M3", "F64")
TORCH_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64}
Fill = Callable[[], object]


def fanin_fills(law: str, dtype: str, count: int) -> dict[str, Fill]:
    """Fills of one buffer, by level of instructions."""
    entry = Layout.of({"shape": [count], "dtype": dtype, **LAWS[law]}).entries[0]
    out = memoryview(bytearray(count * entry.dtype.itemsize))

    def fill(backend: NativeBackend) -> Fill:
        return lambda: backend.fill(entry.draw, entry.stream, entry.dtype, 0, out)

    return {f"fanin {level}": fill(NativeBackend(level)) for level in NativeBackend().levels}


def peer_fills(law: str, dtype: str, count: int) -> dict[str, Fill]:
    """The same work by torch and NumPy, where they have it."""
    fills: dict[str, Fill] = {}
    if dtype in TORCH_DTYPES:
        tensor = torch.zeros(count, dtype=TORCH_DTYPES[dtype])
        fills["torch"] = {
            "uniform": lambda: tensor.uniform_(-0.02, 0.02),
            "normal": lambda: tensor.normal_(0, 0.02),
            "truncated +-2": lambda: torch.nn.init.trunc_normal_(tensor, std=0.02, a=-0.04, b=0.04),
            "ones": lambda: tensor.fill_(1),
        }[law]
    if dtype == "F32":
        array, generator = np.zeros(count, np.float32), np.random.default_rng(0)
        numpy: dict[str, Fill] = {
            "uniform": lambda: np.multiply(generator.random(dtype=np.float32, out=array) - 0.5, 0.04, out=array),
            "normal": lambda: np.multiply(generator.standard_normal(dtype=np.float32, out=array), 0.02, out=array),
            "ones": lambda: array.fill(1),
        }
        if law in numpy:
            fills["numpy"] = numpy[law]
    return fills


def measure(fills: dict[str, Fill], count: int, repeats: int) -> dict[str, float]:
    """Median nanoseconds an element of each, interleaved."""
    times: dict[str, list[float]] = {name: [] for name in fills}
    for turn in range(repeats + 1):
        for name, fill in fills.items():
            started = time.perf_counter()
            fill()
            if turn:  # the first warms up
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) / count * 1e9 for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=1 << 22)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    cpus = len(os.sched_getaffinity(0))
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    print(
        f"{models[0].partition(': ')[2] if models else platform.machine()}, {cpus} CPUs, load {os.getloadavg()[0]:.1f}"
    )
    print(
        f"fanin {fanin.__version__}, torch {torch.__version__}, numpy {np.__version__}, {options.elements} elements\n"
    )
    print("| law | type | maker | ns, one thread | x | ns, all threads |\n|---|---|---|---|---|---|")
    for law in LAWS:
        for dtype in DTYPES:
            fills = {**fanin_fills(law, dtype, options.elements), **peer_fills(law, dtype, options.elements)}
            one = with_threads(1, fills, options)
            every = with_threads(cpus, fills, options)
            best = min(value for name, value in one.items() if name.startswith("fanin"))
            for name in fills:
                print(f"| {law} | {dtype} | {name} | {one[name]:.2f} | {one[name] / best:.1f} | {every[name]:.2f} |")


def with_threads(count: int, fills: dict[str, Fill], options: argparse.Namespace) -> dict[str, float]:
    torch.set_num_threads(count)
    part, native.PART = native.PART, native.PART if count > 1 else options.elements
    try:
        return measure(fills, options.elements, options.repeats)
    finally:
        native.PART = part


if __name__ == "__main__":
    main()
