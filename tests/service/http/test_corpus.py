"""The corpus of hostile requests, against an open server, and against workers behind TLS with keys and tokens.

The server does not fail or grow, and its responses do not disclose anything.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from fanin_service.access import keys
from fanin_service.access.scopes import Right
from tests.support.authority import Authority
from tests.support.corpus import CASES, CREDENTIALS, FILE, HOST, NO_TLS, Case, get
from tests.support.fuzzing import damaged, fuzz
from tests.support.identity import AUDIENCE, ISSUER, Provider
from tests.support.processes import COMMAND
from tests.support.servers import wait_for

SETTLED_SECONDS = 0.02
"""Time after a complete response in which a further byte would arrive: the server had the full request."""
WORKERS = 2
"""Number of workers of the guarded server."""
PEAK_BYTES = 128 << 20
"""Maximum memory of a process at any time, above its memory at the start."""
FILES = 8
"""Maximum number of files that stay open after first use: those of metrics, and a connection to the key provider."""
GROWTH_BYTES = 16 << 20
"""Maximum growth of memory while the corpus is sent repeatedly, in the long run."""
TELLING = (
    b"Traceback",
    b'.py", line',
    b'.py\\", line',
    b"site-packages",
    b"/home",
    b"/tmp",
    b"/usr",
    bytes(Path.cwd()),
    b"root:",
)


CLIENTS = 8
"""Number of simultaneous clients: most of a case's time is the wait for further bytes."""


class Size(NamedTuple):
    """Resources of the processes: peak and current memory in bytes, open files, threads."""

    peak: int
    resident: int
    files: int
    threads: int


@dataclass(frozen=True)
class Server:
    """A server in separate processes."""

    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    log: Path
    key: str | None
    tls: ssl.SSLContext | None
    workers: int

    def connect(self) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=60)
        return self.tls.wrap_socket(connection, server_hostname=self.address[0]) if self.tls else connection

    def send(self, case: Case, authorization: str | None) -> bytes:
        """Send the case, and return all bytes of the responses."""
        extra = b"" if authorization is None else f"Authorization: {authorization}\r\n".encode("latin-1")
        data = case.data.replace(HOST, HOST + extra)
        found = bytearray()
        with self.connect() as connection:
            try:
                connection.sendall(data)
                if case.cut:
                    socket.socket.shutdown(connection, socket.SHUT_WR)  # the TCP side, without an end of TLS
                while part := connection.recv(1 << 20):
                    found += part
                    if len(statuses(found)) >= case.answers:
                        connection.settimeout(SETTLED_SECONDS)
            except OSError:  # the server sends no more bytes, or accepts no more
                pass
        return bytes(found)

    def metrics(self) -> bytes:
        good = None if self.key is None else f"Bearer {self.key}"
        return self.send(Case("metrics", get("/metrics", "Connection: close"), (200,), answers=9), good)

    def size(self) -> Size:
        """Return the sums over all processes."""
        root = Path("/proc", str(self.process.pid))
        children = (root / "task" / root.name / "children").read_text().split()
        return Size(*map(sum, zip(*(size_of(root.with_name(pid)) for pid in [root.name, *children]))))


def size_of(process: Path) -> Size:
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    peak, resident, threads = (int(status[name].split()[0]) for name in ("VmHWM", "VmRSS", "Threads"))
    return Size(peak << 10, resident << 10, len(list((process / "fd").iterdir())), threads)


@contextmanager
def serving(directory: Path, *, guarded: bool) -> Iterator[Server]:
    log, key, tls, workers = directory / "log", None, None, WORKERS if guarded else 1
    options = ["--port", "0", "--max-file-bytes", "1MiB"]
    with ExitStack() as stack:
        if guarded:
            key, _ = keys.create(directory / "keys.json", "tester", tuple(Right))
            provider = stack.enter_context(Provider())
            authority = Authority(directory, "authority")
            tls = ssl.create_default_context(cafile=authority.path)
            more = {
                "access": "keys+jwt",
                "keys-file": directory / "keys.json",
                "jwt-issuer": ISSUER,
                "jwt-audience": AUDIENCE,
                "jwt-jwks-url": provider.url,
                "cors-origins": "https://x.example",
                "failed-logins-per-minute": 10**9,
                "workers": WORKERS,
                **dict(zip(("tls-cert", "tls-key"), authority.certificate("server"))),
            }
            options += [text for name, each in more.items() for text in (f"--{name}", str(each))]
        output = stack.enter_context(open(log, "wb"))
        process = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", COMMAND, *options], stdout=output, stderr=output)
        )
        try:
            started = b"startup complete"
            wait_for(lambda: log.read_bytes().count(started) == workers or process.poll() is not None)
            found = re.search(rb"https?://([0-9.]+):(\d+)", log.read_bytes())
            assert found, log.read_text()
            yield Server(process, (found[1].decode(), int(found[2])), log, key, tls, workers)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def statuses(answers: bytes | bytearray) -> list[int]:
    """Return the statuses of all complete responses; -1 for bytes that are not a response."""
    found = []
    while answers:
        head, end, rest = answers.partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.1 ([1-5]\d\d) ", head)
        if not line:
            return [*found, -1]
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        if not end or (length and len(rest) < int(length[1])):
            return found
        found.append(int(line[1]))
        answers = rest[int(length[1]) :] if length else rest
    return found


