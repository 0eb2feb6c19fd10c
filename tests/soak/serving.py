"""A service in separate processes, and the resources that they use."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Served:
    """A service in a separate process, with its workers if it has any."""

    url: str
    pid: int

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.url.rpartition(":")[2])

    def memory(self) -> int:
        """Bytes resident now, of all processes; what they share is counted in each."""
        return self._sum("VmRSS") * 1024

    def peak(self) -> int:
        """Most bytes ever resident, of each process at its own time."""
        return self._sum("VmHWM") * 1024

    def threads(self) -> int:
        return self._sum("Threads")

    def files(self) -> int:
        """Open file descriptors."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self._pids())

    def cpu_seconds(self) -> float:
        """CPU time of all processes, on the usual clock of 100 Hz."""
        fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self._pids())
        return sum(int(field[11]) + int(field[12]) for field in fields) / 100

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def _sum(self, field: str) -> int:
        texts = (Path(f"/proc/{pid}/status").read_text() for pid in self._pids())
        return sum(int(found[1]) for text in texts if (found := re.search(rf"^{field}:\s+(\d+)", text, re.MULTILINE)))


@contextmanager
def service(*options: str) -> Iterator[Served]:
    """`fanin serve` with these options, in a separate process."""
    command = [sys.executable, "-m", "fanin", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            told = ""
            while not (found := re.search(r"Fanin on (http://\S+)", told)):
                line = process.stderr.readline()
                assert line, f"the service ended: {told}"
                told += line
            # Further output must not fill the pipe.
            threading.Thread(target=deque, args=(process.stderr, 0), daemon=True).start()
            yield Served(found[1], process.pid)
        finally:
            process.terminate()
            process.wait(60)
