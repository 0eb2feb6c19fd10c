"""How fast the service sends, beside a raw socket loop and nginx, and what it takes to start.

    python -m tests.bench.http [--json FILE] [--repeats N]

Everything runs over loopback on this machine, servers and clients in separate processes; medians of interleaved
repeats. Quote ratios of one run; absolute figures are this machine's, now. Takes one to three minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import fanin
from fanin.report_tables import dumps
from fanin_lab.bench import machine

MB, GB = 10**6, 10**9
STREAM_BYTES = 512 << 20
CLIENTS, CLIENT_BYTES = 32, 256 * MB
HUGE_BYTES, RANGE_BYTES = 100 * GB, MB
SMALL = "/v1/weights?shape=784,10&scheme=glorot_uniform&seed=42"
CONNECTIONS = 16
SECONDS = 4.0
"""Requests in each run of small requests."""
BLOCK = 1 << 20
Address = tuple[str, int]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    work: str
    found: str
    ratio: float | None = None
    wanted: str = ""
    ok: bool | None = None


# Servers


@contextmanager
def fanin_server(*options: str) -> Iterator[tuple[Address, int]]:
    """Address and process id of `fanin serve`."""
    command = [sys.executable, "-m", "fanin", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        try:
            found = re.search(r"http://([0-9.]+):([0-9]+)", process.stderr.readline())
            assert found, "the service did not start"
            threading.Thread(target=process.stderr.read, daemon=True).start()
            address = found[1], int(found[2])
            until_ready(address, "/readyz")
            yield address, process.pid
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def raw_server(size: int) -> Iterator[Address]:
    """A socket loop that sends `size` bytes of one ready buffer to every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with suppress(OSError, AttributeError):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        context = get_context("fork")
        process = context.Process(target=_send_ready, args=(listener, size), daemon=True)
        process.start()
        try:
            yield listener.getsockname()
        finally:
            process.terminate()
            process.join()


