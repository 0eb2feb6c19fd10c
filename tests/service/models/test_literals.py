"""Literals of models: tensors that the recipe does not describe are an additional file of weights."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from pydantic import ByteSize

import fanin
from fanin.file import archive, shards
from fanin_service.admission.admission import Admission
from fanin_service.models import snapshot as snapshots
from fanin_service.models.content import Content
from fanin_service.models.errors import ModelError, UnknownFileError, UnknownRevisionError
from fanin_service.models.snapshot import Snapshot
from fanin_service.settings import Settings
from tests.support.models import RECIPE
from tests.support.servers import running


def literal_file(header: str) -> bytes:
    """Return a safetensors file with this header and four bytes of tensors."""
    return struct.pack("<Q", len(header)) + header.encode() + bytes(4)


def tensor_file(dtype: str, shape: list[int], offsets: list[int], name: str = "a") -> bytes:
    return literal_file(json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).replace("x", name))


def with_literals(seed: str | None = None, **arrays: np.ndarray) -> dict[str, bytes]:
    metadata = None if seed is None else {shards.LITERALS_SEED: seed}
    arrays = arrays or {"counter": np.array(3), "table": np.ones((2, 3), np.float32)}
    return {"recipe.json": json.dumps(RECIPE).encode(), shards.LITERALS: safetensors.numpy.save(arrays, metadata)}


def test_they_are_the_last_shard() -> None:
    given = Content.put(with_literals(), Settings())
    for revision, drawn in (("main", 1), ("seed-9-bf16-2kb", 4)):
        named = given.main.named(revision)
        assert named is not None
        snapshot = Snapshot(given, named)
        *parts, last = [path for path in snapshot.paths if path.endswith(".safetensors")]
        assert (len(parts), last) == (drawn, f"model-{drawn + 1:05}-of-{drawn + 1:05}.safetensors")
        assert shards.MODEL.whole not in snapshot.paths, "loaders that find it look for no index"
        assert shards.LITERALS not in snapshot.paths
        found = safetensors.numpy.load(snapshot.given(last))
        assert {name: array.tolist() for name, array in found.items()} == {"counter": 3, "table": [[1] * 3] * 2}
        index = json.loads(snapshot.given(shards.MODEL.index))
        assert index["weight_map"].keys() == {*RECIPE["tensors"], "counter", "table"}
        assert {index["weight_map"][name] for name in found} == {last}
        assert index["metadata"]["total_size"] == snapshot.tensor_bytes
        with pytest.raises(UnknownFileError):
            snapshot.given(shards.LITERALS)


def test_they_are_kept_and_other_values_are_another_content() -> None:
    first = Content.put(with_literals(), Settings())
    other = Content.put(with_literals(table=np.zeros((2, 3), np.float32)), Settings())
    none = Content.put({"recipe.json": json.dumps(RECIPE).encode()}, Settings())
    assert len({first.key, other.key, none.key}) == 3
    again = Content.stored(first.all)
    assert (again.digest, again.literals) == (first.digest, first.literals)


def test_those_of_one_seed_are_served_with_no_other() -> None:
    given = Content.put(with_literals("7"), Settings())
    assert Snapshot(given, given.main).revision.seed == 7
    named = given.main.named("seed-8")
    assert named is not None
    with pytest.raises(UnknownRevisionError, match=r"literals that belong to seed 7 only \('counter', 'table'\)"):
        Snapshot(given, named)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (with_literals("8"), "its values belong to seed 8, the recipe has 7"),
        (with_literals("x"), "fanin.seed 'x': must be a seed"),
        (with_literals(**{next(iter(RECIPE["tensors"])): np.ones(2)}), "is in the recipe too"),
        ({shards.LITERALS: b""}, "not a safetensors file"),
        ({shards.LITERALS: b"\xff" * 9}, "not a safetensors file"),
        ({shards.LITERALS: literal_file("[]")}, "must be a JSON object"),
        ({shards.LITERALS: literal_file("{")}, "not JSON"),
        ({shards.LITERALS: literal_file('{"a": 1}')}, "must have the fields"),
        ({shards.LITERALS: tensor_file("F128", [1], [0, 4])}, "'a': dtype 'F128', not one of BOOL"),
        ({shards.LITERALS: tensor_file("F32", [-1], [0, 4])}, "shape must be a list of sizes"),
        ({shards.LITERALS: tensor_file("F32", [True], [0, 4])}, "shape must be a list of sizes"),
        ({shards.LITERALS: tensor_file("F32", [1 << 62, 2, 0], [0, 0])}, "multiply to more"),
        ({shards.LITERALS: tensor_file("F32", [1], [4, 8])}, r"data_offsets \[4, 8\], not \[0, 4\]"),
        ({shards.LITERALS: tensor_file("F32", [2], [0, 4])}, r"data_offsets \[0, 4\], not \[0, 8\]"),
        ({shards.LITERALS: tensor_file("F32", [0], [0, 0])}, "4 bytes of tensors, where the header says 0"),
        ({shards.LITERALS: tensor_file("F32", [1], [0, 4], "\\ud800")}, "no lone surrogates"),
    ],
)
def test_refusals(files: dict[str, bytes], words: str) -> None:
    with pytest.raises(ModelError, match=f"literals.safetensors: .*{words}"):
        Content.put({"recipe.json": json.dumps(RECIPE).encode(), **files}, Settings())


def test_push_sends_those_of_a_recording() -> None:
    @dataclass(frozen=True)
    class Recorded:
        recipe: fanin.Recipe
        literals: bytes | None

        def literals_file(self) -> bytes | None:
            return self.literals

    recipe = fanin.as_recipe(RECIPE)
    with running() as server, fanin.Client(server.url) as client:
        told = client.push("tiny", Recorded(recipe, with_literals()[shards.LITERALS]))
        assert (told["tensors"], told["parameters"], told["size"]) == (6, 2727, 10880 + 8 + 24)
        assert told["files"][-1] == shards.MODEL.index
        assert client.push("tiny", Recorded(recipe, None))["files"] == [shards.MODEL.whole]
        with pytest.raises(TypeError, match="push needs a recording"):
            client.push("tiny", recipe)  # type: ignore[arg-type]


def counted(function: Callable[..., Any], into: list[int], count: Callable[..., int]) -> Callable[..., Any]:
    """Return the function, which now adds the count of its arguments to a list."""

    def wrapper(*arguments: Any) -> Any:
        into.append(count(*arguments))
        return function(*arguments)

    return wrapper


def test_their_file_counts_as_weights_and_not_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is bytes of the model, which no request holds for itself, and they are hashed once for all seeds."""
    hashed: list[int] = []
    held: list[int] = []
    for name in ("_tag", "_blob"):
        monkeypatch.setattr(snapshots, name, counted(getattr(snapshots, name), hashed, lambda content: len(content)))
    monkeypatch.setattr(Admission, "hold", counted(Admission.hold, held, lambda _admission, _usage, count: count))
    files = with_literals(table=np.ones(30_000, np.float32))
    literals = Content.put(files, Settings()).literals
    assert literals is not None
    wanted, size = literals.content, len(literals.content)
    with running(Settings(client_bytes_per_day=ByteSize(200_000))) as server:
        headers = {"Content-Type": archive.MEDIA_TYPE}
        server.client.put("/v1/models/a/b", content=archive.pack(files), headers=headers).raise_for_status()
        urls = [f"/s3/models/a/b/seed-{seed}/model-00002-of-00002.safetensors" for seed in range(3)]
        for url in urls:
            assert server.client.head(url).headers["Content-Length"] == str(size)
            assert server.client.get(url, headers={"Range": "bytes=1-4"}).content == wanted[1:5]
        whole = server.client.get(urls[0])
        assert whole.content == wanted
        assert f"r={200_000 - 3 * 4 - size}" in whole.headers["RateLimit"]
        assert server.client.get(urls[1]).status_code == 503, "the bytes of the day are used"
        for seed in range(3):
            assert server.client.get(f"/hf/api/models/a/b/revision/seed-{seed}?blobs=true").status_code == 200
    assert hashed.count(size) == 2, "the entity tag and Git's id"
    assert size not in held
