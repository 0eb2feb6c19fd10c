"""Artifacts by Ray, on loopback: three nodes, of which two write, and what may die does.

It needs `pip install --group ray`. The nodes take about a gigabyte of memory.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fanin import artifact
from fanin.errors import DestinationError
from fanin_service.settings import Settings
from tests.support.servers import running, wait_for

pytestmark = pytest.mark.soak("ray")

LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Ray otherwise binds the address of the host, and sends statistics."""
ITEMS, SHARD = 40, 8 << 20
RECIPE = {
    "seed": 1,
    "layout": "torch",
    "dtype": "BF16",
    "tensors": {},
    "repeated": {f"layers.{{0..{ITEMS - 1}}}.weight": {"shape": [1024, 4096], "scheme": "he_normal"}},
}


class Nodes:
    """A head that runs no tasks, and nodes with one CPU each."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from ray.cluster_utils import Cluster
        limits: dict[str, Any] = {"object_store_memory": 80 << 20, "include_dashboard": False}
        self._limits = limits
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **limits})
        self._writers = [self._cluster.add_node(num_cpus=1, **limits) for _ in range(2)]
        self.address: str = self._cluster.address

    def kill(self) -> None:
        """Kill the raylet of a node that writes."""
        self._cluster.remove_node(self._writers.pop(), allow_graceful=False)

    def add(self) -> None:
        """Add nodes until two write."""
        while len(self._writers) < 2:
            self._writers.append(self._cluster.add_node(num_cpus=1, **self._limits))

    def writing(self) -> list[int]:
        """Return the ids of the processes that write an item now, as their titles say."""
        raylets = {_raylet(node) for node in self._writers}
        return [pid for pid, parent, title in processes() if parent in raylets and title.startswith("ray::fanin")]

    def stop(self) -> None:
        self._cluster.shutdown()


def _raylet(node: Any) -> int:
    (raylet,) = (info.process.pid for info in node.all_processes["raylet"])
    return int(raylet)


def processes() -> Iterator[tuple[int, int, str]]:
    """Yield the id, the parent's id and the title of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:  # it has ended
            continue
        yield int(folder.name), int(parent), title


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    # Ray reads them when it is imported.
    os.environ |= LOOPBACK
    pytest.importorskip("ray", reason="needs pip install --group ray")
    nodes = Nodes()
    try:
        assert nodes.address.startswith("127.0.0.1:")
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture
def nodes(cluster: Nodes) -> Nodes:
    cluster.add()
    return cluster


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files that threads of this process write."""
    folder = tmp_path_factory.mktemp("threads")
    artifact.make(RECIPE, folder, shard_bytes=SHARD)
    return files(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what changes if a complete item is written again: its inode and its time."""
    found = {}
    for path in folder.glob("model-*"):
        status = path.stat()
        found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


@contextmanager
def driver(folder: Path, nodes: Nodes, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that makes the artifact, by the command line or by another command.

    It is killed at the end of the block if it has not ended.
    """
    options = ["--shard-size", str(SHARD), "--engine", "ray", "--address", nodes.address, "--quiet"]
    words = command or ("-m", "fanin", "artifact", "make", json.dumps(RECIPE), str(folder), *options)
    with subprocess.Popen(
        [sys.executable, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code and what was written to standard error."""
    _, errors = process.communicate(timeout=240)
    return process.returncode, errors


def under_way(folder: Path, process: subprocess.Popen[str], items: int = 4) -> dict[str, tuple[int, int]]:
    """Wait until some items are complete and others are not; return the identities of those that are."""
    done = folder / ".fanin" / "done"
    wait_for(lambda: process.poll() is not None or (done.is_dir() and len(list(done.iterdir())) >= items), seconds=120)
    assert process.poll() is None
    records = {path.name.removesuffix(".json") for path in done.iterdir()}
    assert len(records) < ITEMS
    return {name: identity for name, identity in identities(folder).items() if name in records}


def check(folder: Path, expected: dict[str, bytes], before: dict[str, tuple[int, int]], nodes: Nodes) -> None:
    """Check bytes, that nothing unfinished stays, that nothing was written again, and that no writer runs on."""
    assert files(folder) == expected
    assert before.items() <= identities(folder).items()
    assert not (folder / ".fanin" / "partial").exists()
    wait_for(lambda: not nodes.writing())


def killed_worker(nodes: Nodes, process: subprocess.Popen[str]) -> None:
    wait_for(lambda: bool(nodes.writing()))
    os.kill(nodes.writing()[0], signal.SIGKILL)


def killed_node(nodes: Nodes, process: subprocess.Popen[str]) -> None:
    nodes.kill()


@pytest.mark.parametrize("fault", [killed_worker, killed_node])
def test_a_fault_of_the_cluster(
    fault: Callable[[Nodes, subprocess.Popen[str]], None], tmp_path: Path, nodes: Nodes, expected: dict[str, bytes]
) -> None:
    with driver(tmp_path, nodes) as process:
        before = under_way(tmp_path, process)
        fault(nodes, process)
        assert process.poll() is None
        assert ended(process)[0] == 0
    check(tmp_path, expected, before, nodes)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)],
)
def test_a_driver_that_ends_is_run_again(
    number: signal.Signals, code: int, tmp_path: Path, nodes: Nodes, expected: dict[str, bytes]
) -> None:
    with driver(tmp_path, nodes) as process:
        before = under_way(tmp_path, process)
        process.send_signal(number)
        found, errors = ended(process)
        assert found == code, errors
    wait_for(lambda: not nodes.writing())
    status = artifact.status(tmp_path)
    assert len(before) <= status.items_done < ITEMS
    assert not status.is_complete
    before = identities(tmp_path)
    with driver(tmp_path, nodes) as process:
        assert ended(process)[0] == 0
    check(tmp_path, expected, before, nodes)


