"""Artifacts in a directory: their files, making them again, and what is refused."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import safetensors.numpy

import fanin
from fanin import artifact
from fanin.artifact.destinations.directory import Directory
from fanin.artifact.plan import Plan, read_plan
from fanin.artifact.plan import begin as begin_plan
from fanin.artifact.writing import write
from fanin.errors import ArtifactError, ConflictError, IncompleteError
from tests.support.checkpoints import FILES, RECIPE, SHARD, files_of, made


class Counting(Directory):
    """A directory that counts what it creates."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.created: list[str] = []

    def create(
        self, key: str, chunks: Iterable[memoryview], size: int, metadata: Mapping[str, str] | None = None
    ) -> bool:
        created = super().create(key, chunks, size, metadata)
        if created:
            self.created.append(key)
        return created


def test_a_hugging_face_directory(tmp_path: Path) -> None:
    manifest = made(tmp_path)
    files = files_of(tmp_path)
    names = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    assert set(files) == {
        ".fanin/plan.json",
        ".fanin/recipe.json",
        ".fanin/manifest.json",
        *(f".fanin/done/{name}.json" for name in names),
        *names,
        *FILES,
        "model.safetensors.index.json",
    }
    index = json.loads(files["model.safetensors.index.json"])
    assert index == {
        "metadata": {"total_size": 26_200},
        "weight_map": {
            "head": names[0],
            "layers.0.bias": names[0],
            "layers.0.weight": names[1],
            "layers.1.weight": names[2],
        },
    }
    expected = fanin.materialize(RECIPE)
    for name in names:
        assert fanin.verify(tmp_path / name).tensors == list(index["weight_map"].values()).count(name)
        for tensor, array in safetensors.numpy.load_file(tmp_path / name).items():
            assert array.tobytes() == expected[tensor].tobytes()
    assert [file.name for file in manifest.files] == sorted([*names, *FILES, ".fanin/plan.json", ".fanin/recipe.json"])
    assert manifest.commit is not None
    for file in (*manifest.files, manifest.commit):
        assert (file.size, file.sha256) == (len(files[file.name]), hashlib.sha256(files[file.name]).hexdigest())
    assert manifest.document() == files[".fanin/manifest.json"]


def test_one_safetensors_file(tmp_path: Path) -> None:
    manifest = artifact.make(RECIPE, tmp_path / "made", format="safetensors", seed=9)
    fanin.save(fanin.as_recipe(RECIPE).seeded(9), tmp_path / "saved")
    assert (tmp_path / "made" / "model.safetensors").read_bytes() == (tmp_path / "saved").read_bytes()
    assert manifest.commit is None
    assert artifact.status(tmp_path / "made").is_complete


DIFFUSERS = {"config.json": b'{"_class_name": "DiTTransformer2DModel"}'}


def test_a_directory_of_diffusers(tmp_path: Path) -> None:
    """Its loader looks for other names of files, and other readers find the index of these names."""
    made(tmp_path, files=DIFFUSERS)
    names = [f"diffusion_pytorch_model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    index = "diffusion_pytorch_model.safetensors.index.json"
    assert {name for name in files_of(tmp_path) if "/" not in name} == {*names, index, *DIFFUSERS}
    assert read_plan(Directory(tmp_path)).options == {"stem": "diffusion_pytorch_model"}
    (tmp_path / "old.safetensors").write_bytes(b"not a file of weights")
    assert artifact.compare(tmp_path, RECIPE).files == 3
    assert len(fanin.inspect(tmp_path).tensors) == 4


def test_names_that_the_caller_chooses(tmp_path: Path) -> None:
    artifact.make(RECIPE, tmp_path, format="safetensors", options={"stem": "adapter_model"})
    assert {name for name in files_of(tmp_path) if "/" not in name} == {"adapter_model.safetensors"}


def test_equal_requests_are_one_artifact(tmp_path: Path) -> None:
    made(tmp_path / "one")
    other = {**RECIPE, "tensors": dict(reversed(RECIPE["tensors"].items()))}
    artifact.make(other, tmp_path / "two", shard_bytes=SHARD, files=dict(reversed(FILES.items())))
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    # Again, and by another engine's way: the plan from the destination.
    before = {path: path.stat().st_ino for path in (tmp_path / "one").rglob("*")}
    artifact.make(other, tmp_path / "one", shard_bytes=SHARD, files=FILES)
    artifact.finish(tmp_path / "one")
    assert {path: path.stat().st_ino for path in (tmp_path / "one").rglob("*")} == before


def test_literals(tmp_path: Path) -> None:
    import numpy as np

    values = {"rope": np.arange(4, dtype=np.float32), "count": np.array(3)}
    content = safetensors.numpy.save(values)
    made(tmp_path, literals=content)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_bytes())
    assert index["weight_map"]["rope"] == index["weight_map"]["count"] == "model-00004-of-00004.safetensors"
    assert index["metadata"]["total_size"] == 26_200 + 16 + 8
    assert (tmp_path / "model-00004-of-00004.safetensors").read_bytes() == content
    # From the destination alone.
    (tmp_path / "model.safetensors.index.json").unlink()
    artifact.finish(tmp_path)
    assert json.loads((tmp_path / "model.safetensors.index.json").read_bytes()) == index
    with pytest.raises(ValueError, match="the literals have the tensor 'head', which the recipe has too"):
        made(tmp_path / "twice", literals=safetensors.numpy.save({"head": np.zeros(1)}))
    with pytest.raises(fanin.FileError, match="the literals: not a safetensors file"):
        made(tmp_path / "broken", literals=content[:-1])


