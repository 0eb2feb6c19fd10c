"""Speed of the service, beside a bare ASGI application, a raw socket loop and nginx, and its time to start.

    python -m tests.bench.http [--json FILE] [--repeats N] [--only PART ...]

Everything runs over loopback on this machine, servers and clients in separate processes. Works run in turns. A ratio is
the median of the ratios of each turn, and `when to doubt` says when these vary. Absolute figures depend on the machine
and its load. Processor time is that of the server's process, so a load beside it changes it less than the rates.
`--only small streams` takes two minutes, all parts four.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import count, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import fanin
from fanin_lab.bench import pairs
from tests.bench import command
from tests.bench.http_clients import HUGE_BYTES, drain, drain_many, ranges, small_requests
from tests.bench.http_servers import Address, Server, bare_server, fanin_server, nginx_server, raw_server

MB, GB = 10**6, 10**9
STREAM_BYTES = 512 << 20
CLIENTS, CLIENT_BYTES = 32, 256 * MB
SMALL = "/v1/weights?shape=784,10&scheme=glorot_uniform"
SMALL_BYTES = 32_000
"""Bytes of that file with its header, and of the bare application's responses."""
SECONDS = 1.0
"""Seconds of each run of small requests."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    work: str
    found: str
    ratio: float | None = None
    wanted: str = ""
    ok: bool | None = None
    low: float | None = None
    high: float | None = None
    """Interval of the ratio: see `pairs.Summary`."""
    doubt: str = ""
    """Reason to distrust the ratio; empty if there is none."""


def compared(work: str, found: str, ratio: pairs.Summary, wanted: float, peer: str) -> Row:
    """Return the row of a ratio that should be at least `wanted`."""
    median = round(ratio.median, 2)
    ok = median >= wanted
    return Row(work, found, median, f">= {wanted} of {peer}", ok, ratio.low, ratio.high, ratio.doubt)


def url(shape: int, **fields: Any) -> str:
    return "/v1/weights?" + urlencode({"shape": shape, **fields})


NORMAL = {"scheme": "normal", "std": 0.02}


def streams(address: Address, client: ProcessPoolExecutor, repeats: int) -> list[Row]:
    """One client that takes 512 MiB as fast as it can."""
    shared = Path("/dev/shm")
    with ExitStack() as stack:
        root = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None, prefix="fanin-"))
        )
        root.chmod(0o755)
        raw = stack.enter_context(raw_server(STREAM_BYTES))
        nginx = stack.enter_context(nginx_server(root))
        paths = {
            "constant": url(STREAM_BYTES // 4, scheme="ones"),
            "float32 normal": url(STREAM_BYTES // 4, **NORMAL),
            "BF16 normal": url(STREAM_BYTES // 2, dtype="BF16", **NORMAL),
        }
        works = {"raw": lambda: client.submit(drain, raw, "/").result()}
        for name, path in paths.items():
            works[name] = lambda path=path: client.submit(drain, address, path).result()
        if nginx:
            recipe = {"shape": [STREAM_BYTES // 4], **NORMAL}
            fanin.save(recipe, root / "file")
            works["nginx"] = lambda: client.submit(drain, nginx, "/file").result()
        speed = pairs.in_turns(works, repeats)
    rows = [Row("raw socket loop, a ready buffer", _speed(speed["raw"]))]
    if nginx:
        rows.append(Row("nginx (sendfile), a static file in memory", _speed(speed["nginx"])))
    for name, peer, wanted in (
        ("constant", "raw", 0.9),
        ("float32 normal", "nginx", 1.0),
        ("BF16 normal", "nginx", 0.8),
    ):
        if peer in speed:
            ratio = pairs.ratio(speed[name], speed[peer])
            rows.append(compared(f"stream, one client, {name}", _speed(speed[name]), ratio, wanted, peer))
    return rows


def many_clients(server: Server, client: ProcessPoolExecutor, repeats: int) -> list[Row]:
    """Many clients at once beside one, the fairness among them, and the memory that they take."""
    path, one_path = url(CLIENT_BYTES // 4, **NORMAL), url(8 * CLIENT_BYTES // 4, **NORMAL)
    fairest, before, grown = [], server.resident(), []

    def many() -> float:
        together, rates = client.submit(drain_many, server.address, path, CLIENTS).result()
        fairest.append(min(rates) / statistics.mean(rates))
        grown.append(server.resident() - before)
        return together

    speed = pairs.in_turns(
        {"one": lambda: client.submit(drain, server.address, one_path).result(), "many": many},
        min(repeats, pairs.FEWEST),
    )
    ratio, share = pairs.ratio(speed["many"], speed["one"]), statistics.median(fairest)
    return [
        compared(f"{CLIENTS} clients at once, 256 MB each", _speed(speed["many"]), ratio, 0.9, "one"),
        Row("the slowest of them, of their mean", f"{share:.2f}", share, ">= 0.5", share >= 0.5),
        Row("memory after each round, beyond that at start", ", ".join(f"{size / MB:.0f}" for size in grown) + " MB"),
    ]


def small(server: Server, client: ProcessPoolExecutor, repeats: int) -> list[Row]:
    """The file of a 784 x 10 kernel, 31 kB."""
    seeds = count(1000)
    costs: dict[str, list[float]] = {}

    def work(name: str, server: Server, each: Callable[[], Iterator[int]]) -> Callable[[], float]:
        """Return a function that returns requests per second. The processor time of each goes to `costs`."""

        def run() -> float:
            before = server.cpu_seconds()
            rate, took = client.submit(small_requests, server.address, SMALL, each(), SECONDS).result()
            costs.setdefault(name, []).append((server.cpu_seconds() - before) / len(took))
            return rate

        return run

    with bare_server(SMALL_BYTES) as bare, fanin_server("--workers", "2") as two:
        works = {
            "one": work("one", server, lambda: repeat(42)),
            "bare": work("bare", bare, lambda: repeat(42)),
            "seeds": work("seeds", server, lambda: count(next(seeds) * 10**6)),
            "two": work("two", two, lambda: repeat(42)),
        }
        rates = pairs.in_turns(works, repeats)
        cost = {name: values[1:] for name, values in costs.items()}  # without the turn that warms up
        rate = statistics.median(rates["one"])
        tails = []
        for _ in range(min(repeats, 3)):
            _, took = client.submit(small_requests, server.address, SMALL, repeat(42), 3 * SECONDS, rate / 2).result()
            tails.append(statistics.quantiles(took, n=100)[98])
    tail = statistics.median(tails)
    rows = [
        Row("bare ASGI application, as many bytes by the same uvicorn", _rate(rates["bare"])),
        compared(
            "small requests, one worker", _rate(rates["one"]), pairs.ratio(rates["one"], rates["bare"]), 0.75, "bare"
        ),
        compared(
            "small requests, each with a new seed",
            _rate(rates["seeds"]),
            pairs.ratio(rates["seeds"], rates["bare"]),
            0.5,
            "bare",
        ),
        compared(
            "small requests, two workers", _rate(rates["two"]), pairs.ratio(rates["two"], rates["one"]), 1.8, "one"
        ),
        Row("p99 of one worker at half its load", f"{tail * 1e3:.1f} ms", None, "< 10 ms", tail < 0.01),
    ]
    for name, label in (("one", "one worker"), ("seeds", "each with a new seed"), ("two", "two workers")):
        ratio = pairs.ratio(cost["bare"], cost[name])
        times = f"{_micro(cost[name])}, bare {_micro(cost['bare'])}"
        rows.append(compared(f"processor time of a small request, {label}", times, ratio, 0.75, "bare"))
    return rows


def random_ranges(address: Address, client: ProcessPoolExecutor) -> list[Row]:
    """Ranges of 1 MB of a file of 100 GB."""
    rows = []
    for name, keep in (("one connection", True), ("a connection each, as after a loss", False)):
        took = client.submit(ranges, address, url(HUGE_BYTES // 4, **NORMAL), keep).result()
        middle = statistics.median(took)
        rows.append(Row(f"1 MB ranges of 100 GB, {name}, p50", f"{middle * 1e3:.1f} ms", None, "< 5 ms", middle < 5e-3))
    return rows


def starts(repeats: int) -> list[Row]:
    """Processes until they can be used, with compiled modules."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def imported() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import fanin"], check=True, env=environment)
        return time.perf_counter() - started

    def bare() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import numpy"], check=True, env=environment)
        return time.perf_counter() - started

    def served() -> float:
        started = time.perf_counter()
        with fanin_server():
            return time.perf_counter() - started

    found = pairs.in_turns({"fanin": imported, "numpy": bare, "serve": served}, repeats)
    seconds = {name: statistics.median(values) for name, values in found.items()}
    return [
        Row("import numpy, in a new process", f"{seconds['numpy']:.2f} s"),
        Row("import fanin, in a new process", f"{seconds['fanin']:.2f} s", None, "< 0.2 s", seconds["fanin"] < 0.2),
        Row("fanin serve until it is ready", f"{seconds['serve']:.2f} s", None, "< 1.5 s", seconds["serve"] < 1.5),
    ]


