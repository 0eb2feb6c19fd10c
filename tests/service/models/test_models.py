"""Named models: valid archives, stored content, and the service's descriptions."""

from __future__ import annotations

import errno
import io
import json
import tarfile
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import fanin
from fanin import RecipeError
from fanin.cli.main import main
from fanin.dtypes import storage_name
from fanin.file import archive, shards
from fanin_service.app import create_app
from fanin_service.models import snapshot as snapshots
from fanin_service.models import store as stores
from fanin_service.models.content import MAX_SHARDS, Content
from fanin_service.models.errors import ModelError, UnknownFileError, UnknownRevisionError
from fanin_service.models.names import NEW_RULE, RULE, is_model, new_fault
from fanin_service.models.objects import DirectoryObjects, ObjectsError, ObjectsFullError
from fanin_service.models.revisions import DTYPE_CODES, ShardSize
from fanin_service.models.snapshot import Snapshot
from fanin_service.models.store import ModelStore
from fanin_service.settings import Settings, SettingsError
from tests.support.models import CONFIG, FILES, RECIPE, SETTINGS, content
from tests.support.servers import Running, running


def snapshot(revision: str, recipe: Any = RECIPE) -> Snapshot:
    found = content(recipe)
    chosen = found.main.named(revision)
    assert chosen is not None
    return Snapshot(found, chosen)


def put(client: httpx.Client, name: str, files: dict[str, bytes]) -> httpx.Response:
    headers = {"Content-Type": archive.MEDIA_TYPE}
    return client.put(f"/v1/models/{name}", content=archive.pack(files), headers=headers)