def wrong(case: Case, answers: bytes, allowed: tuple[int, ...], secret: str | None) -> Iterator[str]:
    """Yield the faults of these responses."""
    found = statuses(answers)
    if (not found and not case.silent) or len(found) > case.answers or not set(found) <= set(allowed):
        yield f"{case.name}: {found} {answers[:200]!r}"
    if told := [each for each in TELLING if each in answers and each not in case.data]:
        yield f"{case.name}: tells {told}"
    if secret and secret.encode() in answers:
        yield f"{case.name}: tells the key"


def send_all(server: Server, good: str | None) -> list[str]:
    """Send the corpus, and every beginning of a request; return the faults of the responses."""
    asked = [(case, good, case.statuses, server.key) for case in CASES]
    if good is not None:
        # Without a key, a client can learn only that a request is malformed.
        small = (replace(case, answers=1) for case in CASES if len(case.data) < 1 << 18)
        asked += [(case, None, (400, 401), None) for case in small]
        nobody = Case("credentials", get("/v1/schemes"), (400, 401))
        asked += [(nobody, each, nobody.statuses, None) for each in CREDENTIALS]
    whole = CASES[0].data
    beginnings = [Case("cut off", whole[:end], (400,), silent=True, cut=True) for end in range(len(whole))]
    asked += [(case, good, (400, 401), None) for case in beginnings]

    def send(case: Case, authorization: str | None, allowed: tuple[int, ...], secret: str | None) -> list[str]:
        return list(wrong(case, server.send(case, authorization), allowed, secret))

    with ThreadPoolExecutor(CLIENTS) as clients:
        return [fault for faults in clients.map(lambda each: send(*each), asked) for fault in faults]


def send_no_tls(server: Server) -> list[str]:
    """Send bytes that are not TLS, before and after a handshake; return responses other than alerts (RFC 8446, 6)."""
    found = []
    for junk in NO_TLS:
        for shaken in (False, True):
            with server.connect() if shaken else socket.create_connection(server.address, timeout=60) as connection:
                try:
                    socket.socket.sendall(connection, junk)
                    socket.socket.shutdown(connection, socket.SHUT_WR)
                    while part := socket.socket.recv(connection, 1 << 16):
                        if not shaken and not part.startswith(b"\x15"):
                            found.append(f"{junk[:20]!r}: {part[:200]!r}")
                except OSError:
                    pass
    return found


def scan(server: Server, good: str | None) -> None:
    """Request two thousand paths that do not exist."""
    if server.tls:
        connection: HTTPConnection = HTTPSConnection(*server.address, timeout=60, context=server.tls)
    else:
        connection = HTTPConnection(*server.address, timeout=60)
    for n in range(2000):
        headers = {"X-Request-ID": str(n), **({"Authorization": good} if good else {})}
        connection.request(("GET", "HEAD", "PROPFIND")[n % 3], f"/{n}/{n * n}", headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read() != b"") == (404, n % 3 != 1)
    connection.close()


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.soak("requests"))])
@pytest.mark.parametrize("guarded", [False, True], ids=["open", "guarded"])
def test_corpus(tmp_path: Path, guarded: bool, times: int) -> None:
    with serving(tmp_path, guarded=guarded) as server:
        good = f"Bearer {server.key}" if guarded else None
        grown = before = server.size()
        for n in range(times):
            if n == times // 2:
                grown = server.size()
            assert send_all(server, good) == []
            assert not guarded or send_no_tls(server) == []
        series = server.metrics().count(b"\n")
        scan(server, good)
        wait_for(lambda: server.size().files <= before.files + (FILES if guarded else 0))
        after = server.size()
        sys.stderr.write(f"{len(CASES)} cases, {times} times: {before}, {grown}, {after}\n")
        assert after.peak - before.resident < PEAK_BYTES * server.workers
        assert times == 1 or after.resident - grown.resident < GROWTH_BYTES * server.workers
        # Threads that read recipes, generate, fetch keys and write metrics start when they are needed.
        assert after.threads <= before.threads + (2 * len(os.sched_getaffinity(0)) + 2) * server.workers
        # Only the routes `none` and /metrics are new: metrics do not contain paths or methods that clients invent.
        assert server.metrics().count(b"\n") <= series + 60
        assert b"PROPFIND" not in server.metrics()
        assert statuses(server.send(Case("a good one", get(FILE), (200,)), good)) == [200]
    log = server.log.read_bytes()
    assert b"Traceback" not in log
    assert b"ERROR" not in log
    assert server.key is None or server.key.encode() not in log
    assert all(line.startswith(b"{") or b" INFO " in line or b" WARNING " in line for line in log.splitlines()), log[
        -2000:
    ]


@pytest.mark.parametrize("count", [100, pytest.param(20_000, marks=pytest.mark.soak("requests"))])
def test_damaged_requests(tmp_path: Path, count: int) -> None:
    """The requests of the corpus with changed bytes have no worse effect."""
    texts = [case.data for case in CASES if len(case.data) < 1 << 12]
    with serving(tmp_path, guarded=False) as server:

        def holds(data: bytes) -> None:
            answers = server.send(Case("damaged", data, (), answers=1 << 30, silent=True, cut=True), None)
            assert not re.search(rb"HTTP/1\.1 5(?!03)", answers)
            assert not [each for each in TELLING if each in answers and each not in data]

        fuzz(count, holds, damaged(texts))
        assert statuses(server.send(Case("a good one", get(FILE), (200,)), None)) == [200]
        assert b"Traceback" not in server.log.read_bytes()