def _speed(rates: list[float]) -> str:
    return f"{statistics.median(rates) / GB:.2f} GB/s"


def _rate(rates: list[float]) -> str:
    return f"{statistics.median(rates):.0f} a second"


def _micro(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e6:.0f} us"


PARTS = ("starts", "small", "ranges", "streams", "clients")


def run(repeats: int = 7, parts: tuple[str, ...] = PARTS) -> list[Row]:
    """The complete table."""
    rows: list[Row] = []
    if "starts" in parts:
        rows += starts(repeats)
    with fanin_server() as server, ProcessPoolExecutor(1, get_context("spawn")) as client:
        address = server.address
        if "small" in parts:
            rows += small(server, client, repeats)
        if "ranges" in parts:
            rows += random_ranges(address, client)
        if "streams" in parts:
            rows += streams(address, client, repeats)
        if "clients" in parts:
            rows += many_clients(server, client, repeats)
    return rows


def main() -> None:
    chosen, report = command.parser(__doc__, PARTS, 7).parse_args(), command.Report()
    report.add("| work | found | x | wanted | | when to doubt |\n|---|---|---|---|---|---|")
    for row in run(chosen.repeats, tuple(chosen.only)):
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        if row.low is not None:
            ratio += f" ({row.low:.2f} to {row.high:.2f})"
        mark = "" if row.ok is None else "yes" if row.ok else "no"
        report.add(f"| {row.work} | {row.found} | {ratio} | {row.wanted} | {mark} | {row.doubt} |", **asdict(row))
    report.write(chosen.json)


if __name__ == "__main__":
    main()