def test_two_drivers_at_once(tmp_path: Path, nodes: Nodes, expected: dict[str, bytes]) -> None:
    with driver(tmp_path, nodes) as one, driver(tmp_path, nodes) as other:
        before = under_way(tmp_path, one)
        assert [ended(process)[0] for process in (one, other)] == [0, 0]
    check(tmp_path, expected, before, nodes)


def test_an_error_of_a_worker_is_that_of_the_driver(tmp_path: Path, nodes: Nodes) -> None:
    """An object with other content ends the work at once; nothing is replaced."""
    artifact.begin(RECIPE, tmp_path, shard_bytes=SHARD)
    foreign = tmp_path / f"model-00002-of-{ITEMS:05}.safetensors"
    foreign.write_bytes(b"x")
    with driver(tmp_path, nodes) as process:
        code, errors = ended(process)
    assert code == 10
    assert errors.startswith(f"fanin: {tmp_path}: {foreign.name} exists with 1 bytes")
    assert foreign.read_bytes() == b"x"
    wait_for(lambda: not nodes.writing())


FAILING = f"""
import json, sys, ray
from fanin import artifact
from fanin.artifact.engines import engine_of
environment = {{"PYTHONPATH": "{Path(__file__).parents[2]}"}}
hook = {{"worker_process_setup_hook": "{__name__}.failing", "env_vars": environment}}
ray.init(sys.argv[3], log_to_driver=False, runtime_env=hook)
engine = engine_of("ray", retries=int(sys.argv[4]))
artifact.make(json.loads(sys.argv[1]), sys.argv[2], shard_bytes={SHARD}, engine=engine)
"""
"""A driver that is connected before, to workers whose store fails."""


def failing() -> None:
    """Let each object of this worker fail once, or as the file `.fanin/fault` says. Runs in workers."""
    from fanin.artifact.destinations.directory import Directory
    from fanin.artifact.engines import ray as engine

    create = Directory.create

    def once(self: Directory, key: str, chunks: Any, size: int, metadata: Any = None) -> bool:
        own = Path(self.url) / ".fanin"
        fault = (own / "fault").read_text()
        if fault == "death":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            (own / f"{Path(key).name}.failed").touch(exist_ok=False)
        except FileExistsError:
            return create(self, key, chunks, size, metadata)
        raise DestinationError(f"{key} failed", may_pass=fault == "passing")

    Directory.create = once  # type: ignore[method-assign]
    engine._PAUSE = 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("passing", None),
        ("permanent", r"fanin\.errors\.DestinationError: model-\S+ failed"),
        ("death", r"fanin\.errors\.EngineError: Ray: .*Complete items stay for the next call"),
    ],
    ids=["passing", "permanent", "death"],
)
def test_a_fault_of_the_store(
    fault: str,
    message: str | None,
    tmp_path: Path,
    nodes: Nodes,
    expected: dict[str, bytes],
) -> None:
    """Ray tries again after an error that may pass. The driver raises another one, and a death in all attempts."""
    (tmp_path / ".fanin").mkdir()
    (tmp_path / ".fanin" / "fault").write_text(fault)
    # An error that passes ends one attempt for the object and one for its record.
    retries = "1" if fault == "death" else "2"
    with driver(tmp_path, nodes, "-c", FAILING, json.dumps(RECIPE), str(tmp_path), nodes.address, retries) as process:
        code, errors = ended(process)
    if message is not None:
        assert code == 1
        assert re.search(message, errors, re.DOTALL), errors
        return
    assert code == 0, errors
    marks = list((tmp_path / ".fanin").glob("*.failed"))
    assert len(marks) == 2 * ITEMS
    for mark in (*marks, tmp_path / ".fanin" / "fault"):
        mark.unlink()
    check(tmp_path, expected, {}, nodes)


def test_a_service_writes_by_ray(nodes: Nodes, tmp_path: Path) -> None:
    """Two artifacts at once, over one connection; one is cancelled, and continues."""
    settings = Settings(
        artifact_destinations={"weights": str(tmp_path / "made")},
        artifact_engine="ray",
        artifact_ray_address=nodes.address,
        check_seconds=86_400,
    )
    request = {"destination": "weights", "recipe": RECIPE, "shard_size": SHARD}
    with running(settings) as server:
        client = server.client
        paths = [
            client.post("/v1/artifacts", json={**request, "recipe": RECIPE | {"seed": seed}}).headers["Location"]
            for seed in (1, 2)
        ]
        wait_for(lambda: client.get(paths[0]).json()["items_done"] > 0)
        assert client.delete(paths[0]).json()["state"] == "cancelled"
        wait_for(lambda: client.get(paths[1]).json()["state"] == "complete", 300)
        assert client.post("/v1/artifacts", json=request).headers["Location"] == paths[0]
        wait_for(lambda: client.get(paths[0]).json()["state"] == "complete", 300)
        url = client.get(paths[0]).json()["url"]
    artifact.make(RECIPE, tmp_path / "here", shard_bytes=SHARD, engine="threads")
    for path in sorted((tmp_path / "here").glob("model*")):
        assert Path(url, path.name).read_bytes() == path.read_bytes()
