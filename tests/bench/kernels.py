"""Speed of the native kernels, beside torch, memset and an older build of the library.

    python -m tests.bench.kernels [--only PART ...] [--repeats 21] [--json FILE] [--old LIBRARY]

All functions of a row run in turns. A ratio is the median of the ratios of the turns, with its interval
(fanin_lab/bench/pairs.py). One thread is measured in CPU time of the thread, two threads in elapsed time. `--old` is a
`_native.so` of another commit, whose `fanin_fill` has the same arguments. It takes two minutes.
"""

from __future__ import annotations

import ctypes
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from fanin.backends.native import LEVELS, NativeBackend
from fanin.dtypes import DTYPES
from fanin.file.layout import FileLayout
from fanin.file.plan import read_into
from fanin_lab.bench import pairs
from tests.bench import command

Work = Callable[[], object]
Times = dict[str, list[float]]
"""Seconds of each work in each turn."""
COUNT = 1 << 21
DISTRIBUTIONS: dict[str, dict[str, Any]] = {
    "uniform": {"scheme": "uniform", "low": -0.02, "high": 0.02},
    "normal": {"scheme": "normal", "std": 0.02},
    "truncated": {"scheme": "truncated_normal", "std": 0.02, "low": -2, "high": 2},
}
TORCH: dict[str, Callable[[torch.Tensor], object]] = {
    "uniform": lambda out: out.uniform_(-0.02, 0.02),
    "normal": lambda out: out.normal_(0, 0.02),
    "truncated": lambda out: torch.nn.init.trunc_normal_(out, std=0.02, a=-0.04, b=0.04),
}
KINDS = {"F32": torch.float32, "BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn}


def turns(works: Mapping[str, Work], repeats: int, clock: Callable[[], float]) -> Times:
    """Return the seconds of each work in each turn."""
    return pairs.in_turns({name: pairs.timed(work, clock) for name, work in works.items()}, repeats)


def ratio(times: Times, above: str, below: str) -> str:
    """Return the ratio of two works as a text."""
    found = pairs.ratio(times[above], times[below])
    doubt = f", {found.doubt}" if found.doubt else ""
    return f"{above} / {below} {found.median:.3f} [{found.low:.2f}, {found.high:.2f}{doubt}]"


def nanoseconds(times: Times, count: int) -> str:
    """Return the median time of each work for one of `count` elements as a text."""
    return ", ".join(f"{name} {statistics.median(seconds) / count * 1e9:.3f}" for name, seconds in times.items())


def filling(backend: NativeBackend, out: np.ndarray, **tensor: Any) -> Work:
    entry = FileLayout.of({"shape": [COUNT], **tensor}).entries[0]
    memory = memoryview(out)[: COUNT * entry.dtype.itemsize]
    return lambda: backend.fill(entry.draw, entry.stream, entry.dtype, 0, memory)


def with_library(backend: NativeBackend, path: str) -> NativeBackend:
    """The backend, with `fanin_fill` of another library."""
    library = ctypes.CDLL(path)
    for number in range(len(LEVELS)):
        library.fanin_has_level(number)
    library.fanin_fill.restype, library.fanin_fill.argtypes = None, backend._fill.argtypes
    backend._fill = library.fanin_fill
    backend._fill_one = library["fanin_fill"]
    backend._fill_one.restype, backend._fill_one.argtypes = None, backend._fill.argtypes
    return backend


def draws(report: command.Report, old: str | None, repeats: int, out: np.ndarray) -> None:
    report.add(f"random draws, one thread, {COUNT} elements of F32: ns an element")
    tensor = torch.from_numpy(out[: COUNT * 4]).view(torch.float32)
    for distribution, fields in DISTRIBUTIONS.items():
        for level in reversed(NativeBackend().levels):
            works = {"new": filling(NativeBackend(level, 1), out, **fields)}
            if old:
                works["old"] = filling(with_library(NativeBackend(level, 1), old), out, **fields)
            if distribution != "truncated":  # torch's takes 26 times as long
                works["torch"] = partial(TORCH[distribution], tensor)
            times = turns(works, repeats, time.thread_time)
            ratios = [ratio(times, name, "new") for name in works if name != "new"]
            title = f"{distribution}, {level}"
            report.add(f"  {title}: {nanoseconds(times, COUNT)}; {'; '.join(ratios)}", case=title, seconds=times)


def constants(report: command.Report, repeats: int, out: np.ndarray) -> None:
    memset = ctypes.CDLL(None).memset
    memset.restype, memset.argtypes = None, [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    report.add(f"constants, one thread, {COUNT} elements: ns an element")
    backend = NativeBackend(threads=1)
    for name, kind in KINDS.items():
        fields = {"shape": [COUNT], "dtype": name, "scheme": "constant", "value": 0.02}
        size = COUNT * DTYPES[name].itemsize
        layout, tensor = FileLayout.of(fields), torch.from_numpy(out[:size]).view(kind)
        works: dict[str, Work] = {
            "fill": filling(backend, out, dtype=name, scheme="constant", value=0.02),
            "read_into": partial(read_into, layout, layout.size - size, memoryview(out)[:size], backend),
            "memset": partial(memset, out.ctypes.data, 7, size),
            "torch": partial(tensor.fill_, 0.02),
        }
        times = turns(works, 4 * repeats, time.thread_time)
        ratios = [ratio(times, peer, own) for own in ("fill", "read_into") for peer in ("memset", "torch")]
        report.add(
            f"  {name}: {nanoseconds(times, COUNT)}; {'; '.join(ratios)}", case=f"constant, {name}", seconds=times
        )


def counted(work: Work, interrupted: list[int]) -> None:
    """Append how often the calling thread lost its CPU during the work."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
    work()
    interrupted.append(resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw - before)


def two_threads(report: command.Report, old: str | None, repeats: int, out: np.ndarray) -> None:
    """Elapsed time, and how often the calling thread was interrupted: 0 unless the machine is busy."""
    report.add(f"two threads, {COUNT} elements of F32, elapsed")
    for distribution, fields in DISTRIBUTIONS.items():
        makers = {"new": NativeBackend(threads=2)}
        if old:
            makers["old"] = with_library(NativeBackend(threads=2), old)
        for name, backend in makers.items():
            interrupted: list[int] = []
            two = partial(counted, filling(backend, out, **fields), interrupted)
            one = filling(NativeBackend(threads=1), out, **fields)
            times = turns({"one": one, "two": two}, 10 * repeats, time.perf_counter)
            best = min(times["one"]) / min(times["two"])
            report.add(
                f"  {distribution}, {name}: {ratio(times, 'one', 'two')}, of the best turns {best:.2f};"
                f" {statistics.mean(interrupted):.3f} interruptions a call",
                case=f"{distribution}, two threads, {name}",
                seconds=times,
            )


def sparse(report: command.Report, repeats: int) -> None:
    report.add("sparse, F32, one thread: ms")
    for rows, columns, sparsity in ((2048, 2048, 0.1), (4096, 1024, 0.5)):
        layout = FileLayout.of({"shape": [rows, columns], "scheme": "sparse", "sparsity": sparsity, "std": 0.01})
        out, tensor = memoryview(bytearray(layout.size)), torch.empty(rows, columns)
        for level in reversed(NativeBackend().levels):
            backend = NativeBackend(level, 1)
            works: dict[str, Work] = {
                "new": partial(read_into, layout, 0, out, backend),
                "torch": partial(torch.nn.init.sparse_, tensor, sparsity),
            }
            times = turns(works, max(pairs.FEWEST, repeats // 4), time.thread_time)
            title = f"{rows} x {columns}, {level}"
            report.add(
                f"  {title}: {nanoseconds(times, 10**6)}; {ratio(times, 'torch', 'new')}",
                case=f"sparse, {title}",
                seconds=times,
            )


def main() -> None:
    parser = command.parser(__doc__, ("draws", "constants", "threads", "sparse"), 21)
    parser.add_argument("--old", metavar="LIBRARY", help="a _native.so to compare with")
    chosen, report = parser.parse_args(), command.Report()
    torch.set_num_threads(1)
    out = np.zeros(COUNT * 4, np.uint8)
    if "draws" in chosen.only:
        draws(report, chosen.old, chosen.repeats, out)
    if "constants" in chosen.only:
        constants(report, chosen.repeats, out)
    if "threads" in chosen.only:
        two_threads(report, chosen.old, chosen.repeats, out)
    if "sparse" in chosen.only:
        sparse(report, chosen.repeats)
    report.write(chosen.json)


if __name__ == "__main__":
    main()
