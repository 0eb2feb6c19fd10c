"""All goals for speed, measured in one run: a table of work, goal, figure and limit.

    python -m tests.bench.rows [--only PART ...] [--repeats N] [--json FILE]

Runs other benchmarks of this folder one after another, in separate processes, and derives a row for each goal from
their JSON. It takes about ten minutes on an idle machine. `make rows` also stores the table in docs/bench, and writes
it to docs/performance.md. `--repeats` replaces the number of turns of every benchmark, to try the command.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from docs.bench.page import goals
from fanin_lab.bench import pairs
from tests.bench import command
from tests.bench.kernels import COUNT

Found = list[dict[str, Any]]
"""Rows of one benchmark."""
PARTS: dict[str, tuple[str, ...]] = {
    "growth": ("growth",),
    "http": ("http", "--only", "small", "streams"),
    "kernels": ("kernels",),
    "small": ("torch_init", "--only", "small"),
    "orthogonal": ("orthogonal", "--only", "columns"),
    "ranks": ("torch_init", "--only", "ranks", "--dtypes", "bfloat16", "--layers", "4", "--repeats", "3"),
}
"""Module and arguments of each benchmark."""
ACCURACY = 0.03
"""Part of the complete matrix by which the work of columns may exceed the model of their cost."""


@dataclass(frozen=True)
class Row:
    """One goal and what was measured."""

    work: str
    goal: str
    now: str
    met: bool
    limit: str = ""
    """Cause that a goal is missed. A section of docs/performance.md has the profile."""


def growth(found: Found) -> Iterator[Row]:
    """Yield the rows of large recipes."""
    recipes = {row["recipe"]: row for row in found if row["table"] == "recipes"}
    if recipes:
        row = recipes["written out"]
        times, size = float(row["all / `json.loads`"]), int(row["bytes a tensor"].replace(",", ""))
        yield Row(
            "100,000 tensors written out",
            "3 x `json.loads`, 1 kB a tensor",
            f"{times:.1f} x, {size:,} bytes",
            times <= 3 and size <= 1000,
            "456 bytes a tensor are objects that stay. Python keeps the rest, which `json.loads` has used",
        )
        steps = [float(recipes["one line"][name]) for name in ("`as_recipe`", "layout", "header", "digest", "a name")]
        yield Row(
            "44,544 tensors in one line",
            "0.1 s together",
            f"{sum(steps[:2]) * 1e3:.1f} ms, with header, digest and a name {sum(steps) * 1e3:.0f} ms",
            sum(steps) <= 0.1,
            "the header has 5 MB, and its tensors are sorted by name",
        )
    service = [row for row in found if row["table"] == "service"]
    for work, chosen, limit in (
        ("HEAD and first byte of a known large file", ("HEAD", "first byte"), ""),
        (
            "any range of a known large file",
            ("1 MiB from the middle",),
            "the complete 1 MiB is generated before its first byte is sent",
        ),
        (
            "HEAD after a restart, from the recipe store",
            ("HEAD, from the recipe store",),
            "the complete canonical text is parsed and sorted, in a separate thread",
        ),
    ):
        rows = [row for row in service if row["request"] in chosen]
        if rows:
            worst = max(rows, key=lambda row: float(row["seconds"]))
            seconds = float(worst["seconds"])
            loop = max(float(row["event loop, seconds"]) for row in rows)
            yield Row(
                work,
                "20 ms, event loop 5 ms",
                f"{seconds * 1e3:.0f} ms ({worst['recipe']}: {worst['request']}), loop {loop * 1e3:.1f} ms",
                seconds <= 0.02 and loop <= 0.005,
                limit,
            )


HTTP_LIMITS = {
    "small requests, one worker": "the interpreter: log, metrics and routing take more than the bare application",
    "small requests, two workers": "the client shares the two CPUs",
    "p99 of one worker at half its load": "the client shares the two CPUs: 3 to 12 ms in runs on idle machines",
    "stream, one client, constant": "the event loop waits until the socket has room again",
    "stream, one client, float32 normal": "two CPUs share generation and both copies of the socket",
    "stream, one client, BF16 normal": "as float32, with twice as many elements a byte",
}


def http(found: Found) -> Iterator[Row]:
    """Yield the rows of requests and streams."""
    for row in found:
        if row["work"] in HTTP_LIMITS:
            doubt = f" ({row['doubt']})" if row["doubt"] else ""
            now = row["found"] if row["ratio"] is None else f"{row['ratio']:.2f}{doubt}, {row['found']}"
            yield Row(row["work"], row["wanted"], now, row["ok"], HTTP_LIMITS[row["work"]])


def kernels(found: Found) -> Iterator[Row]:
    """Yield the rows of the native kernels."""
    times = {row["case"]: row["seconds"] for row in found}

    def compared(above: Sequence[float], below: Sequence[float]) -> tuple[float, str]:
        ratio = pairs.ratio(above, below)
        return ratio.median, f"{ratio.median:.2f}" + (f" ({ratio.doubt})" if ratio.doubt else "")

    for name, goal in (("uniform", 0.75), ("normal", 1.7), ("truncated", 1.7)):
        if case := times.get(f"{name}, avx2"):
            spent = statistics.median(case["new"]) / COUNT * 1e9
            beside = f", {compared(case['torch'], case['new'])[1]} of torch" if "torch" in case else ""
            yield Row(f"{name} F32, AVX2, one thread", f"{goal} ns", f"{spent:.2f} ns{beside}", spent <= goal, _AVX2)
    for name in ("F32", "BF16", "F8_E4M3"):
        if case := times.get(f"constant, {name}"):
            ratio, text = compared(case["memset"], case["fill"])
            work = f"constants in memory, {name}"
            yield Row(work, "0.97 of memset", text, ratio >= 0.97, "some microseconds of Python a call")
    for name in ("uniform", "normal", "truncated"):
        if case := times.get(f"{name}, two threads, new"):
            ratio, text = compared(case["one"], case["two"])
            work = f"{name} F32, two threads"
            yield Row(work, "1.85 of one", text, ratio >= 1.85, "two virtual CPUs may share a core")
    sparse = [case for case in times if case.startswith("sparse")]
    if sparse:
        (ratio, text), case = min((compared(times[case]["torch"], times[case]["new"]), case) for case in sparse)
        now = f"{text} times as fast ({case.removeprefix('sparse, ')})"
        yield Row("sparse, all levels, worst", "ahead of torch", now, ratio > 1, _SPARSE)


_SPARSE = "level with torch at this level and shape: 0.84 and 1.06 in two runs"
_AVX2 = "the number of instructions: three a cycle, 152 of 184 for Philox"


def small(found: Found) -> Iterator[Row]:
    """Yield the rows of small tensors of torch."""
    for elements, goal in ((256, 2.0), (4096, 1.0)):
        rows = [row for row in found if row["case"].endswith(f" of {elements} elements")]
        if rows:
            worst = max(rows, key=lambda row: float(row["ratio"]))
            yield Row(
                f"`fanin.torch.initializers`, {elements} elements, slowest call",
                f"{goal:g} x the time of torch",
                f"{worst['ratio']:.2f} x ({worst['case'].partition(' ')[0]})",
                worst["ratio"] <= goal,
                "checks of the tensor, the digest of its name and the call of the kernel: 8 of 9 us",
            )
    for row in found:
        if row["case"].startswith("init_ of a thousand layers"):
            limit = (
                "the recipe is validated and laid out"
                if "recipe" in row["case"]
                else "names and shapes are compared with the layout"
            )
            yield Row(row["case"], "2 x the time of torch", f"{row['ratio']:.2f} x", row["ratio"] <= 2, limit)


def orthogonal(found: Found) -> Iterator[Row]:
    """Yield the rows of columns of orthogonal matrices alone."""
    from fanin.backends.matrices import Matrices
    from fanin.draws import Orthogonal
    from fanin.dtypes import DTYPES
    from fanin.streams import Stream

    for row in found:
        if row["maker"].startswith("eighth"):
            size, count = row["size"], row["size"] // 8
            first, stream = (int(row["maker"][-1]) - 1) * count, Stream("fanin/1", 0, "q")
            share = Matrices(group_bytes=256).share(Orthogonal(1.0, size, size), stream, DTYPES["F32"], first, count)
            yield Row(
                f"columns of an orthogonal matrix, {size}, {row['maker']} of 8",
                f"{share:.3f} of the matrix: their share and the panels",
                f"{row['ratio']:.3f}",
                row["ratio"] <= share + ACCURACY,
                "new memory, and threads that wait: in processor time 0.04, 0.17 and 0.20 of 4096",
            )


def ranks(found: Found) -> Iterator[Row]:
    """Yield the rows of a sharded model."""
    times = {row["way"]: statistics.median(row["seconds"]) for row in found}
    for peer in ("reset", "titan"):
        ours, theirs = times.get(f"fanin, distributions of {peer}"), times.get(f"torch, {peer}")
        if ours and theirs:
            work = f"FSDP2 on two ranks, 4 layers of Llama 8B in BF16, distributions of {peer}"
            yield Row(work, "ahead of torch", f"{ours:.1f} s, torch {theirs:.1f} s", ours < theirs)


ROWS: dict[str, Callable[[Found], Iterator[Row]]] = {
    "growth": growth,
    "http": http,
    "kernels": kernels,
    "small": small,
    "orthogonal": orthogonal,
    "ranks": ranks,
}


def measured(part: str, repeats: int | None) -> Found:
    """Run a benchmark and return its rows.

    Raises:
        CalledProcessError: the benchmark failed.
    """
    module, *arguments = PARTS[part]
    arguments += ["--repeats", str(repeats)] if repeats else []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.json")
        subprocess.run(
            [sys.executable, "-m", f"tests.bench.{module}", *arguments, "--json", path], check=True, stdout=sys.stderr
        )
        found: Found = json.loads(path.read_text())["rows"]
    return found


def main() -> None:
    parser = command.parser(__doc__, tuple(PARTS), None)
    chosen, report = parser.parse_args(), command.Report()
    for part in chosen.only:
        started = time.monotonic()
        try:
            found = measured(part, chosen.repeats)
        except subprocess.CalledProcessError as error:
            print(f"{part} failed: {error}", file=sys.stderr)
            continue
        for row in ROWS[part](found):
            report.rows.append(asdict(row))
        print(f"{part}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(goals(report.rows), end="")
    report.write(chosen.json)


if __name__ == "__main__":
    main()