def test_only_what_is_missing_is_written(tmp_path: Path) -> None:
    place = Counting(tmp_path)
    plan = Plan.of(RECIPE, shard_bytes=SHARD)
    begin_plan(plan, place)
    backend = fanin.backends.get()
    write(plan, 1, place, backend)
    name = "model-00002-of-00003.safetensors"
    assert place.created[-2:] == [name, f".fanin/done/{name}.json"]
    del place.created[:]
    write(plan, 1, place, backend)
    assert place.created == []
    # Its writer died between the object and the record.
    record = tmp_path / ".fanin" / "done" / f"{name}.json"
    before = record.read_bytes()
    record.unlink()
    write(plan, 1, place, backend)
    assert place.created == [f".fanin/done/{name}.json"]
    assert record.read_bytes() == before
    with pytest.raises(
        IncompleteError, match=r"2 of 3 items are missing: model-00001-of-00003\.safetensors, model-00003"
    ):
        artifact.finish(tmp_path)
    artifact.write_part(tmp_path)
    artifact.finish(tmp_path)
    made(tmp_path / "whole", files=None)
    assert {name: content for name, content in files_of(tmp_path).items() if not name.startswith("whole")} == files_of(
        tmp_path / "whole"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 8}, 'recipe is "[0-9a-f]{64}" there, "[0-9a-f]{64}" here'),
        ({"shard_bytes": 2 * SHARD}, "items is 3 there, 2 here; shard_bytes is 10300 there, 20600 here"),
        ({"format": "safetensors"}, 'format is "hf" there, "safetensors" here'),
        ({"files": {"config.json": b"[]"}}, "files is "),
    ],
)
def test_another_artifact_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    made(tmp_path)
    before = files_of(tmp_path)
    with pytest.raises(ConflictError, match=message):
        made(tmp_path, **changes)
    assert files_of(tmp_path) == before


def test_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "model.safetensors").write_bytes(b"mine")
    with pytest.raises(ConflictError, match=r"it has no artifact, but model\.safetensors"):
        made(tmp_path / "foreign")
    assert files_of(tmp_path / "foreign") == {"model.safetensors": b"mine"}

    begun = tmp_path / "begun"
    plan = artifact.begin(RECIPE, begun, shard_bytes=SHARD)
    name, size = plan.item(0).name, plan.item(0).content.size
    (begun / name).write_bytes(b"mine")
    with pytest.raises(ConflictError, match=f"{name} exists with 4 bytes; the artifact has {size}. Nothing was repl"):
        artifact.make(RECIPE, begun, shard_bytes=SHARD)
    (begun / name).write_bytes(bytes(size))
    with pytest.raises(
        ConflictError, match=f"{name} exists with other tensors or values: its header differs at byte 0"
    ):
        artifact.make(RECIPE, begun, shard_bytes=SHARD)
    assert (begun / name).read_bytes() == bytes(size)


def test_an_object_that_was_cut_or_removed_afterwards(tmp_path: Path) -> None:
    made(tmp_path)
    name = tmp_path / "model-00002-of-00003.safetensors"
    content = name.read_bytes()
    name.unlink()
    artifact.write_part(tmp_path)
    assert name.read_bytes() == content
    name.write_bytes(content[:-1])
    with pytest.raises(ConflictError, match=f"has {len(content) - 1} bytes; its record says {len(content)}"):
        artifact.finish(tmp_path)


