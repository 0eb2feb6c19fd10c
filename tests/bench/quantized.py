"""CPU time of quantized tensors in one thread: with the kernels of their codes, and with NumPy's, in one run.

python -m tests.bench.quantized
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from numpy.typing import NDArray

from fanin import FileLayout, as_recipe, quantization
from fanin.backends import codes
from fanin.backends.codes import Floats
from fanin.backends.native import NativeBackend
from fanin.draws.quantization import FORMATS
from fanin.draws.types import Element
from fanin.file.plan import read_into

ROWS = COLUMNS = 2048
PAIRS = 7
TWIN = {
    "dtype": "BF16",
    "layout": "torch",
    "tensors": {"layers.0.up_proj.weight": {"shape": [ROWS, COLUMNS], "scheme": "normal", "std": 0.02}},
}


class WithNumPy(NativeBackend):
    """Native draws, and the codes of NumPy."""

    def magnitudes(self, values: Floats, group: tuple[int, int]) -> tuple[Floats, Floats]:
        return codes.magnitudes(values, group)

    def codes(
        self, element: Element, values: Floats, group: tuple[int, int], divisors: Floats, zeros: Floats | None
    ) -> NDArray[np.uint8]:
        return codes.codes(element, values, group, divisors, zeros)


def nanoseconds(layout: FileLayout, backend: NativeBackend) -> float:
    """Return the CPU time of the file for each element of the weight: the least of three runs."""
    out = memoryview(bytearray(layout.size))
    times = []
    for _ in range(3):
        before = time.thread_time()
        read_into(layout, 0, out, backend)
        times.append(time.thread_time() - before)
    return min(times) * 1e9 / (ROWS * COLUMNS)


def main() -> None:
    twin = as_recipe(TWIN)
    layouts = {"BF16": FileLayout.of(twin)}
    layouts |= {form: FileLayout.of(quantization.quantize(twin, form)) for form in FORMATS}
    kernels, numpy = NativeBackend(threads=1), WithNumPy(threads=1)
    print("| format | ns of CPU for each element | with NumPy's codes | median of", PAIRS, "ratios (least to most) |")
    for form, layout in layouts.items():
        pairs = [(nanoseconds(layout, kernels), nanoseconds(layout, numpy)) for _ in range(PAIRS)]
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios = sorted(slow / fast for fast, slow in pairs)
        found = f"{statistics.median(ratios):.1f} ({ratios[0]:.1f}-{ratios[-1]:.1f})"
        print(f"| {form} | {ours:.1f} | {theirs:.1f} | {found} |")


if __name__ == "__main__":
    main()
