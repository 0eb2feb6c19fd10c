"""CPU time of an element in the JavaScript client, beside the native backend at the level `baseline`, in one run.

    python -m tests.bench.javascript

It needs `make js` before, or at least its build.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

from fanin import FileLayout, as_recipe
from fanin.backends.native import NativeBackend

CLIENT = Path(__file__).parents[2] / "clients" / "js"
ELEMENTS = 1 << 21
PAIRS = 7
SCHEMES: list[dict[str, Any]] = [
    {"scheme": "uniform", "low": -1, "high": 1},
    {"scheme": "normal", "std": 1},
    {"scheme": "truncated_normal", "std": 1},
]
RECIPES = [
    {"shape": [ELEMENTS], "dtype": dtype, **scheme} for dtype in ("F32", "BF16", "F16", "F64") for scheme in SCHEMES
]


def native(backend: NativeBackend) -> list[float]:
    """Return the nanoseconds of an element of each recipe: the least of three runs."""
    found = []
    for recipe in RECIPES:
        (entry,) = FileLayout.of(as_recipe(recipe)).entries
        out = memoryview(bytearray(entry.nbytes))
        times = []
        for _ in range(3):
            before = time.thread_time()
            backend.fill(entry.draw, entry.stream, entry.dtype, 0, out)
            times.append(time.thread_time() - before)
        found.append(min(times) * 1e9 / entry.count)
    return found


def javascript(kernels: str) -> list[float]:
    """Return the same of the client in Node, with the kernels `simd` or `plain`."""
    command = ["node", "tests/bench.js", json.dumps(RECIPES), kernels]
    run = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, check=True)
    found: list[float] = json.loads(run.stdout)
    return found


def main() -> None:
    backend = NativeBackend(level="baseline", threads=1)
    runs = [(native(backend), javascript("simd"), javascript("plain")) for _ in range(PAIRS)]
    print("dtype  scheme             native   simd  plain   simd / native, median of", PAIRS, "pairs (least to most)")
    for n, recipe in enumerate(RECIPES):
        ours, simd, plain = (statistics.median(run[kind][n] for run in runs) for kind in range(3))
        ratios = sorted(run[1][n] / run[0][n] for run in runs)
        spread = f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        print(f"{recipe['dtype']:6} {recipe['scheme']:17} {ours:7.1f} {simd:6.1f} {plain:6.1f}   {spread}")


if __name__ == "__main__":
    main()