def _send_ready(listener: socket.socket, size: int) -> None:
    block = bytes(BLOCK)
    while True:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.recv(BLOCK)
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
            for _ in range(size // BLOCK):
                connection.sendall(block)


@contextmanager
def nginx_server(root: Path) -> Iterator[Address | None]:
    """nginx with sendfile, for the files in `root`; None where it is not installed."""
    program = shutil.which("nginx")
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address: Address = probe.getsockname()
    (root / "nginx.conf").write_text(
        f"""daemon off; master_process off; pid {root}/nginx.pid; error_log {root}/error.log; user root;
        events {{ }}
        http {{
            sendfile on; tcp_nopush on; access_log off;
            client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
            uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
            server {{ listen {address[0]}:{address[1]}; root {root}; }}
        }}"""
    )
    with subprocess.Popen([program, "-c", f"{root}/nginx.conf"], stderr=subprocess.DEVNULL) as process:
        try:
            until_ready(address, "/nginx.conf")
            yield address
        finally:
            process.terminate()
            process.wait(60)


def until_ready(address: Address, path: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        with suppress(OSError), socket.create_connection(address, 60) as connection:
            connection.sendall(_get(path))
            if connection.recv(BLOCK).startswith(b"HTTP/1.1 200"):
                return
        assert time.monotonic() < deadline, "the server did not get ready"
        time.sleep(0.01)


# Clients, each run in a separate process


def _get(path: str, first: int | None = None, count: int = 0) -> bytes:
    ranges = "" if first is None else f"Range: bytes={first}-{first + count - 1}\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{ranges}\r\n".encode()


class Exchange:
    """One connection that sends requests and drops the bodies, one after another."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, 60)
        self._buffer = bytearray(BLOCK)
        self.missing = 0

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)
        self.missing = -1

    def receive(self) -> int:
        """Take what has come; how many bytes it was."""
        count = self.socket.recv_into(self._buffer)
        assert count, "the connection was lost"
        if self.missing < 0:
            head, _, rest = bytes(self._buffer[:count]).partition(b"\r\n\r\n")
            assert re.match(rb"HTTP/1.1 20[06]", head), head
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert length, head
            self.missing = int(length[1]) - len(rest)
        else:
            self.missing -= count
        return count

    def whole(self, request: bytes) -> int:
        """Send one request and return the received bytes."""
        self.send(request)
        received = 0
        while self.missing:
            received += self.receive()
        return received

    def close(self) -> None:
        self.socket.close()


def drain(address: Address, path: str) -> float:
    """Bytes a second of one stream."""
    exchange = Exchange(address)
    started = time.perf_counter()
    received = exchange.whole(_get(path))
    seconds = time.perf_counter() - started
    exchange.close()
    return received / seconds


def drain_many(address: Address, path: str, count: int) -> tuple[float, list[float]]:
    """Bytes a second of `count` streams at once: together, and of each."""
    with selectors.DefaultSelector() as selector:
        received: dict[Exchange, int] = {}
        rates = []
        started = time.perf_counter()
        for _ in range(count):
            exchange = Exchange(address)
            selector.register(exchange.socket, selectors.EVENT_READ, exchange)
            exchange.send(_get(path))
            received[exchange] = 0
        while len(rates) < count:
            for key, _ in selector.select():
                exchange = key.data
                received[exchange] += exchange.receive()
                if not exchange.missing:
                    rates.append(received[exchange] / (time.perf_counter() - started))
                    selector.unregister(exchange.socket)
                    exchange.close()
        return sum(received.values()) / (time.perf_counter() - started), rates


def small_requests(address: Address, rate: float | None) -> tuple[float, list[float]]:
    """Return requests per second and the seconds of each: one after another, or `rate` a second."""
    request = _get(SMALL)
    with selectors.DefaultSelector() as selector:
        idle = [Exchange(address) for _ in range(CONNECTIONS)]
        for exchange in idle:
            selector.register(exchange.socket, selectors.EVENT_READ, exchange)
        begun: dict[Exchange, float] = {}
        took: list[float] = []
        started = now = time.perf_counter()
        due = started
        while now < started + SECONDS or begun:
            while idle and due <= now < started + SECONDS:
                exchange = idle.pop()
                exchange.send(request)
                # From when it was to begin: waiting for a free connection counts.
                begun[exchange] = now if rate is None else due
                due = now if rate is None else due + 1 / rate
            for key, _ in selector.select(0.01 if rate is None or not idle else max(0.0, due - now)):
                exchange = key.data
                exchange.receive()
                if not exchange.missing:
                    took.append(time.perf_counter() - begun.pop(exchange))
                    idle.append(exchange)
            now = time.perf_counter()
        return len(took) / (now - started), took


def ranges(address: Address, path: str, keep: bool) -> list[float]:
    """Seconds of each of many random ranges, over one connection or each over its own."""
    order, took = random.Random(0), []
    exchange = Exchange(address)
    for _ in range(100):
        request = _get(path, order.randrange(HUGE_BYTES - RANGE_BYTES), RANGE_BYTES)
        started = time.perf_counter()
        if not keep:
            exchange.close()
            exchange = Exchange(address)
        exchange.whole(request)
        took.append(time.perf_counter() - started)
    return took


# The table


def url(shape: int, **fields: Any) -> str:
    return "/v1/weights?" + urlencode({"shape": shape, **fields})


NORMAL = {"scheme": "normal", "std": 0.02}


def interleaved(repeats: int, works: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Median of each, the repeats interleaved; the first warms up."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            value = work()
            if turn:
                found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


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
        speed = interleaved(repeats, works)
    rows = [Row("raw socket loop, a ready buffer", _speed(speed["raw"]))]
    if nginx:
        rows.append(Row("nginx (sendfile), a static file in memory", _speed(speed["nginx"])))
    for name, peer, wanted in (
        ("constant", "raw", 0.8),
        ("float32 normal", "nginx", 1.0),
        ("BF16 normal", "nginx", 0.7),
    ):
        ratio = speed[name] / speed[peer] if peer in speed else None
        ok = None if ratio is None else ratio >= wanted
        rows.append(Row(f"stream, one client, {name}", _speed(speed[name]), ratio, f">= {wanted} of {peer}", ok))
    return rows


def many_clients(address: Address, pid: int, client: ProcessPoolExecutor, repeats: int) -> list[Row]:
    """As many clients at once as one client's rate is shared by, and the memory they take."""
    path, one_path = url(CLIENT_BYTES // 4, **NORMAL), url(8 * CLIENT_BYTES // 4, **NORMAL)
    fairest, before, grown = [], resident(pid), []

    def many() -> float:
        together, rates = client.submit(drain_many, address, path, CLIENTS).result()
        fairest.append(min(rates) / statistics.mean(rates))
        grown.append(resident(pid) - before)
        return together

    speed = interleaved(
        min(repeats, 3), {"one": lambda: client.submit(drain, address, one_path).result(), "many": many}
    )
    ratio, share = speed["many"] / speed["one"], statistics.median(fairest)
    return [
        Row(f"{CLIENTS} clients at once, 256 MB each", _speed(speed["many"]), ratio, ">= 0.9 of one", ratio >= 0.9),
        Row("the slowest of them, of their mean", f"{share:.2f}", share, ">= 0.5", share >= 0.5),
        Row("memory after each round, beyond that at start", ", ".join(f"{size / MB:.0f}" for size in grown) + " MB"),
    ]


def resident(pid: int) -> int:
    """Bytes of memory of a process; 0 where /proc is not there."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def small(address: Address, client: ProcessPoolExecutor, repeats: int) -> list[Row]:
    """The file of a 784 x 10 kernel, 31 kB."""
    turns = range(min(repeats, 3))
    client.submit(small_requests, address, None).result()
    rate = statistics.median(client.submit(small_requests, address, None).result()[0] for _ in turns)
    tails, begun = [], []
    for _ in turns:
        reached, took = client.submit(small_requests, address, rate / 2).result()
        begun.append(reached)
        tails.append(statistics.quantiles(took, n=100)[98])
    tail = statistics.median(tails)
    return [
        Row("small requests, one worker", f"{rate:.0f} a second", None, ">= 3000", rate >= 3000),
        Row(
            "p99 of them at half that load",
            f"{tail * 1e3:.1f} ms at {statistics.median(begun):.0f} a second",
            None,
            "< 10 ms",
            tail < 0.01,
        ),
    ]


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

    seconds = interleaved(min(repeats, 5), {"fanin": imported, "numpy": bare, "serve": served})
    return [
        Row("import numpy, in a new process", f"{seconds['numpy']:.2f} s"),
        Row("import fanin, in a new process", f"{seconds['fanin']:.2f} s", None, "< 0.2 s", seconds["fanin"] < 0.2),
        Row("fanin serve until it is ready", f"{seconds['serve']:.2f} s", None, "< 1.5 s", seconds["serve"] < 1.5),
    ]


def _speed(rate: float) -> str:
    return f"{rate / GB:.2f} GB/s"


PARTS = ("starts", "small", "ranges", "streams", "clients")


def run(repeats: int = 5, parts: tuple[str, ...] = PARTS) -> list[Row]:
    """Measure all parts; return the rows of the table."""
    rows: list[Row] = []
    if "starts" in parts:
        rows += starts(repeats)
    with fanin_server() as (address, pid), ProcessPoolExecutor(1, get_context("spawn")) as client:
        if "small" in parts:
            rows += small(address, client, repeats)
        if "ranges" in parts:
            rows += random_ranges(address, client)
        if "streams" in parts:
            rows += streams(address, client, repeats)
        if "clients" in parts:
            rows += many_clients(address, pid, client, repeats)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows, with what tells of the machine")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts of the table")
    options = parser.parse_args()
    about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe()}
    rows = run(options.repeats, tuple(options.only))
    if options.json:
        options.json.write_text(dumps({**about, "rows": [asdict(row) for row in rows]}))
    print("| work | found | x | wanted | |\n|---|---|---|---|---|")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        mark = "" if row.ok is None else "yes" if row.ok else "no"
        print(f"| {row.work} | {row.found} | {ratio} | {row.wanted} | {mark} |")


if __name__ == "__main__":
    main()
