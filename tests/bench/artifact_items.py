"""Cost of many items: a plan of 10 TB and 100,000 items, in the process that hands them out.

    python -m tests.bench.artifact_items [--only part ray] [--items 100000] [--json FILE]

Nothing is generated or stored: the store says of each object that it was created, and digests are zeros. Everything
else is real: the claim, the plan, each item with its header and record, and the cluster. CPU seconds are those of this
process, with all its threads. For `part` it also builds each item; for `ray` the workers do. Ray needs
`pip install --group ray`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from fanin import artifact
from fanin.artifact import writing
from fanin.artifact.destinations.directory import Directory
from fanin.artifact.documents import PLAN, RECIPE
from fanin.artifact.engines import Engine
from tests.bench import command
from tests.support.processes import memory

ITEM_BYTES = 100_000_000
TENTHS = 10


def stub() -> None:
    """Replace generation, hashing and writing of objects. Ray calls it in each worker."""
    Directory.create = create  # type: ignore[method-assign]
    writing._Making.digest = lambda _: "0" * 64  # type: ignore[method-assign]


def create(
    self: Directory, key: str, chunks: Iterable[memoryview], size: int, metadata: Mapping[str, str] | None = None
) -> bool:
    """Write the claim and the recipe; say of any other object that it was created."""
    if key in (PLAN, RECIPE):
        path = Path(self.url) / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return False
        path.write_bytes(b"".join(chunks))
    return True


def recipe(items: int) -> dict[str, Any]:
    """Return a recipe with one tensor for each item."""
    tensor = {"shape": [50_000, 1_000], "scheme": "he_normal", "dtype": "BF16"}
    return {"seed": 1, "layout": "torch", "tensors": {}, "repeated": {f"layers.{{0..{items - 1}}}.weight": tensor}}


def measured(name: str, items: int, engine: str | Engine) -> dict[str, Any]:
    """Return a row: seconds of this process for each step, and its memory after each tenth of the items."""
    folder = Path(tempfile.mkdtemp(prefix="fanin-items-"))
    row: dict[str, Any] = {"engine": name, "items": items, "bytes": items * ITEM_BYTES, "memory": []}
    done = 0
    marks = {items * tenth // TENTHS for tenth in range(1, TENTHS + 1)}

    def watch(progress: artifact.Progress) -> None:
        nonlocal done
        done = progress.items_done
        if done in marks:
            marks.discard(done)
            row["memory"].append(memory())

    try:
        with timed(row, "begin"):
            artifact.begin(recipe(items), folder, shard_bytes=ITEM_BYTES)
        with timed(row, "write"):
            artifact.write_part(folder, "0/1", engine=engine, progress=watch)
        assert done == items
    finally:
        shutil.rmtree(folder)
    each = row["write"]["cpu"] / items * 1e3
    size = ", ".join(f"{count / 1e6:.0f}" for count in row["memory"])
    row["text"] = f"{name}: {items} items, {each:.3f} ms of CPU an item, {row['write']['seconds']:.0f} s; MB: {size}"
    return row


@contextmanager
def timed(row: dict[str, Any], name: str) -> Iterator[None]:
    """Store the seconds and the CPU seconds of this process that the block takes."""
    started, cpu = time.monotonic(), time.process_time()
    yield
    row[name] = {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}


@contextmanager
def cluster(nodes: int = 2) -> Iterator[Engine]:
    """Yield an engine on a cluster of this machine, on loopback, that this process is connected to."""
    os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    # `python -m` finds this package in the working directory, which is not that of Ray's workers.
    found = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, found))
    import ray
    from ray.cluster_utils import Cluster

    from fanin.artifact.engines.ray import Engine as RayEngine

    limits: dict[str, Any] = {"object_store_memory": 80 << 20, "include_dashboard": False}
    running = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **limits})
    try:
        for _ in range(nodes):
            running.add_node(num_cpus=1, **limits)
        ray.init(
            running.address,
            log_to_driver=False,
            runtime_env={"worker_process_setup_hook": "tests.bench.artifact_items.stub"},
        )
        yield RayEngine()
    finally:
        ray.shutdown()
        running.shutdown()


def main() -> None:
    parser = command.parser(__doc__, ("part", "ray"), 1)
    parser.add_argument("--items", type=int, default=100_000)
    chosen, report = parser.parse_args(), command.Report()
    stub()
    for name in chosen.only:
        with cluster() if name == "ray" else nullcontext("threads") as engine:
            for _ in range(chosen.repeats):
                report.add(**measured(name, chosen.items, engine))
    report.write(chosen.json)


if __name__ == "__main__":
    main()
