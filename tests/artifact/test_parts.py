"""Parts of an artifact, and engines: every item is written once, in bounded memory, and after errors that pass."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import fanin
from fanin import artifact
from fanin.artifact import making
from fanin.artifact.engines import engine_of
from fanin.artifact.plan import Plan
from fanin.artifact.progress import Tally
from fanin.artifact.writing import Record
from fanin.errors import ArtifactError, DestinationError
from fanin.file.disk import CHUNK
from tests.support.checkpoints import RECIPE, SHARD, files_of, made

JOB = {"JOB_COMPLETION_INDEX": "3"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "8"}
RANKS = {"RANK": "2", "WORLD_SIZE": "4"}


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("0/1", {}, (0, 1)),
        ("9/10", RANKS, (9, 10)),
        ("auto/10", JOB, (3, 10)),
        ("auto", {**ARRAY, "SLURM_ARRAY_TASK_COUNT": "8"}, (4, 8)),
        ("auto/9", ARRAY, (5, 9)),
        ("auto", RANKS, (2, 4)),
        ("auto/8", RANKS, (2, 8)),
    ],
)
def test_parts_of_an_environment(text: str, environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert artifact.Part.parse(text, environment) == artifact.Part(*expected)


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("10/10", {}, "part 10/10: a part is I/N with I from 0 to N - 1"),
        ("0/0", {}, "part 0/0: a part is I/N"),
        ("-1/2", {}, "part '-1/2': a part is I/N"),
        ("1", {}, "part '1': a part is I/N"),
        ("auto", {}, "none of the environment variables JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID and RANK is set"),
        ("auto", JOB, "a Kubernetes Job does not tell the number of its indexes: use auto/N"),
        ("auto/3", JOB, "part 3/3"),
        ("auto/3", {"JOB_COMPLETION_INDEX": "x"}, "JOB_COMPLETION_INDEX is 'x', not a number"),
        # Tasks 5 and 7 again: their count is not that of the parts.
        ("auto", {**ARRAY, "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "2"}, "has 2 tasks from 5 to 8"),
        ("auto", {"RANK": "0"}, "WORLD_SIZE is '', not a number"),
    ],
)
def test_wrong_parts(text: str, environment: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        artifact.Part.parse(text, environment)


@pytest.mark.parametrize(("total", "count"), [(10, 3), (3, 10), (0, 2), (7, 1)])
def test_parts_have_every_item_once(total: int, count: int) -> None:
    items = [item for index in range(count) for item in artifact.Part(index, count).items(total)]
    assert sorted(items) == list(range(total))


def test_parts_that_know_the_url_alone(tmp_path: Path) -> None:
    artifact.begin(RECIPE, tmp_path / "parts", shard_bytes=SHARD)
    for part in ("1/2", artifact.Part(0, 2)):
        artifact.write_part(tmp_path / "parts", part)
    artifact.finish(tmp_path / "parts")
    made(tmp_path / "one", files=None)
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "one")


def test_errors_that_may_pass_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = making.write

    def write(plan: Plan, number: int, *rest: Any) -> Record:
        calls.append(number)
        if calls.count(number) < 3:
            rest[2](1000)  # bytes that do not count in the end
            raise DestinationError("503")
        return real(plan, number, *rest)

    monkeypatch.setattr(making, "write", write)
    monkeypatch.setattr("fanin.artifact.engines.attempts._SECONDS", 0.0)
    seen: list[artifact.Progress] = []
    made(tmp_path, progress=seen.append)
    assert sorted(calls) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert seen[-1].bytes_done == seen[-1].bytes


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(DestinationError("503"), 4), (DestinationError("403", may_pass=False), 1), (OSError(28, "full"), 1)],
)
def test_errors_that_stay_end_the_work(
    error: OSError, attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def write(plan: Plan, number: int, *rest: Any) -> Record:
        calls.append(number)
        raise error

    monkeypatch.setattr(making, "write", write)
    monkeypatch.setattr("fanin.artifact.engines.attempts._SECONDS", 0.0)
    with pytest.raises(OSError, match=str(error.args[-1])):
        made(tmp_path, engine=engine_of("threads", threads=1))
    assert calls == [0] * attempts


def test_an_error_ends_the_other_threads(tmp_path: Path) -> None:
    plan = Plan.of({"tensors": {}, "repeated": {"t.{0..999}": {"shape": 10, "scheme": "ones"}}}, shard_bytes=1)
    started, failed = threading.Event(), threading.Event()
    written: list[int] = []

    def write(plan: Plan, number: int, place: object, backend: object, report: Any) -> None:
        if number == 0:
            assert started.wait(60)
            failed.set()
            raise ArtifactError("mine")
        started.set()
        assert failed.wait(60)
        written.append(number)
        report(1)

    with pytest.raises(ArtifactError, match="mine"):
        engine_of("threads", threads=2).run(
            write, plan, str(tmp_path), range(1000), backend=None, tally=Tally(plan, range(1000))
        )
    assert len(written) < 1000


def test_a_plan_has_no_object_for_an_item(tmp_path: Path) -> None:
    """A plan of 30,000 items has as many objects as one of 300, and so has an engine while it writes them."""
    counts = []
    for items in (300, 30_000):
        names = f"layers.{{1..{items}}}.weight"
        recipe = fanin.as_recipe({"tensors": {}, "repeated": {names: {"shape": [10_000, 2500], "scheme": "he_normal"}}})
        most = 0

        def look(progress: artifact.Progress) -> None:
            nonlocal most
            if progress.items_done % (progress.items // 3) == 0:
                most = max(most, len(gc.get_objects()))

        gc.collect()
        before = len(gc.get_objects())
        plan = Plan.of(recipe, shard_bytes=100_000_000)
        assert len(plan) == items
        assert plan.nbytes == items * 100_000_000
        numbers: Iterable[int] = range(items)
        engine_of("threads", threads=2).run(
            lambda *_: None, plan, str(tmp_path), numbers, backend=None, tally=Tally(plan, numbers, look)
        )
        counts.append(most - before)
        assert plan.item(items - 1).name == f"model-{items:05}-of-{items:05}.safetensors"
        assert plan.arrangement.number(f"model-{items:05}-of-{items:05}.safetensors") == items - 1
    assert counts[1] - counts[0] < 1000, counts


def test_chunks_in_memory_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread has one chunk of 8 MiB, for files of any size."""
    alive: list[weakref.ref[Any]] = []
    lock = threading.Lock()
    most = 0

    class Buffer(bytearray):
        """Memory that can be counted."""

        def __new__(cls, size: int) -> Buffer:
            nonlocal most
            buffer = super().__new__(cls)
            with lock:
                alive.append(weakref.ref(buffer))
                most = max(most, sum(each() is not None for each in alive))
            return buffer

    monkeypatch.setattr("fanin.artifact.formats.base.bytearray", Buffer, raising=False)
    recipe = {"tensors": {}, "repeated": {"t.{0..5}": {"shape": [5 * CHUNK // 4], "scheme": "zeros"}}}
    artifact.make(recipe, tmp_path, shard_bytes=1, engine=engine_of("threads", threads=3))
    assert len(alive) == 6 * 6
    assert 1 <= most <= 3
