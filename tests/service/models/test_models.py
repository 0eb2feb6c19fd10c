"""Named models: the routes of the service, and `push`."""

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
import pytest

import fanin
from fanin import RecipeError
from fanin.cli.main import main
from fanin.dtypes import storage_name
from fanin.file import archive
from fanin_service.app import create_app
from fanin_service.models import snapshot as snapshots
from fanin_service.models.objects import DirectoryObjects, ObjectsError, ObjectsFullError
from fanin_service.models.revisions import DTYPE_CODES
from fanin_service.settings import Settings, SettingsError
from tests.support.models import FILES, RECIPE, put_model
from tests.support.servers import Running, running


def packed(**options: Any) -> bytes:
    """Return an archive of one member with these options."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        member = tarfile.TarInfo(options.pop("name", "recipe.json"))
        for name, value in options.items():
            setattr(member, name, value)
        made.addfile(member)
    return buffer.getvalue()


class TestService:
    def test_life_of_a_model(self) -> None:
        with running() as server:
            client = server.client
            assert client.get("/v1/models").json() == {"models": []}
            files = {**FILES, "recipe.json": json.dumps(RECIPE).encode()}
            answer = put_model(client, "me/tiny", files)
            assert (answer.status_code, answer.headers["Location"]) == (201, "/v1/models/me/tiny")
            told = answer.json()
            assert told["main"] == "seed-7-f32-5gb"
            assert told["files"] == ["config.json", "model.safetensors", "spiece.model", "tokenizer/vocab.txt"]
            assert (told["tensors"], told["parameters"], told["size"]) == (4, 2720, 10880)
            assert client.get("/v1/models/me/tiny").json() == told
            assert client.head("/v1/models/me/tiny").headers["Content-Length"] == str(len(answer.content))
            assert put_model(client, "me/tiny", files).json() == told

            changed = put_model(client, "me/tiny", {"recipe.json": json.dumps({**RECIPE, "seed": 8}).encode()})
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
                told = put_model(first.client, "tiny", {"recipe.json": json.dumps({**RECIPE, "seed": seed}).encode()})
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
            answer = put_model(client, name, good)
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:fanin:problem:invalid-model")
            assert words in answer.json()["detail"]
        wrong = put_model(client, "tiny", {"recipe.json": b'{"tensors": {"a": {"shape": [2], "scheme": "none"}}}'})
        assert wrong.json()["errors"][0]["pointer"] == "/tensors/a/scheme"
        as_json = client.put("/v1/models/tiny", json=RECIPE)
        assert as_json.status_code == 415
        assert as_json.headers["Accept"] == f"{archive.MEDIA_TYPE}, application/octet-stream"
        assert client.get("/v1/models/tiny").status_code == 404

    def test_a_large_one_is_not_read(self) -> None:
        with running(Settings(max_model_bytes=10_000)) as server:
            files = {"recipe.json": json.dumps(RECIPE).encode(), "vocab.txt": b"x" * 10_000}
            assert put_model(server.client, "tiny", files).status_code == 413

    def test_a_file_is_hashed_once_and_not_on_the_event_loop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        threads: list[str] = []
        tag = snapshots._tag

        def noted(content: bytes) -> str:
            if content == b"x" * 1000:
                threads.append(threading.current_thread().name)
            return tag(content)

        monkeypatch.setattr(snapshots, "_tag", noted)
        with running() as server:
            put_model(server.client, "tiny", {"recipe.json": json.dumps(RECIPE).encode(), "vocab.txt": b"x" * 1000})
            tags = {server.client.head("/s3/models/tiny/main/vocab.txt").headers["ETag"] for _ in range(3)}
        assert len(tags) == 1
        assert [name.rpartition("_")[0] for name in threads] == ["fanin-models"]

    @pytest.mark.parametrize("dtype", [*DTYPE_CODES, "complex64", "bf16"])
    def test_every_storage_type(self, server: Running, tmp_path: Path, dtype: str) -> None:
        recipe = {"seed": 3, "dtype": dtype, "tensors": {"w": {"shape": [5, 7], "scheme": "he_normal"}}}
        answer = put_model(server.client, "me/typed", {"recipe.json": json.dumps(recipe).encode()})
        assert answer.status_code in (200, 201)
        fanin.save(recipe, tmp_path / "file")
        named = f"seed-3-{storage_name(dtype).lower()}"
        for revision in ("main", answer.json()["main"], named, answer.json()["commit"]):
            found = server.client.get(f"/s3/models/me/typed/{revision}/model.safetensors")
            assert found.content == (tmp_path / "file").read_bytes()
        server.client.delete("/v1/models/me/typed")

    def test_a_store_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with running(Settings(model_store=str(tmp_path))) as server:
            put_model(server.client, "tiny", {"recipe.json": json.dumps(RECIPE).encode()})

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
                answer = put_model(server.client, "tiny", files)
                assert answer.status_code == 507
                assert answer.json()["type"] == "urn:fanin:problem:model-store-full"
                assert "is full" in answer.json()["detail"]
                assert "Retry-After" not in answer.headers
            assert server.client.get("/v1/models/tiny").status_code == 404
            assert put_model(server.client, "tiny", files).status_code == 201

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

    def test_links_out_of_a_directory(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A link may lead to a file of the directory, or from a snapshot of the Hub's cache to its blobs."""
        monkeypatch.chdir(tmp_path)
        files = {"recipe.json": json.dumps(RECIPE).encode(), "config.json": FILES["config.json"]}
        for folder in ("model/..data", "models--me--tiny/blobs", "secrets/blobs"):
            Path(folder).mkdir(parents=True)
            for name, content in files.items():
                (tmp_path / folder / name).write_bytes(content)
        snapshot = Path("models--me--tiny/snapshots/0123")
        snapshot.mkdir(parents=True)
        for name in files:
            (tmp_path / "model" / name).symlink_to(f"..data/{name}")
            (snapshot / name).symlink_to(f"../../blobs/{name}")
        Path("link").symlink_to("model")
        with running() as server:
            for directory in ("model", "link", str(snapshot)):
                assert main(["push", "me/tiny", directory, "--service", server.url]) == 0
                assert "config.json" in server.client.get("/v1/models/me/tiny").json()["files"]
                assert server.client.delete("/v1/models/me/tiny").status_code == 204
            capsys.readouterr()
            outside = (tmp_path / "secrets/blobs/config.json").resolve()
            for directory in ("model", str(snapshot)):
                link = Path(directory, "key.json")
                link.symlink_to(outside)
                assert main(["push", "me/secret", directory, "--service", server.url]) == 2
                assert f"{link} is a symbolic link out of the directory, to {outside}" in capsys.readouterr().err
            assert server.client.get("/v1/models/me/secret").status_code == 404