def test_damaged_claims(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"has no artifact: \.fanin/plan\.json does not exist"):
        artifact.status(tmp_path / "nothing")
    artifact.begin(RECIPE, tmp_path / "a", shard_bytes=SHARD)
    plan, recipe = tmp_path / "a" / ".fanin" / "plan.json", tmp_path / "a" / ".fanin" / "recipe.json"
    document = plan.read_bytes()
    plan.write_bytes(document[:-1])
    with pytest.raises(ArtifactError, match=r"\.fanin/plan\.json is damaged"):
        artifact.status(tmp_path / "a")
    plan.write_bytes(document.replace(b'"version":1', b'"version":2'))
    with pytest.raises(ArtifactError, match="has version 2; this Fanin reads version 1"):
        artifact.status(tmp_path / "a")
    plan.write_bytes(document)
    recipe.write_bytes(fanin.as_recipe(RECIPE).seeded(1).canonical)
    with pytest.raises(ArtifactError, match="differ: recipe is"):
        artifact.status(tmp_path / "a")
    recipe.unlink()
    with pytest.raises(ArtifactError, match="the artifact was not begun to the end"):
        artifact.status(tmp_path / "a")
    artifact.begin(RECIPE, tmp_path / "a", shard_bytes=SHARD)
    assert read_plan(Directory(tmp_path / "a")).document() == document


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"format": "pickle"}, "format is one of dcp, hf, safetensors, not 'pickle'"),
        ({"shard_bytes": 0}, "shard_bytes is an integer from 1 to"),
        ({"shard_bytes": 1e6}, r"shard_bytes is an integer from 1 to 2\^63 - 1, not 1000000\.0"),
        ({"shard_bytes": True}, "shard_bytes is an integer"),
        ({"files": {"a": b"", "a/b/c": b""}}, "file 'a/b/c': 'a' is a file, and cannot be a folder too"),
        ({"files": {"model.safetensors/x": b""}}, "'model.safetensors' is a file, and cannot be a folder too"),
        ({"files": {"model.sig/x": b""}}, "'model.sig' is a file, and cannot be a folder too"),
        ({"files": {"a\0b": b""}}, "without .., .* and control characters"),
        ({"files": {"a\nb": b""}}, "without .., .* and control characters"),
        ({"files": {"\udc80": b""}}, r"file '\\udc80': a path is relative, in UTF-8"),
        ({"files": {"é" * 128: b""}}, "at most 1024 bytes, each name in it 255"),
        ({"files": {"/".join(["abc"] * 257): b""}}, "at most 1024 bytes, each name in it 255"),
        ({"engine": "hamster"}, "engine is one of .*threads.*, not 'hamster'"),
        ({"files": {"../config.json": b""}}, r"file '\.\./config\.json': a path is relative"),
        ({"files": {"/config.json": b""}}, "a path is relative"),
        ({"files": {".fanin/x": b""}}, r"not in \.fanin/"),
        ({"files": {"model.safetensors.index.json": b""}}, "the artifact itself has a file of this name"),
        ({"files": {"model-00001-of-00003.safetensors": b""}}, "the artifact itself has a file of this name"),
        ({"files": {"model.safetensors": b""}}, "the artifact itself has a file of this name"),
        ({"files": {"model-00004-of-00004.safetensors": b""}}, "the artifact itself has a file of this name"),
        ({"files": {**DIFFUSERS, "diffusion_pytorch_model.safetensors": b""}}, "has a file of this name"),
        ({"options": {"stem": "../model"}}, "options/stem is 1 to 100 letters, digits and _, not '../model'"),
        ({"literals": b"", "format": "safetensors"}, "format 'safetensors' has one file"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        made(tmp_path, **arguments)
    assert files_of(tmp_path) == {}


def test_names_of_the_greatest_length(tmp_path: Path) -> None:
    files = {"é" * 127 + "a": b"1", "a/é": b"2"}
    made(tmp_path, files=files)
    assert {path: files_of(tmp_path)[path] for path in files} == files


def test_urls_of_files(tmp_path: Path) -> None:
    recipe = {"shape": [2], "scheme": "ones"}
    assert artifact.make(recipe, f"file://{tmp_path}/a%20b").url == str(tmp_path / "a b")
    for url in ("file://tmp/x", "file://", "file://localhost/tmp/x"):
        with pytest.raises(ValueError, match="a file URL has an absolute path, such as file:///tmp/step-0"):
            artifact.make(recipe, url)


def test_progress(tmp_path: Path) -> None:
    seen: list[artifact.Progress] = []
    made(tmp_path, progress=seen.append)
    assert seen[-1] == artifact.Progress(items=3, items_done=3, bytes=26_200, bytes_done=26_200)
    assert [each.bytes_done for each in seen] == sorted(each.bytes_done for each in seen)


def test_an_exception_of_the_callback_ends_the_work(tmp_path: Path) -> None:
    def stop(progress: artifact.Progress) -> None:
        if progress.bytes_done:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        made(tmp_path, progress=stop)
    assert not artifact.status(tmp_path).is_complete
    made(tmp_path)
    made(tmp_path / "whole")
    assert {name: content for name, content in files_of(tmp_path).items() if not name.startswith("whole")} == files_of(
        tmp_path / "whole"
    )


def test_status(tmp_path: Path) -> None:
    plan = artifact.begin(RECIPE, tmp_path, shard_bytes=SHARD)
    write(plan, 2, Directory(tmp_path), fanin.backends.get())
    found = artifact.status(tmp_path)
    assert found == artifact.Status(
        url=str(tmp_path),
        recipe=fanin.as_recipe(RECIPE).digest,
        format="hf",
        items=3,
        items_done=1,
        bytes=26_200,
        bytes_done=10_000,
        is_complete=False,
    )


def test_a_recording_brings_its_literals(tmp_path: Path) -> None:
    import numpy as np

    from fanin.recording.literals import Recording

    recording = Recording(fanin.as_recipe(RECIPE), {"count": np.array(3)})
    assert artifact.make(recording, tmp_path / "one", seed=8).recipe == recording.recipe.seeded(8).digest
    found = safetensors.numpy.load_file(tmp_path / "one" / "model-00002-of-00002.safetensors")
    assert {name: value.tolist() for name, value in found.items()} == {"count": 3}
    with pytest.raises(ValueError, match="a recording has its own"):
        artifact.make(recording, tmp_path / "two", literals=recording.literals_file())


def test_literals_of_another_seed_are_refused(tmp_path: Path) -> None:
    """Norms of `weight_norm`, for one, are those of the tensors under one seed."""
    import numpy as np

    literals = safetensors.numpy.save({"norm": np.ones(3)}, {"fanin.seed": "7"})
    made(tmp_path / "one", literals=literals)
    with pytest.raises(ValueError, match="the values of the literals belong to seed 7, the recipe has 8"):
        made(tmp_path / "two", literals=literals, seed=8)


class Racing(Directory):
    """A directory that refuses an object once although it does not exist, as S3 does with 409 in a race."""

    def __init__(self, path: Path, *, times: int = 1) -> None:
        super().__init__(path)
        self.refused: dict[str, int] = {}
        self._times = times

    def create(
        self, key: str, chunks: Iterable[memoryview], size: int, metadata: Mapping[str, str] | None = None
    ) -> bool:
        if self.refused.setdefault(key, 0) < self._times and not (self._path / key).exists():
            self.refused[key] += 1
            next(iter(chunks), None)
            return False
        return super().create(key, chunks, size, metadata)


def test_a_race_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanin.artifact.destinations.base._SECONDS", 0.0)
    place = Racing(tmp_path / "raced")
    for module in ("making", "engines.threads"):
        monkeypatch.setattr(f"fanin.artifact.{module}.destination", lambda url: place)
    seen: list[artifact.Progress] = []
    made(tmp_path, progress=seen.append)
    assert set(place.refused) == set(files_of(tmp_path / "raced"))
    assert seen[-1].bytes_done == seen[-1].bytes
    monkeypatch.undo()
    made(tmp_path / "whole")
    assert files_of(tmp_path / "raced") == files_of(tmp_path / "whole")


def test_an_object_that_can_never_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanin.artifact.destinations.base._SECONDS", 0.0)
    place = Racing(tmp_path, times=100)
    with pytest.raises(fanin.DestinationError, match=r"\.fanin/plan\.json cannot be created, and does not exist"):
        begin_plan(Plan.of(RECIPE), place)
    assert place.refused == {".fanin/plan.json": 8}


def test_two_processes_kill_and_rerun(tmp_path: Path) -> None:
    """A driver that is killed between chunks leaves no file that a rerun does not remove or complete."""
    program = (
        "import os, sys, json, pathlib\n"
        "from fanin import artifact\n"
        "def stop(progress):\n"
        "    if progress.bytes_done > 20_000_000: os.kill(os.getpid(), 9)\n"
        "artifact.make(json.loads(sys.argv[1]), sys.argv[2], shard_bytes=16_000_000, progress=stop)\n"
    )
    recipe = {"tensors": {}, "repeated": {"t.{0..3}": {"shape": [4_000_000], "scheme": "ones"}}}
    command = [sys.executable, "-c", program, json.dumps(recipe), str(tmp_path / "killed")]
    assert subprocess.run(command, check=False).returncode == -9
    assert any((tmp_path / "killed" / ".fanin" / "partial").iterdir())
    assert not artifact.status(tmp_path / "killed").is_complete
    for name in ("killed", "whole"):
        artifact.make(recipe, tmp_path / name, shard_bytes=16_000_000)
    assert not (tmp_path / "killed" / ".fanin" / "partial").exists()
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_many_threads_and_drivers_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: made(tmp_path / "at-once"), range(4)))
    assert len(set(found)) == 1
    made(tmp_path / "whole")
    assert files_of(tmp_path / "at-once") == files_of(tmp_path / "whole")


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", link)
    made(tmp_path / "renamed")
    monkeypatch.undo()
    made(tmp_path / "linked")
    assert files_of(tmp_path / "renamed") == files_of(tmp_path / "linked")


