"""The command `fanin serve` in separate processes, with one worker or several; the memory of this process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import kill
from pathlib import Path

COMMAND = (
    "import argparse, sys; from fanin_service.server import command;"
    " parser = argparse.ArgumentParser(description=command.HELP); command.add_arguments(parser);"
    " sys.exit(command.run(parser.parse_args()))"
)


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMMAND, *options]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)


def memory(field: str = "VmRSS") -> int:
    """Return the memory of this process in bytes: now (VmRSS), or its peak since the last reset (VmHWM)."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) << 10


@contextmanager
def serving(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield URL and process of a separate server."""
    command = [sys.executable, "-c", COMMAND, "--port", "0", "--backend", "reference", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        try:
            line = process.stderr.readline()
            started = re.search(r"(https?://127\.0\.0\.1:[0-9]+) with the reference backend", line)
            assert started, line
            yield started[1], process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert process.returncode == 0


@dataclass
class Workers:
    """A running server, and the process ids of its workers, read from its log."""

    url: str
    process: subprocess.Popen[str]
    pids: list[int] = field(default_factory=list)

    @contextmanager
    def only(self, pid: int) -> Iterator[None]:
        """Suspend the other worker inside the block."""
        (other,) = (worker for worker in self.pids if worker != pid)
        kill(other, signal.SIGSTOP)
        try:
            yield
        finally:
            kill(other, signal.SIGCONT)
