"""The corpus of hostile requests, against an open server and one with keys: nothing breaks, grows or is told."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from fanin_service import keys
from fanin_service.principal import Right
from tests.service.corpus import CASES, CREDENTIALS, FILE, HOST, Case, get
from tests.service.servers import wait_for
from tests.service.test_serve import COMMAND

SETTLED_SECONDS = 0.02
"""Without another byte behind a complete answer, none will come: the server had all of the request."""
PEAK_BYTES = 256 << 20
"""Above what the server takes when it starts, at any time."""
GROWTH_BYTES = 16 << 20
"""Between two times that the corpus is sent, in the long run."""
TELLING = (b"Traceback", b".py", b"site-packages", b"/home", b"/tmp", b"/usr", bytes(Path.cwd()), b"root:")


class Size(NamedTuple):
    """What a process takes: bytes of memory at most and now, open files, threads."""

    peak: int
    resident: int
    files: int
    threads: int


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    address: tuple[str, int]
    log: Path
    key: str | None

    def send(self, case: Case, authorization: str | None) -> bytes:
        """All that is answered until nothing more comes."""
        extra = b"" if authorization is None else f"Authorization: {authorization}\r\n".encode("latin-1")
        data = case.data.replace(HOST, HOST + extra)
        found = bytearray()
        with socket.create_connection(self.address, timeout=60) as connection:
            try:
                connection.sendall(data)
                if case.cut:
                    connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(1 << 20):
                    found += part
                    if len(statuses(found)) >= case.answers:
                        connection.settimeout(SETTLED_SECONDS)
            except (TimeoutError, ConnectionResetError, BrokenPipeError):
                pass
        return bytes(found)

    def metrics(self) -> bytes:
        good = None if self.key is None else f"Bearer {self.key}"
        return self.send(Case("metrics", get("/metrics", "Connection: close"), (200,), answers=9), good)

    def size(self) -> Size:
        process = Path("/proc", str(self.process.pid))
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        peak, resident, threads = (int(status[name].split()[0]) for name in ("VmHWM", "VmRSS", "Threads"))
        return Size(peak << 10, resident << 10, len(list((process / "fd").iterdir())), threads)


@contextmanager
def serving(directory: Path, *, with_keys: bool) -> Iterator[Server]:
    log, key = directory / "log", None
    options = ["--port", "0", "--max-file-bytes", "1MiB"]
    if with_keys:
        key, _ = keys.create(directory / "keys.json", "tester", tuple(Right))
        options += [
            "--access",
            "keys",
            "--keys-file",
            str(directory / "keys.json"),
            "--cors-origins",
            "https://x.example",
        ]
    with (
        open(log, "wb") as output,
        subprocess.Popen([sys.executable, "-c", COMMAND, *options], stdout=output, stderr=output) as process,
    ):
        try:
            wait_for(lambda: b"startup complete" in log.read_bytes() or process.poll() is not None)
            found = re.search(rb"http://([0-9.]+):(\d+)", log.read_bytes())
            assert found, log.read_text()
            yield Server(process, (found[1].decode(), int(found[2])), log, key)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def statuses(answers: bytes | bytearray) -> list[int]:
    """Of all complete answers, by their lengths; -1 for bytes that are none."""
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
    """What is wrong with these answers."""
    found = statuses(answers)
    if (not found and not case.silent) or len(found) > case.answers or not set(found) <= set(allowed):
        yield f"{case.name}: {found} {answers[:200]!r}"
    if told := [each for each in TELLING if each in answers and each not in case.data]:
        yield f"{case.name}: tells {told}"
    if secret and secret.encode() in answers:
        yield f"{case.name}: tells the key"


def send_all(server: Server, good: str | None) -> Iterator[str]:
    """What is wrong with the answers to the whole corpus, and to every beginning of a request."""
    for case in CASES:
        yield from wrong(case, server.send(case, good), case.statuses, server.key)
    if good is not None:
        # Without a key nothing can be learnt but that a request is none.
        for case in CASES:
            if len(case.data) < 1 << 18:
                yield from wrong(case, server.send(case, None), (400, 401), None)
        for each in CREDENTIALS:
            asked = Case(f"credentials: {each[:40]!a}", get("/v1/schemes"), (400, 401))
            yield from wrong(asked, server.send(asked, each), asked.statuses, None)
    whole = CASES[0].data
    for end in range(len(whole)):
        server.send(Case("cut off", whole[:end], (400,), silent=True, cut=True), good)


def scan(address: tuple[str, int], good: str | None) -> None:
    """Two thousand paths that there are not."""
    connection = HTTPConnection(*address, timeout=60)
    for n in range(2000):
        headers = {"X-Request-ID": str(n), **({"Authorization": good} if good else {})}
        connection.request(("GET", "HEAD", "PROPFIND")[n % 3], f"/{n}/{n * n}", headers=headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read() != b"") == (404, n % 3 != 1)
    connection.close()


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.soak)])
@pytest.mark.parametrize("with_keys", [False, True], ids=["open", "keys"])
def test_corpus(tmp_path: Path, with_keys: bool, times: int) -> None:
    with serving(tmp_path, with_keys=with_keys) as server:
        good = f"Bearer {server.key}" if with_keys else None
        grown = before = server.size()
        for n in range(times):
            if n == times // 2:
                grown = server.size()
            assert not list(send_all(server, good))
        series = server.metrics().count(b"\n")
        scan(server.address, good)
        wait_for(lambda: server.size().files <= before.files)
        after = server.size()
        sys.stderr.write(f"{len(CASES)} cases, {times} times: {before}, {grown}, {after}\n")
        assert after.peak - before.resident < PEAK_BYTES
        assert times == 1 or after.resident - grown.resident < GROWTH_BYTES
        # Those that read recipes and generate are made when they are needed.
        assert after.threads <= before.threads + 2 * len(os.sched_getaffinity(0))
        # The routes none and /metrics are new: not one path or method of a client's is told.
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
