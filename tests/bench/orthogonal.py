"""How fast orthogonal matrices are generated, beside torch.nn.init.orthogonal_ (LAPACK's geqrf and orgqr).

    python -m tests.bench.orthogonal [--sizes 1024,2048,4096] [--repeats 3]

Prints seconds on all CPUs of the process: medians of interleaved repeats of square float32 matrices into existing
memory. The arithmetic rate counts 4/3 n^3 operations. Prints the largest element of |Q^T Q - I| of both, too.
`--levels` takes every instruction set.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from fanin import backends
from fanin.backends.native import NativeBackend
from fanin.draws import Orthogonal
from fanin.dtypes import DTYPES
from fanin.streams import Stream


def seconds(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each, interleaved; the first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def error(q: np.ndarray) -> float:
    gram = q.astype(np.float64)
    gram = gram.T @ gram
    return float(np.abs(gram - np.eye(len(gram))).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sizes", default="1024,2048,4096")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--levels", action="store_true", help="also every level of instructions")
    chosen = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    fast = backends.load("native")
    assert isinstance(fast, NativeBackend)
    makers = {f"native, {level}": NativeBackend(level) for level in (fast.levels if chosen.levels else [fast.level])}
    single = DTYPES["F32"]
    for size in map(int, chosen.sizes.split(",")):
        array = np.empty((size, size), np.float32)
        tensor = torch.empty(size, size)
        out = array.reshape(-1).view(np.uint8).data

        def make(maker: NativeBackend, out: memoryview = out, size: int = size) -> None:
            maker.fill(Orthogonal(1.0, size, size), Stream("fanin/1", 0, "q"), single, 0, out)

        def theirs(tensor: torch.Tensor = tensor) -> None:
            torch.nn.init.orthogonal_(tensor)

        ours = {name: (lambda maker=maker: make(maker)) for name, maker in makers.items()}
        found = seconds({"torch": theirs, **ours}, chosen.repeats)
        for name, spent in found.items():
            rate = "" if name == "torch" else f", {4 / 3 * size**3 / spent / 1e9:.0f} Gflop/s"
            ratio = "" if name == "torch" else f", {found['torch'] / spent:.2f} times as fast"
            off = error(tensor.numpy() if name == "torch" else array)
            sys.stdout.write(f"{size}: {name}: {spent:.4f} s{ratio}{rate}, error {off:.1e}\n")


if __name__ == "__main__":
    main()
