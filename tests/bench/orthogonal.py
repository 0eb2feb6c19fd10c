"""Speed of orthogonal matrices, beside torch.nn.init.orthogonal_ (LAPACK's geqrf and orgqr).

    python -m tests.bench.orthogonal [--only PART ...] [--repeats 5] [--json FILE] [--levels]

Prints median seconds on all CPUs of the process, for square float32 matrices into existing memory. The works run in
turns, and a ratio is the median of the ratios of the turns. The arithmetic rate counts 4/3 n^3 operations. Prints the
largest element of |Q^T Q - I| of both, too. `--levels` measures every instruction set. The part `columns` measures an
eighth of the columns alone, beside the complete matrix, for 4096 and 8192 columns.
"""

from __future__ import annotations

import os
import statistics
from functools import partial

import numpy as np
import torch

from fanin import backends
from fanin.backends.native import NativeBackend
from fanin.draws import Orthogonal
from fanin.dtypes import DTYPES
from fanin.streams import Stream
from fanin_lab.bench import pairs
from tests.bench import command


def error(q: np.ndarray) -> float:
    gram = q.astype(np.float64)
    gram = gram.T @ gram
    return float(np.abs(gram - np.eye(len(gram))).max())


def eighths(report: command.Report, size: int, repeats: int) -> None:
    """Report the time of the first, a middle and the last eighth of the columns, as a rank reads them."""
    backend, count, every = NativeBackend(), size // 8, size * size
    matrix = Orthogonal(1.0, size, size), Stream("fanin/1", 0, "q"), DTYPES["F32"]
    whole, part = np.empty(every, np.float32), np.empty((size, count), np.float32)
    addresses = (part.ctypes.data + part.strides[0] * np.arange(size)).astype(np.uint64)

    def read(eighth: int) -> None:
        backend.matrices.clear()
        firsts = (np.arange(size) * size + eighth * count).astype(np.uint64)
        backend.fill_runs(*matrix, firsts, count, addresses)

    works = {"whole": partial(backend.fill, *matrix, 0, whole.view(np.uint8).data)}
    works |= {f"eighth {eighth + 1}": partial(read, eighth) for eighth in (0, 4, 7)}
    times = pairs.in_turns({name: pairs.timed(work) for name, work in works.items()}, repeats)
    for name, seconds in times.items():
        ratio = pairs.ratio(seconds, times["whole"])
        text = f"{size}: {name}: {statistics.median(seconds):.3f} s"
        text += f", {ratio.median:.3f} of the whole [{ratio.low:.3f}, {ratio.high:.3f}]" if name != "whole" else ""
        report.add(text, size=size, maker=name, seconds=seconds, ratio=ratio.median)


def main() -> None:
    parser = command.parser(__doc__, ("1024", "2048", "4096", "columns"), pairs.FEWEST)
    parser.add_argument("--levels", action="store_true", help="also every instruction set")
    chosen, report = parser.parse_args(), command.Report()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    fast = backends.load("native")
    assert isinstance(fast, NativeBackend)
    makers = {f"native, {level}": NativeBackend(level) for level in (fast.levels if chosen.levels else [fast.level])}
    single = DTYPES["F32"]
    for size in (int(part) for part in chosen.only if part != "columns"):
        array = np.empty((size, size), np.float32)
        tensor = torch.empty(size, size)
        out = array.reshape(-1).view(np.uint8).data

        matrix = Orthogonal(1.0, size, size), Stream("fanin/1", 0, "q"), single, 0, out
        works = {"torch": partial(torch.nn.init.orthogonal_, tensor)}
        works |= {name: partial(maker.fill, *matrix) for name, maker in makers.items()}
        times = pairs.in_turns({name: pairs.timed(work) for name, work in works.items()}, chosen.repeats)
        for name, seconds in times.items():
            spent = statistics.median(seconds)
            text = f"{size}: {name}: {spent:.4f} s"
            if name != "torch":
                ratio = pairs.ratio(times["torch"], seconds)
                text += f", {ratio.median:.2f} times as fast [{ratio.low:.2f}, {ratio.high:.2f}]"
                text += f", {4 / 3 * size**3 / spent / 1e9:.0f} Gflop/s"
            off = error(tensor.numpy() if name == "torch" else array)
            report.add(f"{text}, error {off:.1e}", size=size, maker=name, seconds=seconds, error=off)
    for size in (4096, 8192) if "columns" in chosen.only else ():
        eighths(report, size, chosen.repeats)
    report.write(chosen.json)


if __name__ == "__main__":
    main()
