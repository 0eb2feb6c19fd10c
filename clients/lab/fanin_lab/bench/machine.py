"""Context of the figures: the machine, its load, and the speed of its memory and sockets."""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from fanin_lab.bench.loops import Memset, cpus, mapped

CHUNK = 1 << 20
"""Number of bytes per send."""
REPEATS = 5


def describe() -> dict[str, Any]:
    """Return processor, CPUs, load, memory, huge pages and software versions."""
    model, family = _processor()
    return {
        "cpu": model,
        "family": family,
        "architecture": platform.machine(),
        "cpus": len(cpus()),
        "load": round(os.getloadavg()[0], 2),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "huge_pages": _chosen(Path("/sys/kernel/mm/transparent_hugepage/enabled")),
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()),
        "python": platform.python_version(),
    }


def _processor() -> tuple[str, str]:
    """Return the processor's name, and its family and model numbers where the system has them."""
    if platform.system() == "Darwin":
        name = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return name.stdout.strip() or platform.machine(), ""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine(), ""
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    numbers = [f"{key} {told[key]}" for key in ("cpu family", "model", "CPU part") if key in told]
    return told.get("model name", platform.machine()), ", ".join(numbers).replace("cpu ", "")


def _chosen(path: Path) -> str:
    """Return the selected word of a kernel setting, which is in brackets."""
    try:
        return path.read_text().partition("[")[2].partition("]")[0]
    except OSError:
        return "none"


def ceilings(size: int) -> list[dict[str, Any]]:
    """Return GB/s that this machine reaches with `size` bytes, in memory and through a loopback socket.

    Each measurement follows a first run without measurement. A virtual machine that has returned free memory to its
    host gets it back at a tenth of the speed.
    """
    memory, other = bytearray(size), bytearray(size)
    memset = Memset()
    address, source = (ctypes.addressof(ctypes.c_char.from_buffer(held)) for held in (memory, other))
    works: dict[str, Callable[[], object]] = {
        "memory write, one thread": lambda: ctypes.memset(address, 1, size),
        "memory write, all threads": lambda: memset(memory),
        "memory copy, one thread": lambda: ctypes.memmove(address, source, size),
        "fresh memory, small pages": lambda: memset(mapped(size, huge=False)),
        "fresh memory, huge pages": lambda: memset(mapped(size)),
    }
    with tempfile.TemporaryFile() as file:
        file.write(memory)
        file.flush()
        works["loopback socket"] = lambda: _through_loopback(size, lambda to: _send_buffer(to, memory))
        if hasattr(os, "sendfile"):
            works["loopback socket, static file"] = lambda: _through_loopback(size, lambda to: _send_file(to, file))
        times: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(REPEATS):
            for name, work in works.items():
                work()
                started = time.perf_counter()
                work()
                times[name].append(size / (time.perf_counter() - started) / 1e9)
    return [
        {
            "name": name,
            "gb_s": rounded(statistics.median(rates)),
            "low": rounded(min(rates)),
            "high": rounded(max(rates)),
        }
        for name, rates in times.items()
    ]


def rounded(value: float) -> float:
    """Round to four significant digits; more digits are noise."""
    return float(f"{value:.4g}")


def _through_loopback(size: int, send: Callable[[socket.socket], None]) -> None:
    """Receive `size` bytes that another thread sends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = threading.Thread(target=lambda: send(server.accept()[0]))
        sender.start()
        buffer = bytearray(CHUNK)
        with socket.create_connection(server.getsockname()) as receiver:
            while size > 0:
                size -= receiver.recv_into(buffer)
        sender.join()


def _send_buffer(to: socket.socket, memory: bytearray) -> None:
    with to, memoryview(memory) as view:
        for at in range(0, len(view), CHUNK):
            to.sendall(view[at : at + CHUNK])


def _send_file(to: socket.socket, file: BinaryIO) -> None:
    with to:
        to.sendfile(file)