def test_a_writer_in_this_moment_is_not_swept(tmp_path: Path) -> None:
    place = Directory(tmp_path)

    def chunks() -> Iterator[memoryview]:
        yield memoryview(b"one")
        place.sweep([])
        yield memoryview(b"two")

    assert place.create("file", chunks(), 6)
    assert (tmp_path / "file").read_bytes() == b"onetwo"
    assert not any((tmp_path / ".fanin" / "partial").iterdir())


def test_symbolic_links_in_a_directory(tmp_path: Path) -> None:
    """A link to a folder above has no end, and a broken one keeps a name from being created."""
    made(tmp_path / "looped")
    before = sorted(Directory(tmp_path / "looped").objects())
    (tmp_path / "looped" / "again").symlink_to(tmp_path / "looped", target_is_directory=True)
    found = sorted(Directory(tmp_path / "looped").objects())
    assert [each for each in found if each[0] != "again"] == before
    assert len(found) == len(before) + 1
    with pytest.raises(fanin.MismatchError, match="again is not a file of the artifact"):
        artifact.verify(tmp_path / "looped")

    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").symlink_to(tmp_path / "absent")
    with pytest.raises(ConflictError, match=r"it has no artifact, but config\.json"):
        made(tmp_path / "broken")

    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    with pytest.raises(NotADirectoryError, match=r"nor a symbolic link to one that exists: .*dangling"):
        made(tmp_path / "dangling")


