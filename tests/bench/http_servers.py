"""Servers that `tests.bench.http` compares, each in a separate process."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

BLOCK = 1 << 20
Address = tuple[str, int]


@dataclass(frozen=True)
class Server:
    """A server in another process."""

    address: Address
    pid: int

    def cpu_seconds(self) -> float:
        """Return the processor time of all its threads and workers so far. 0 on systems without /proc/*/schedstat."""
        pids, total = [self.pid], 0
        for pid in pids:
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    total += int((task / "schedstat").read_text().split()[0])
                    pids += map(int, (task / "children").read_text().split())
        return total / 1e9

    def resident(self) -> int:
        """Return its bytes of memory; 0 on systems without /proc."""
        with suppress(OSError):
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return 0


def fanin_server(*options: str) -> AbstractContextManager[Server]:
    """Start `fanin serve`."""
    return _started("/readyz", "fanin", "serve", "--port", "0", *options)


def bare_server(size: int) -> AbstractContextManager[Server]:
    """Start the smallest ASGI application that sends `size` bytes, in the service's uvicorn."""
    return _started("/", "tests.bench.bare_app", str(size))


@contextmanager
def _started(path: str, *module: str) -> Iterator[Server]:
    """Start a module that prints its URL, and wait until it serves `path`."""
    with subprocess.Popen(
        [sys.executable, "-m", *module], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        try:
            found = re.search(r"http://([0-9.]+):([0-9]+)", process.stderr.readline())
            assert found, "the service did not start"
            threading.Thread(target=process.stderr.read, daemon=True).start()
            address = found[1], int(found[2])
            until_ready(address, path)
            yield Server(address, process.pid)
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def raw_server(size: int) -> Iterator[Address]:
    """A socket loop that sends `size` bytes of one ready buffer on each connection."""
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
            connection.sendall(get(path))
            if connection.recv(BLOCK).startswith(b"HTTP/1.1 200"):
                return
        assert time.monotonic() < deadline, "the server did not get ready"
        time.sleep(0.01)


def get(path: str, first: int | None = None, count: int = 0) -> bytes:
    """Return a request for a file or for `count` bytes of it."""
    ranges = "" if first is None else f"Range: bytes={first}-{first + count - 1}\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{ranges}\r\n".encode()