def packed(**options: Any) -> bytes:
    """Return an archive of one member with these options."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        member = tarfile.TarInfo(options.pop("name", "recipe.json"))
        for name, value in options.items():
            setattr(member, name, value)
        made.addfile(member)
    return buffer.getvalue()


class WatchedObjects(DirectoryObjects):
    """Objects on a file system that ignores case. It counts how often all objects were listed."""

    counted = 0

    def get(self, key: str) -> bytes | None:
        return super().get(key.lower())

    def put(self, key: str, content: bytes) -> None:
        super().put(key.lower(), content)

    def delete(self, key: str) -> None:
        super().delete(key.lower())

    def sizes(self, group: str | None = None) -> dict[str, int]:
        self.counted += group is None
        return super().sizes(group and group.lower())


class TestContent:
    def test_spellings_of_one_model_are_one(self) -> None:
        other = {
            "tensors": {
                "norm.weight": {"scheme": "ones", "shape": [16], "dtype": "F32"},
                "fc.bias": {"shape": [64], "scheme": "zeros"},
                "fc.weight": {"shape": [64, 16], "scheme": "kaiming_normal", "layout": "torch"},
                "wte.weight": {"shape": [101, 16], "scheme": "normal_", "std": 0.02, "dialect": "torch"},
            },
            "seed": "7",
        }
        assert content(other).digest == content().digest
        assert content({**RECIPE, "seed": 8}).digest != content().digest
        assert content({**RECIPE, "dtype": "BF16"}).digest != content().digest
        assert content(files={}).digest != content().digest
        assert content(files={**FILES, "x": b""}).digest != content(files={**FILES, "y": b""}).digest

    def test_the_default_type_is_one_of_floats(self) -> None:
        """A revision chooses it, and a commit id has no place for further types."""
        counter = {"shape": [], "scheme": "zeros", "dtype": "I64"}
        with pytest.raises(RecipeError, match="/dtype: the default type of a model must be one of F64, F32"):
            content({"dtype": "I64", "tensors": {"counter": counter}}, {})
        found = content({**RECIPE, "tensors": {**RECIPE["tensors"], "counter": counter}}, {})
        assert {found.template.typed(dtype).tensors["counter"].dtype for dtype in ("BF16", "F64")} == {"I64"}

    def test_one_tensor(self) -> None:
        short = {"shape": [3, 4], "scheme": "he_normal", "dtype": "BF16", "seed": 3}
        found = content(short, {})
        assert (str(found.main), found.template.has_open_dtype) == ("seed-3-bf16-5gb", True)
        assert Snapshot(found, found.main).recipe == fanin.as_recipe(short)

    def test_repeated_names(self) -> None:
        tensor = {"shape": [4], "scheme": "ones"}
        written = {"a.0": tensor, "a.1": tensor, "b.0": {**tensor, "dtype": "F64"}, "b.1": {**tensor, "dtype": "F64"}}
        repeated = {"a.{0..1}": tensor, "b.{0..1}": {**tensor, "dtype": "F64"}}
        assert content({"tensors": {}, "repeated": repeated}).digest == content({"tensors": written}).digest

    def test_main_is_the_recipe_as_it_was_put(self) -> None:
        main = snapshot("main")
        assert main.recipe.canonical == fanin.as_recipe(RECIPE).canonical
        assert main.paths == ["config.json", "model.safetensors", "spiece.model", "tokenizer/vocab.txt"]
        assert main.layout("model.safetensors").header == fanin.FileLayout.of(RECIPE).header
        assert {path: main.given(path) for path in FILES} == FILES

    def test_what_is_kept_is_what_was_put(self) -> None:
        found = content()
        again = Content.stored(archive.unpack(archive.pack(found.all), 10))
        assert (again.digest, again.main) == (found.digest, found.main)
        assert Snapshot(again, again.main).recipe == Snapshot(found, found.main).recipe
        small = ShardSize(5, "kb")
        assert again.shards("F32", small) == found.shards("F32", small)

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({}, "recipe.json: this file is required"),
            ({"recipe.json": b"{", "x": b""}, "not JSON"),
            ({"recipe.json": b" " * (9 << 20)}, "9437184 bytes; the limit is 8388608"),
            ({"config.json": b"["}, "config.json: not JSON"),
            ({"config.json": b" " * (1 << 20) + b"{}"}, "config.json: 1048578 bytes; the limit is 1048576"),
            ({"config.json": b"[]"}, "config.json: must be a JSON object"),
            ({"config.json": b'{"a":' * 100 + b"1" + b"}" * 100}, "config.json: nested more than 64 deep"),
            ({"config.json": b'{"a": "\\ud800"}'}, r"config.json: '\ud800' is half of a surrogate pair"),
            ({"config.json": b"[" * 100_000}, "config.json: not JSON"),
            ({"../x": b""}, "'../x': a file's name"),
            ({"/x": b""}, "'/x': a file's name"),
            ({"a//b": b""}, "'a//b': a file's name"),
            ({"a b": b""}, "'a b': a file's name"),
            ({"é": b""}, "a file's name"),
            ({"x" * 101: b""}, "a file's name"),
            ({"model.safetensors": b""}, "generated from the recipe"),
            ({"diffusion_pytorch_model-00001-of-00002.safetensors": b""}, "generated from the recipe"),
            ({"model-00001-of-00002.safetensors": b""}, "generated from the recipe"),
            ({"model.safetensors.index.json": b""}, "generated from the recipe"),
            ({"a": b"", "a/b": b""}, "'a': is both a file and a directory"),
            ({f"{n}": b"" for n in range(101)}, "101 files beside the recipe; the limit is 100"),
        ],
    )
    def test_what_cannot_be_kept(self, files: dict[str, bytes], words: str) -> None:
        recipe = {} if files == {} else {"recipe.json": json.dumps(RECIPE).encode()}
        with pytest.raises((ModelError, RecipeError)) as caught:
            Content.put({**recipe, **files}, SETTINGS)
        assert words in str(caught.value)
        assert "limit" not in words or str(caught.value).endswith(words)

    def test_names(self) -> None:
        good = ("gpt2", "me/tiny", "a.b_c-d/E.1", "_x/y_", "a" * 96 + "/" + "b" * 96)
        bad = (
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "a--b",
            "a..b",
            "-a",
            "a-",
            ".a",
            "a.",
            "a.git",
            "a b",
            "é",
            "a" * 97,
            "a\n",
        )
        assert [name for name in good if not is_model(name)] == []
        assert [name for name in bad if is_model(name)] == []
        assert [name for name in good if new_fault(name)] == []
        assert {new_fault(name) for name in bad} == {RULE}

    def test_names_that_mean_something_about_another_model(self) -> None:
        verbs = ("auth-check", "commits", "paths-info", "raw", "refs", "resolve", "revision", "tree")
        revisions = ("main", "seed-0", "seed-42-bf16", "seed-42-5gb", "0123456789" * 4)
        assert {new_fault(f"me/{second}") for second in (*verbs, *revisions)} == {NEW_RULE}
        others = (*verbs, *revisions, "main/x", "tree/refs2", "me/seed-x", "me/mains", "me/seed-042")
        assert [name for name in others if new_fault(name)] == []


class TestSnapshot:
    def test_storage_types(self) -> None:
        chosen = snapshot("seed-42-bf16").recipe
        assert chosen == fanin.as_recipe({**RECIPE, "seed": 42, "dtype": "BF16"})
        assert {name: tensor.dtype for name, tensor in chosen.tensors.items()} == {
            "wte.weight": "BF16",
            "fc.weight": "BF16",
            "fc.bias": "BF16",
            "norm.weight": "F32",
        }

    def test_a_type_that_no_tensor_leaves_open(self) -> None:
        tensors = {name: {**tensor, "dtype": "F32"} for name, tensor in RECIPE["tensors"].items()}
        fixed = {**RECIPE, "tensors": tensors}
        assert snapshot("seed-42-f32", fixed).recipe.seed == 42
        with pytest.raises(UnknownRevisionError, match="every tensor of this model has its own"):
            snapshot("seed-42-bf16", fixed)

    def test_a_type_at_which_the_recipe_is_impossible(self) -> None:
        with pytest.raises(UnknownRevisionError, match="cannot be served as F16: /tensors/a"):
            snapshot("seed-42-f16", {"tensors": {"a": {"shape": [2], "scheme": "constant", "value": 1e6}}})

    def test_the_configuration_agrees(self) -> None:
        def config(revision: str) -> Any:
            return json.loads(snapshot(revision).given("config.json"))

        assert config("seed-42-f32") == config("seed-42-f8_e4m3") == CONFIG
        changed = {**CONFIG, "dtype": "bfloat16", "text": {"torch_dtype": "bfloat16", "n": 1.5}}
        assert config("seed-42-bf16") == changed

    def test_shards(self) -> None:
        whole, cut = snapshot("seed-42"), snapshot("seed-42-5kb")
        files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
        assert cut.paths == sorted(
            ["config.json", *files, "model.safetensors.index.json", *FILES.keys() - {"config.json"}]
        )
        index = json.loads(cut.given(shards.MODEL.index))
        weights = fanin.materialize(whole.recipe)
        assert index["metadata"]["total_size"] == sum(array.nbytes for array in weights.values())
        assert index["weight_map"].keys() == weights.keys()
        for path in files:
            for name, array in fanin.materialize(cut.layout(path)).items():
                assert index["weight_map"][name] == path
                np.testing.assert_array_equal(array, weights.pop(name))
        assert weights == {}

    def test_shards_of_a_model_of_diffusers(self) -> None:
        """Its configuration selects the names that diffusers looks for."""
        given = content(RECIPE, {"config.json": b'{"_class_name": "DiTTransformer2DModel"}'})
        whole, cut = (
            Snapshot(given, revision) for revision in map(given.main.named, ("seed-42", "seed-42-5kb")) if revision
        )
        assert whole.paths == ["config.json", "diffusion_pytorch_model.safetensors"]
        files = [f"diffusion_pytorch_model-0000{place}-of-00002.safetensors" for place in (1, 2)]
        assert cut.paths == ["config.json", *files, "diffusion_pytorch_model.safetensors.index.json"]
        index = json.loads(cut.given(shards.DIFFUSION.index))
        assert sorted(set(index["weight_map"].values())) == files
        assert {name for path in files for name in fanin.materialize(cut.layout(path))} == RECIPE["tensors"].keys()
        with pytest.raises(UnknownFileError):
            whole.given(shards.MODEL.whole)

    def test_one_shard_is_a_whole(self) -> None:
        assert not snapshot("seed-42-1mb").has_index
        with pytest.raises(UnknownFileError, match=r"this revision has no file 'model\.safetensors\.index\.json'"):
            snapshot("seed-42-1mb").given(shards.MODEL.index)

    def test_a_tensor_larger_than_a_shard(self) -> None:
        found = shards.split(fanin.as_recipe(RECIPE), 1)
        assert [list(names) for names in found.values()] == [[name] for name in RECIPE["tensors"]]
        assert shards.split(fanin.as_recipe({"tensors": {}}), 1) == {shards.MODEL.whole: ()}

    def test_too_many_shards(self) -> None:
        recipe = {"tensors": {f"{n}": {"shape": [1000], "scheme": "ones"} for n in range(MAX_SHARDS + 1)}}
        assert len(snapshot("seed-0-8kb", recipe).paths) > 500
        with pytest.raises(UnknownRevisionError, match="1001 files of 1kb; at most 1000"):
            snapshot("seed-0-1kb", recipe)


class TestStore:
    def test_names_and_versions(self, tmp_path: Path) -> None:
        store, other = (ModelStore(DirectoryObjects(tmp_path / "models"), 1 << 20) for _ in range(2))
        first, second = content(), content({**RECIPE, "seed": 8})
        assert store.names() == []
        assert store.main("me/tiny") is None
        assert (store.put("me/tiny", first), store.put("me/tiny", second), store.put("tiny", first)) == (
            True,
            False,
            True,
        )
        assert other.names() == ["me/tiny", "tiny"]
        assert other.main("me/tiny") == second.digest
        for each in (first, second):
            assert other.digest_of("me/tiny", each.key) == each.digest
            found = other.get("me/tiny", each.digest)
            assert found is not None
            assert found.all == each.all
        assert other.get("tiny", second.digest) is None
        assert other.digest_of("tiny", second.key) is None
        assert other.delete("me/tiny")
        assert not store.delete("me/tiny")
        assert store.names() == ["tiny"]
        assert store.get("me/tiny", first.digest) is None

    def test_what_is_damaged_is_not_there(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        store, kept = ModelStore(DirectoryObjects(tmp_path), 1 << 20), content()
        store.put("tiny", kept)
        path = tmp_path / "tiny" / f"{kept.digest}.tar"
        good = path.read_bytes()
        for damaged in (
            b"",
            good[:1000],
            good.replace(b"float32", b"float16"),
            good[:600] + b"\xff" * 600 + good[1200:],
        ):
            path.write_bytes(damaged)
            assert store.get("tiny", kept.digest) is None
        assert store.put("tiny", kept) is False
        assert path.read_bytes() == good
        for damaged in (b"", b"x" * 64, kept.digest[:63].encode(), b"\xff" * 64):
            (tmp_path / "tiny" / "main").write_bytes(damaged)
            assert store.main("tiny") is None
        assert "damaged" in caplog.text
        assert store.put("tiny", kept)
        assert store.main("tiny") == kept.digest

    def test_a_full_store_takes_only_what_it_has(self, tmp_path: Path) -> None:
        first, second = content(), content({**RECIPE, "seed": 8})
        size = len(archive.pack(first.all))
        store = ModelStore(DirectoryObjects(tmp_path), size + 100)
        store.put("tiny", first)
        with pytest.raises(ModelError, match=f"the store has .* of at most {size + 100}"):
            store.put("tiny", second)
        assert store.main("tiny") == first.digest
        assert not store.put("tiny", first)

    def test_the_bytes_in_a_store_are_counted_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """If every put counted them, a thousand puts would read a million files."""
        monkeypatch.setattr(stores, "REFUSAL_SECONDS", stores.RECOUNT_SECONDS)
        objects = WatchedObjects(tmp_path)
        contents = [content({**RECIPE, "seed": seed}) for seed in range(5)]
        size = len(archive.pack(contents[0].all))
        store = ModelStore(objects, 4 * size + 1000)
        for place, each in enumerate(contents[:4]):
            store.put(f"me/x{place}", each)
        assert objects.counted == 1
        with pytest.raises(ModelError, match="delete some"):
            store.put("me/y", contents[4])
        assert store.delete("me/x0")
        assert store.put("me/y", contents[4])
        assert store.names() == ["me/x1", "me/x2", "me/x3", "me/y"]
        assert objects.counted == 1

    def test_names_that_differ_in_case(self, tmp_path: Path) -> None:
        """They differ even if the file system ignores case: a right to `me/*` does not include `Me/*`."""
        store = ModelStore(WatchedObjects(tmp_path), 1 << 30)
        first, second = content(), content({**RECIPE, "seed": 8})
        assert store.put("Me/TinY", first)
        assert store.put("me/tiny", second)
        assert store.names() == ["Me/TinY", "me/tiny"]
        assert [store.main(name) for name in ("Me/TinY", "me/tiny", "ME/tiny")] == [first.digest, second.digest, None]
        assert store.delete("me/tiny")
        assert store.get("Me/TinY", first.digest) is not None

    def test_a_disk_that_fails(self, tmp_path: Path) -> None:
        (tmp_path / "models").write_text("a file")
        store = ModelStore(DirectoryObjects(tmp_path / "models"), 1 << 20)
        for call in (lambda: store.put("tiny", content()), lambda: store.main("tiny")):
            with pytest.raises(ObjectsError):
                call()

    def test_many_put_at_once(self, tmp_path: Path) -> None:
        """After simultaneous puts, the name has exactly one of the contents."""
        contents = [content({**RECIPE, "seed": seed}) for seed in range(8)]
        stores = [ModelStore(DirectoryObjects(tmp_path), 1 << 30) for _ in contents]

        def race(place: int) -> None:
            for _ in range(10):
                stores[place].put("tiny", contents[place])
                digest = stores[place].main("tiny")
                assert digest is not None
                found = stores[place].get("tiny", digest)
                assert found is not None
                assert found.digest == digest

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(race, range(8)))
        assert [path.name for path in tmp_path.glob("tiny/.*")] == [".lock"]  # no partial file


class TestService:
    def test_life_of_a_model(self) -> None:
        with running() as server:
            client = server.client
            assert client.get("/v1/models").json() == {"models": []}
            files = {**FILES, "recipe.json": json.dumps(RECIPE).encode()}
            answer = put(client, "me/tiny", files)
            assert (answer.status_code, answer.headers["Location"]) == (201, "/v1/models/me/tiny")
            told = answer.json()
            assert told["main"] == "seed-7-f32-5gb"
            assert told["files"] == ["config.json", "model.safetensors", "spiece.model", "tokenizer/vocab.txt"]
            assert (told["tensors"], told["parameters"], told["size"]) == (4, 2720, 10880)
            assert client.get("/v1/models/me/tiny").json() == told
            assert client.head("/v1/models/me/tiny").headers["Content-Length"] == str(len(answer.content))
            assert put(client, "me/tiny", files).json() == told

            changed = put(client, "me/tiny", {"recipe.json": json.dumps({**RECIPE, "seed": 8}).encode()})
            assert (changed.status_code, changed.json()["main"]) == (200, "seed-8-f32-5gb")
            assert changed.json()["commit"] != told["commit"]
            assert client.get("/v1/models/me/tiny").json() == changed.json()
            assert client.get("/v1/models").json() == {"models": ["me/tiny"]}

            assert client.delete("/v1/models/me/tiny").status_code == 204
            for method in ("GET", "HEAD", "DELETE"):
                answer = client.request(method, "/v1/models/me/tiny")
                assert answer.status_code == 404
            assert answer.json()["type"] == "urn:fanin:problem:unknown-model"

    def test_replicas_share_a_store(self, tmp_path: Path) -> None:
        settings = Settings(model_store=str(tmp_path / "models"))
        with running(settings) as first, running(settings) as second:
            for seed in (1, 2, 1):
                told = put(first.client, "tiny", {"recipe.json": json.dumps({**RECIPE, "seed": seed}).encode()})
                assert second.client.get("/v1/models/tiny").json() == told.json()
            assert second.client.delete("/v1/models/tiny").status_code == 204
            assert first.client.get("/v1/models/tiny").status_code == 404
        with running(settings) as third:
            assert third.client.get("/v1/models").json() == {"models": []}

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "not an uncompressed tar archive"),
            (archive.pack({}), "recipe.json: this file is required"),
            (b"nonsense", "not an uncompressed tar archive"),
            (b"\x1f\x8b" + b"\0" * 600, "not an uncompressed tar archive"),
            (packed(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "'recipe.json' is not a plain file"),
            (packed(type=tarfile.LNKTYPE, linkname="x"), "'recipe.json' is not a plain file"),
            (packed(type=tarfile.CHRTYPE), "'recipe.json' is not a plain file"),
            (packed(type=tarfile.GNUTYPE_SPARSE), "is not a plain file"),
            (packed()[:512] + packed(), "is in the archive twice"),
        ],
    )
    def test_bad_archives(self, server: Running, body: bytes, words: str) -> None:
        headers = {"Content-Type": archive.MEDIA_TYPE}
        answer = server.client.put("/v1/models/tiny", content=body, headers=headers)
        assert answer.status_code == 422, answer.text
        assert words in answer.json()["detail"]

    def test_conditions_of_changes(self, server: Running) -> None:
        """RFC 9110 sections 13.1.1 and 13.1.2: `*` matches any existing model. A failed condition changes nothing."""
        client, body = server.client, {"recipe.json": json.dumps(RECIPE).encode()}
        other = {"recipe.json": json.dumps({**RECIPE, "seed": 9}).encode()}

        def change(method: str, files: dict[str, bytes], *lines: tuple[str, str]) -> int:
            content = archive.pack(files) if method == "PUT" else None
            headers = [("Content-Type", archive.MEDIA_TYPE), *lines]
            return client.request(method, "/v1/models/me/once", content=content, headers=headers).status_code

        is_new, is_there = ("If-None-Match", "*"), ("If-Match", "*")
        assert change("PUT", body, is_there) == change("DELETE", body, is_there) == 412
        assert change("PUT", body, is_new) == 201
        told = client.get("/v1/models/me/once").json()
        assert change("PUT", other, is_new) == change("DELETE", other, is_new) == 412
        # A malformed condition changes nothing.
        assert change("PUT", other, is_new, is_new) == change("DELETE", body, ("If-None-Match", '"x", *')) == 412
        assert change("PUT", other, ("If-None-Match", "x")) == 412
        # Models have no entity tags.
        assert change("PUT", other, ("If-Match", '"x"')) == change("PUT", other, is_there, is_new) == 412
        assert client.get("/v1/models/me/once").json() == told
        assert change("PUT", other, is_there) == change("PUT", other, ("If-None-Match", '"x"')) == 200
        assert client.get("/v1/models/me/once").json()["digest"] != told["digest"]
        assert change("PUT", body, ("Content-Range", "bytes 0-9/20")) == 400
        assert change("DELETE", body, is_there) == 204
        with ThreadPoolExecutor(8) as pool:
            statuses = sorted(pool.map(lambda _: change("PUT", body, is_new), range(8)))
        assert statuses == [201] + 7 * [412]
        assert change("DELETE", body) == 204

    @pytest.mark.parametrize(
        ("at", "conditions", "other", "expected"),
        [
            ("main", {}, "DELETE", (200, 204, 404)),
            (".tar", {"If-None-Match": "*"}, "PUT", (201, 200, 200)),
        ],
    )
    def test_changes_of_one_model_take_turns(
        self,
        server: Running,
        monkeypatch: pytest.MonkeyPatch,
        at: str,
        conditions: dict[str, str],
        other: str,
        expected: tuple[int, int, int],
    ) -> None:
        """A change that begins while a put writes `at` waits for the put."""
        client, body = server.client, archive.pack({"recipe.json": json.dumps({**RECIPE, "seed": 77}).encode()})
        first = archive.pack({"recipe.json": json.dumps(RECIPE).encode()})
        path, headers = "/v1/models/me/turns", {"Content-Type": archive.MEDIA_TYPE}
        if other == "DELETE":
            for content in (body, first):
                assert client.put(path, content=content, headers=headers).status_code in (200, 201)
        put_object = DirectoryObjects.put
        changes: list[Future[httpx.Response]] = []
        with ThreadPoolExecutor(1) as pool:

            def put(self: DirectoryObjects, key: str, content: bytes) -> None:
                if key.endswith(at) and not changes:
                    sent: dict[str, Any] = {"content": first, "headers": headers} if other == "PUT" else {}
                    changes.append(pool.submit(client.request, other, path, **sent))
                    wait(changes, timeout=0.5)
                put_object(self, key, content)

            monkeypatch.setattr(DirectoryObjects, "put", put)
            is_put = client.put(path, content=body, headers=headers | conditions).status_code
            changed = changes[0].result(60).status_code
        assert (is_put, changed, client.get(path).status_code) == expected
        assert ("me/turns" in client.get("/v1/models").json()["models"]) == (expected[-1] == 200)
        client.delete(path)

    def test_refusals(self, server: Running) -> None:
        client, good = server.client, {"recipe.json": json.dumps(RECIPE).encode()}
        for name in ("a--b", "a/b/c", "..", "%2e%2e", "a%00", "%F0%9F%8D%8C", "x" * 97, ""):
            for method in ("GET", "DELETE"):
                assert client.request(method, f"/v1/models/{name}").status_code in (404, 405), name
        told = dict.fromkeys(("a--b", "a/b/c", "a%00", "x" * 97), "a model's name is one or two parts")
        for name, words in {**told, "a/main": "must not be a revision", "a/tree": "must not be a revision"}.items():
            answer = put(client, name, good)
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:fanin:problem:invalid-model")
            assert words in answer.json()["detail"]
        wrong = put(client, "tiny", {"recipe.json": b'{"tensors": {"a": {"shape": [2], "scheme": "none"}}}'})
        assert wrong.json()["errors"][0]["pointer"] == "/tensors/a/scheme"
        as_json = client.put("/v1/models/tiny", json=RECIPE)
        assert as_json.status_code == 415
        assert as_json.headers["Accept"] == f"{archive.MEDIA_TYPE}, application/octet-stream"
        assert client.get("/v1/models/tiny").status_code == 404

    def test_a_large_one_is_not_read(self) -> None:
        with running(Settings(max_model_bytes=10_000)) as server:
            files = {"recipe.json": json.dumps(RECIPE).encode(), "vocab.txt": b"x" * 10_000}
            assert put(server.client, "tiny", files).status_code == 413

    def test_a_file_is_hashed_once_and_not_on_the_event_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        threads: list[str] = []
        tag = snapshots._tag

        def noted(content: bytes) -> str:
            if content == b"x" * 1000:
                threads.append(threading.current_thread().name)
            return tag(content)

        monkeypatch.setattr(snapshots, "_tag", noted)
        with running() as server:
            put(server.client, "tiny", {"recipe.json": json.dumps(RECIPE).encode(), "vocab.txt": b"x" * 1000})
            tags = {server.client.head("/s3/models/tiny/main/vocab.txt").headers["ETag"] for _ in range(3)}
        assert len(tags) == 1
        assert [name.rpartition("_")[0] for name in threads] == ["fanin-models"]

    @pytest.mark.parametrize("dtype", [*DTYPE_CODES, "complex64", "bf16"])
    def test_every_storage_type(self, server: Running, tmp_path: Path, dtype: str) -> None:
        recipe = {"seed": 3, "dtype": dtype, "tensors": {"w": {"shape": [5, 7], "scheme": "he_normal"}}}
        answer = put(server.client, "me/typed", {"recipe.json": json.dumps(recipe).encode()})
        assert answer.status_code in (200, 201)
        fanin.save(recipe, tmp_path / "file")
        named = f"seed-3-{storage_name(dtype).lower()}"
        for revision in ("main", answer.json()["main"], named, answer.json()["commit"]):
            found = server.client.get(f"/s3/models/me/typed/{revision}/model.safetensors")
            assert found.content == (tmp_path / "file").read_bytes()
        server.client.delete("/v1/models/me/typed")

    def test_a_store_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with running(Settings(model_store=str(tmp_path))) as server:
            put(server.client, "tiny", {"recipe.json": json.dumps(RECIPE).encode()})

            def fail(*_: object) -> None:
                raise ObjectsError("the disk is gone")

            monkeypatch.setattr(DirectoryObjects, "get", fail)
            monkeypatch.setattr(DirectoryObjects, "sizes", fail)
            monkeypatch.setattr(DirectoryObjects, "groups", fail)
            for path in ("/v1/models", "/v1/models/tiny"):
                answer = server.client.get(path)
                assert answer.status_code == 503
                assert answer.json()["type"] == "urn:fanin:problem:models-unavailable"
                assert answer.headers["Retry-After"] == "1"
                assert "disk" not in answer.text

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        with running(Settings(model_store=str(tmp_path))) as server:
            files = {"recipe.json": json.dumps(RECIPE).encode()}

            def fail(*_: object) -> None:
                raise OSError(number, "full")

            with monkeypatch.context() as patch:
                patch.setattr("fanin.file.disk.os.fsync", fail)
                answer = put(server.client, "tiny", files)
                assert answer.status_code == 507
                assert answer.json()["type"] == "urn:fanin:problem:model-store-full"
                assert "is full" in answer.json()["detail"]
                assert "Retry-After" not in answer.headers
            assert server.client.get("/v1/models/tiny").status_code == 404
            assert put(server.client, "tiny", files).status_code == 201

    def test_a_disk_that_is_full_before_the_lock(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "full")

        monkeypatch.setattr("fanin_service.models.objects.os.open", fail)
        with pytest.raises(ObjectsFullError, match="full"):
            DirectoryObjects(tmp_path).swap("tiny/main", None, b"x")

    def test_a_store_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(SettingsError, match=r"FANIN_MODEL_STORE: .*file"):
            create_app(Settings(model_store=str(tmp_path / "file" / "models")))


class TestPush:
    def test_from_python_and_from_the_command_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "recipe.json").write_text(json.dumps(RECIPE))
        (tmp_path / "config.json").write_bytes(FILES["config.json"])
        with running() as server, fanin.Client(server.url) as client:
            told = client.push("me/tiny", RECIPE, {"config.json": FILES["config.json"]})
            assert told == server.client.get("/v1/models/me/tiny").json()
            assert client.push("me/tiny", json.dumps(RECIPE), {"config.json": FILES["config.json"]}) == told
            assert main(["push", "you/tiny", "recipe.json", "config.json", "--service", server.url]) == 0
            out = capsys.readouterr().out
            assert "you/tiny: 4 tensors, 10.9 kB, main is seed-7-f32-5gb" in out
            assert f"commit {told['commit']}" in out
            assert main(["push", "a--b", "recipe.json", "--service", server.url]) == 7
            assert "a model's name is one or two parts" in capsys.readouterr().err
            assert main(["push", "tiny", "recipe.json", "config.json", "./config.json", "--service", server.url]) == 2
            assert main(["push", "tiny", "absent.json", "--service", server.url]) == 4
            (tmp_path / "recipe.json").write_text("{")
            assert main(["push", "tiny", "recipe.json", "--service", server.url]) == 3
            with pytest.raises(RecipeError):
                client.push("tiny", {"tensors": 1})


class TestShipped:
    def ship(self, directory: Path, name: str, **files: bytes) -> None:
        (directory / name).mkdir(parents=True)
        for file, text in {"recipe.json": json.dumps(RECIPE).encode(), **files}.items():
            (directory / name / file).write_bytes(text)

    def test_models_of_a_directory(self, tmp_path: Path) -> None:
        self.ship(tmp_path, "me/tiny", **{"config.json": FILES["config.json"]})
        self.ship(tmp_path, "gpt")
        with running(Settings(models=tmp_path)) as server:
            assert server.client.get("/v1/models").json() == {"models": ["gpt", "me/tiny"]}
            assert server.client.get("/v1/models/me/tiny").json()["files"] == ["config.json", "model.safetensors"]

    @pytest.mark.parametrize("model", ["tiny", "me/tiny"])
    def test_a_config_map_of_kubernetes_is_the_same_model_at_each_mount(self, tmp_path: Path, model: str) -> None:
        """Its files are links to a hidden directory, whose name has the time of the mount. Generated files are not
        read."""
        commits = set()
        for time in ("1", "2"):
            directory = tmp_path / time / model
            self.ship(tmp_path / time, f"{model}/..2026_11_30_{time}", **{"config.json": FILES["config.json"]})
            (directory / "..data").symlink_to(f"..2026_11_30_{time}")
            for name in ("recipe.json", "config.json"):
                (directory / name).symlink_to(f"..data/{name}")
            (directory / "model.safetensors").write_bytes(time.encode())
            with running(Settings(models=tmp_path / time)) as server:
                assert server.client.get("/v1/models").json() == {"models": [model]}
                described = server.client.get(f"/v1/models/{model}").json()
            assert described["files"] == ["config.json", "model.safetensors"]
            commits.add(described["commit"])
        assert len(commits) == 1

    def test_models_that_do_not_change(self, tmp_path: Path) -> None:
        (tmp_path / "me" / "tiny").mkdir(parents=True)
        (tmp_path / "me" / "tiny" / "recipe.json").write_text(json.dumps(RECIPE))
        with running(Settings(models=tmp_path, model_uploads=False)) as server:
            for answer in (put(server.client, "me/tiny", FILES), server.client.delete("/v1/models/me/tiny")):
                assert answer.status_code == 403
                assert answer.json()["type"] == "urn:fanin:problem:uploads-refused"
                assert "FANIN_MODEL_UPLOADS" in answer.json()["detail"]
            assert server.client.get("/v1/models").json() == {"models": ["me/tiny"]}
            assert server.client.get("/hf/me/tiny/resolve/main/model.safetensors").status_code == 307

    def test_what_cannot_be_shipped_stops_the_start(self, tmp_path: Path) -> None:
        def complaint() -> str:
            with pytest.raises(SettingsError) as caught:
                create_app(Settings(models=tmp_path))
            return str(caught.value)

        assert complaint() == f"FANIN_MODELS: {tmp_path} has no namespace/name/recipe.json"
        self.ship(tmp_path, "me/tiny", **{"a b": b""})
        assert "me/tiny: 'a b': a file's name has up to 200 letters" in complaint()
        (tmp_path / "me" / "tiny" / "a b").unlink()
        (tmp_path / "me" / "tiny" / "recipe.json").write_text("{}")
        assert "me/tiny: /tensors: this field is required" in complaint()
        (tmp_path / "me").rename(tmp_path / "a--b")
        assert "a--b/tiny: a model's name is" in complaint()
        (tmp_path / "a--b").rename(tmp_path / "me")
        (tmp_path / "me" / "tiny").rename(tmp_path / "me" / "main")
        assert "me/main: the second part of a new name must not be a revision" in complaint()


def test_a_store_without_a_place_goes_with_the_service() -> None:
    objects = DirectoryObjects()
    assert (objects.sizes(), objects.get("a/b"), objects.delete("a/b")) == ({}, None, None)
    assert objects._directory is None
    objects.put("a/b", b"c")
    assert objects.get("a/b") == b"c"
    directory = objects._directory
    assert directory is not None
    assert [path.name for path in directory.iterdir()] == ["a"]
    del objects
    assert not directory.exists()
