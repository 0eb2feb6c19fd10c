"""Time, CPU, memory and bytes to disk of writing a directory of Hugging Face, beside torch's HuggingFaceStorageWriter.

    python -m tests.bench.hf_writers [--bytes 2GB] [--shard-size 500MB] [--directory DIR] [--repeats N] [--json FILE]

The model is matrices of 4096 x 4096 in BF16, normal. Each work runs in separate processes, and the works run in turns:

- `artifact`: `fanin.artifact.make`, with a SHA-256 of each file, by threads of one process;
- `checkpoint`: `fanin.torch.save_checkpoint`, without digests;
- `torch`: two ranks with one half of each tensor, which `save` writes with consolidation, as a trainer with FSDP does.
  The tensors are in memory before; the time to draw them is reported apart.

The times end when the files are on the disk (`fsync`). Twice the bytes of the model must be free in `--directory`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fanin import artifact
from fanin.cli import options as shared
from fanin_lab.bench import pairs
from tests.bench import command
from tests.support.processes import memory

SIDE = 4096
EACH = 2 * SIDE * SIDE
"""Bytes of a matrix."""
RANKS = 2
WORKS = ("artifact", "checkpoint", "torch")


def names(size: int) -> list[str]:
    return [f"layers.{number:05}.weight" for number in range(max(1, size // EACH))]


def recipe(size: int) -> dict[str, Any]:
    matrix = {"shape": [SIDE, SIDE], "scheme": "normal", "std": 0.02, "dtype": "BF16"}
    return {"seed": 7, "layout": "torch", "tensors": dict.fromkeys(names(size), matrix)}


def measured(work: Callable[[], object], folder: str) -> dict[str, float]:
    """Return what a work of this process took, until the files in a folder are on the disk.

    These are seconds, CPU seconds, bytes of memory beyond those before, and bytes written.
    """
    Path("/proc/self/clear_refs").write_text("5")
    before, wrote, cpu, start = memory(), _written(), _cpu(), time.perf_counter()
    work()
    for path in Path(folder).rglob("*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "cpu": _cpu() - cpu, "memory": memory("VmHWM") - before, "written": _written() - wrote}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _written() -> int:
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"])


def _rank(folder: str, size: int, shard: int) -> list[dict[str, float]]:
    """Draw and write half of each tensor; return what both took."""
    import torch
    import torch.distributed as dist
    from torch.distributed.checkpoint import save
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard

    torch.set_num_threads(1)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    state: dict[str, Any] = {}

    def draw() -> None:
        for name in names(size):
            local = torch.empty(SIDE // dist.get_world_size(), SIDE, dtype=torch.bfloat16).normal_(std=0.02)
            state[name] = DTensor.from_local(local, mesh, [Shard(0)])

    def write() -> None:
        writer = HuggingFaceStorageWriter(
            folder,
            fqn_to_index_mapping={name: 1 + place * EACH // shard for place, name in enumerate(names(size))},
            save_distributed=True,
            enable_consolidation=True,
            thread_count_consolidation=dist.get_world_size(),
        )
        save(state, storage_writer=writer)
        dist.barrier()

    return [measured(draw, folder), measured(write, folder)]


def work(name: str, folder: str, size: int, shard: int) -> dict[str, float]:
    """Do one work in this process, and return what it took."""
    if name == "artifact":
        return measured(lambda: artifact.make(recipe(size), folder, shard_bytes=shard), folder)
    from tests.torch import ranks

    if name == "torch":
        found = ranks.run(RANKS, _rank, folder, size, shard)
        drawn, written = ([rank[part] for rank in found] for part in (0, 1))
        total = {key: sum(rank[key] for rank in written) for key in written[0]}
        total["seconds"] = max(rank["seconds"] for rank in written)
        total["draw seconds"] = max(rank["seconds"] for rank in drawn)
        total["draw cpu"] = sum(rank["cpu"] for rank in drawn)
        total["state"] = sum(rank["memory"] for rank in drawn)
        return total
    from fanin.torch import save_checkpoint

    return measured(lambda: save_checkpoint(recipe(size), folder, format="safetensors", shard_bytes=shard), folder)


def turn(name: str, parent: Path | None, size: int, shard: int) -> dict[str, float]:
    """Do one work in a separate process and a new directory, which is removed."""
    folder = tempfile.mkdtemp(dir=parent)
    try:
        arguments = [sys.executable, "-m", "tests.bench.hf_writers", "--work", name, folder, f"{size}", f"{shard}"]
        ended = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
        return found
    finally:
        shutil.rmtree(folder)


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 1e4 else f"{value / 1e6:.0f} MB"


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        name, folder, size, shard = sys.argv[2:]
        print(json.dumps(work(name, folder, int(size), int(shard))))
        return
    parser = command.parser(__doc__, WORKS, 7)
    parser.add_argument("--bytes", type=shared.size, default=2_000_000_000, help="bytes of the tensors (2GB)")
    parser.add_argument("--shard-size", type=shared.size, default=500_000_000, help="bytes of a file (500MB)")
    parser.add_argument("--directory", type=Path, help="where to write (the directory for temporary files)")
    chosen, report = parser.parse_args(), command.Report()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in chosen.only}
    for number in range(chosen.repeats):
        for name in pairs.turn_order(chosen.only, number):
            found[name].append(turn(name, chosen.directory, chosen.bytes, chosen.shard_size))
    for name, turns in found.items():
        medians = {key: pairs.summary([each[key] or 1e-9 for each in turns]).median for key in turns[0]}
        text = ", ".join(
            f"{key} {value:.2f}" if value < 1e4 else f"{key} {value / 1e6:.0f} MB" for key, value in medians.items()
        )
        report.add(f"{name}: {text}", work=name, bytes=chosen.bytes, shard=chosen.shard_size, turns=turns)
    for name in found.keys() - {"torch"} if "torch" in found else ():
        for key in ("seconds", "cpu"):
            ratio = pairs.ratio([each[key] for each in found["torch"]], [each[key] for each in found[name]])
            report.add(f"torch / {name}, {key}: {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")
    report.write(chosen.json)


if __name__ == "__main__":
    main()
