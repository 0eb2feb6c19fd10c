"""A thousand connections of which four hundred are bad: memory stays bounded, and the others get their share.

    LOAD_MINUTES=10 python -m pytest --soak load -s tests/soak/test_load.py

Two cores generate and check the bodies, for six hundred clients that read as fast as they can. The rate of a single
client alone says little here. The test compares the bytes that the six hundred get by themselves with those that they
get beside the four hundred bad ones, each for a second of the server's processor time: other programs change rates. It
also prints the rate of a probe that fetches larger bodies: one more client, which gets what the others leave.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import pytest
import urllib3

from fanin import FileLayout, backends
from fanin.file.plan import read_into
from tests.soak.serving import Served, service

pytestmark = pytest.mark.soak("load")

MINUTES = float(os.environ.get("LOAD_MINUTES", "10"))
FAST, SLOW, STALLED = 600, 200, 200
MOST_MEMORY = 3 << 29
"""Above idle: for each of a thousand streams the chunks that it may hold, and what the allocator keeps of them."""
ELEMENTS = 16_000_000
"""64 MB."""


class Probe:
    """One good client; rates of its bodies, in bytes a second."""

    def __init__(self, served: Served) -> None:
        layout = FileLayout.of({"shape": [ELEMENTS], "scheme": "normal", "std": 1})
        content = bytearray(layout.size)
        read_into(layout, 0, memoryview(content), backends.get())
        self._wanted = hashlib.sha256(content).digest()
        self._url = f"{served.url}/v1/weights?shape={ELEMENTS}&scheme=normal&std=1"
        self._pool = urllib3.PoolManager(timeout=300)

    def rates(self, seconds: float) -> list[float]:
        """Fetch bodies for so long, and one at least."""
        found, ends = [], time.monotonic() + seconds
        while not found or time.monotonic() < ends:
            began, digest, count = time.monotonic(), hashlib.sha256(), 0
            with self._pool.request("GET", self._url, preload_content=False, retries=False) as answer:
                assert answer.status == 200
                for part in answer.stream(1 << 18):
                    digest.update(part)
                    count += len(part)
            assert digest.digest() == self._wanted
            found.append(count / (time.monotonic() - began))
        return found


@contextmanager
def crowd(served: Served, seconds: float, fast: int, slow: int, stalled: int) -> Iterator[dict[str, Any]]:
    """Run this number of clients at the same time, and return their results."""
    counts = map(str, (seconds, fast, slow, stalled))
    command = [sys.executable, "-m", "tests.soak.crowd", *map(str, served.address), *counts]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == "all are here\n"
            result: dict[str, Any] = {}
            yield result
            result.update(json.loads(process.stdout.readline()))
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_load() -> None:
    with service("--stall-seconds", "30") as served:
        probe = Probe(served)
        solo = probe.rates(10)
        idle = served.memory()
        beside = 60 * min(1.0, MINUTES)
        before = served.cpu_seconds()
        with crowd(served, beside, FAST, 0, 0) as good:
            among_good = probe.rates(beside - 5)
        good["bytes a CPU second"] = good["rate"] * beside / (served.cpu_seconds() - before)
        memory, files, done = [served.memory()], [0], threading.Event()

        def watch() -> None:
            while not done.wait(1):
                memory.append(served.memory())
                files.append(served.files())

        watching = threading.Thread(target=watch)
        watching.start()
        before = served.cpu_seconds()
        with (
            # Not in one process: there the fast ones would make the slow ones slower.
            crowd(served, 60 * MINUTES, 0, SLOW, STALLED) as bad,
            crowd(served, 60 * MINUTES, FAST, 0, 0) as others,
        ):
            among_all = probe.rates(60 * MINUTES - 5)
        others["bytes a CPU second"] = others["rate"] * 60 * MINUTES / (served.cpu_seconds() - before)
        done.set()
        watching.join()
        time.sleep(10)
        after = served.memory()
    figures = {
        "probe": {name: median(rates) for name, rates in [("solo", solo), ("good", among_good), ("all", among_all)]},
        "good": good,
        "others": others,
        "bad": bad,
        "memory": {"idle": idle, "good": memory[0], "peak": max(memory), "after": after},
        "files": max(files),
    }
    print(json.dumps(figures))
    for result in (good, others, bad):
        for name, count in result["counts"].items():
            assert count == 0 or not re.search("lost|wrong", name), result
            assert "refused" not in name or name.endswith(("429", "503")), result
    assert bad["counts"]["stalled"] >= STALLED
    assert MINUTES < 2 or bad["counts"]["slow, finished"]
    assert max(memory) - idle < MOST_MEMORY
    assert max(files) > FAST + SLOW + STALLED
    assert others["bytes a CPU second"] >= good["bytes a CPU second"] / 2