@pytest.mark.parametrize("path", ["../secret", "/secret", ".fanin/secret"])
def test_a_claim_names_no_file_elsewhere(path: str, tmp_path: Path) -> None:
    artifact.begin(RECIPE, tmp_path / "a", shard_bytes=SHARD, files={"config.json": b"{}"})
    claim = tmp_path / "a" / ".fanin" / "plan.json"
    claim.write_bytes(claim.read_bytes().replace(b"config.json", path.encode()))
    with pytest.raises(ArtifactError, match=f"plan.json is damaged: file '{path}': a path is relative"):
        artifact.status(tmp_path / "a")


def test_a_file_that_is_swept_before_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, begun, sweeps = fcntl.flock, threading.Event(), list[threading.Thread]()

    def flock(file: BinaryIO, operation: int) -> None:
        if not sweeps:
            held = os.open(file.name, os.O_RDONLY)
            lock(held, fcntl.LOCK_EX)

            def sweep() -> None:
                begun.wait(0.2)
                Path(file.name).unlink()
                os.close(held)

            sweeps.append(threading.Thread(target=sweep))
            sweeps[0].start()
        lock(file, operation)

    def chunks() -> Iterator[memoryview]:
        begun.set()
        sweeps[0].join()
        yield memoryview(b"one")

    monkeypatch.setattr("fcntl.flock", flock)
    assert Directory(tmp_path).create("file", chunks(), 3)
    assert (tmp_path / "file").read_bytes() == b"one"
