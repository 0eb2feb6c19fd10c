"""Models in a bucket of an S3 server."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from fanin.file import archive
from fanin_service.app import create_app
from fanin_service.errors import PreconditionFailedError
from fanin_service.models.objects import DirectoryObjects, Objects, ObjectsError
from fanin_service.models.store import ModelStore
from fanin_service.settings import Settings, SettingsError
from tests.support.models import RECIPE, content
from tests.support.s3_proxy import S3Proxy
from tests.support.servers import running

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # warnings of moto and its dependencies
obstore = pytest.importorskip("obstore", reason="obstore is not installed")
moto = pytest.importorskip("moto.server", reason="moto is not installed")

BUCKET = "s3://models/some/prefix"


class Bucket:
    """An S3 server that a test can stop."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        self._running = ExitStack()
        self._running.callback(server.stop)
        host, port = server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        for name, value in {
            "AWS_ENDPOINT_URL": self._running.enter_context(S3Proxy(self.url, one_by_one=True)).url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():
            patch.setenv(name, value)
        httpx.put(f"{self.url}/models").raise_for_status()

    def stop(self) -> None:
        self._running.close()

    def empty(self) -> None:
        httpx.post(f"{self.url}/moto-api/reset").raise_for_status()
        httpx.put(f"{self.url}/models").raise_for_status()


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch:
        found = Bucket(patch)
        yield found
        found.stop()


@pytest.fixture(params=["directory", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path, bucket: Bucket) -> Objects:
    from fanin_service.models.bucket import BucketObjects

    bucket.empty()
    return DirectoryObjects(tmp_path) if request.param == "directory" else BucketObjects(BUCKET)


def test_objects(objects: Objects) -> None:
    assert objects.sizes() == {}
    assert objects.get("a/main") is objects.modified("a/main") is None
    objects.put("a/main", b"one")
    assert abs((objects.modified("a/main") or 0) - time.time()) < 3600
    objects.put("a/main", b"three")
    objects.put("ab/main", b"")
    objects.put("a/large", b"x" * (12 << 20))
    assert objects.get("a/main") == b"three"
    assert objects.get("ab/main") == b""
    assert objects.sizes() == {"a/main": 5, "ab/main": 0, "a/large": 12 << 20}
    assert objects.sizes("a") == {"a/main": 5, "a/large": 12 << 20}
    objects.delete("a/main")
    objects.delete("a/main")
    assert objects.get("a/main") is None
    assert objects.sizes("b") == {}


def test_many_put_at_once(objects: Objects) -> None:
    contents = [content({**RECIPE, "seed": seed}) for seed in range(6)]
    store = ModelStore(objects, 1 << 30)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda each: store.put("tiny", each), contents))
    digest = store.main("tiny")
    assert digest in [each.digest for each in contents]
    assert all(store.get("tiny", each.digest) is not None for each in contents)


def test_one_of_many_swaps_succeeds(objects: Objects) -> None:
    """The state that it swaps from has one successor, although other processes swap it at the same time."""
    old = None
    for turn in range(4):
        with ThreadPoolExecutor(6) as pool:
            new = [f"{turn} {place}".encode() for place in range(6)]
            swapped = list(pool.map(partial(objects.swap, "a/main", old), new))
        assert swapped.count(True) == 1
        old = new[swapped.index(True)]
        assert objects.get("a/main") == old
        assert objects.sizes() == {"a/main": len(old)}
    assert not objects.swap("a/main", None, b"x")
    assert not objects.swap("b/main", b"x", b"y")
    assert objects.get("b/main") is None


def test_a_condition_holds_although_another_replica_changes_the_model(objects: Objects) -> None:
    """The other replica puts the name after the condition was found to be met."""
    store, other = ModelStore(objects, 1 << 30), ModelStore(objects, 1 << 30)
    first, second = content(), content({**RECIPE, "seed": 8})
    seen = []

    def only_new(exists: bool) -> None:
        seen.append(exists)
        if exists:
            raise PreconditionFailedError("it exists")
        assert other.put("tiny", second)

    with pytest.raises(PreconditionFailedError):
        store.put("tiny", first, only_new)
    assert seen == [False, True]
    assert store.main("tiny") == second.digest


class Interrupted(DirectoryObjects):
    """Objects that call a function once, before the first call of a method."""

    def __init__(self, directory: Path, method: str, key: str) -> None:
        super().__init__(directory)
        self._method, self._key = method, key
        self.before: Callable[[], object] | None = None

    def _interrupt(self, method: str, key: str) -> None:
        if self.before and method == self._method and key.endswith(self._key):
            before, self.before = self.before, None
            before()

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        self._interrupt("swap", key)
        return super().swap(key, old, new)

    def delete(self, key: str) -> None:
        self._interrupt("delete", key)
        super().delete(key)


@pytest.mark.parametrize("exists", [False, True])
def test_another_replica_deletes_a_model_while_it_is_put(tmp_path: Path, exists: bool) -> None:
    """The name then refers to a content that exists."""
    objects = Interrupted(tmp_path, "swap", "/main")
    store, other = ModelStore(objects, 1 << 30), ModelStore(DirectoryObjects(tmp_path), 1 << 30)
    first, second = content(), content({**RECIPE, "seed": 8})
    if exists:
        store.put("tiny", first)
    objects.before = lambda: other.delete("tiny")
    assert store.put("tiny", second)
    assert store.main("tiny") == second.digest
    assert store.get("tiny", second.digest) is not None


def test_another_replica_puts_a_model_while_it_is_deleted(tmp_path: Path) -> None:
    """It must not remain a name whose content is deleted: such a model would be listed and not found."""
    objects, kept = Interrupted(tmp_path, "delete", ".tar"), content()
    store, other = ModelStore(objects, 1 << 30), ModelStore(DirectoryObjects(tmp_path), 1 << 30)
    store.put("tiny", kept)
    objects.before = lambda: other.put("tiny", kept)
    assert store.delete("tiny")
    assert store.names() == []
    assert store.main("tiny") is None


def test_a_name_never_refers_to_a_deleted_content(tmp_path: Path) -> None:
    objects = Interrupted(tmp_path, "delete", ".tar")
    store, other = ModelStore(objects, 1 << 30), ModelStore(DirectoryObjects(tmp_path), 1 << 30)
    store.put("tiny", content())
    seen: list[str | None] = []
    objects.before = lambda: seen.append(other.main("tiny"))
    assert store.delete("tiny")
    assert seen == [None]


def test_a_store_without_conditional_writes(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """It then works as before there were conditional writes."""
    from fanin_service.models import bucket as buckets

    bucket.empty()
    objects, put = buckets.BucketObjects(BUCKET), obstore.put

    def refuse(*arguments: Any, mode: Any = None, **options: Any) -> Any:
        if mode is not None:
            raise obstore.exceptions.GenericError("Server returned non-2xx status code: 501 Not Implemented")
        return put(*arguments, **options)

    monkeypatch.setattr(obstore, "put", refuse)
    assert objects.swap("a/main", None, b"one")
    assert not objects.swap("a/main", None, b"two")
    assert objects.swap("a/main", b"one", b"two")
    assert objects.get("a/main") == b"two"


def test_a_suspended_process_does_not_hold_others_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanin_service.models.objects._LOCK_SECONDS", 0.05)
    objects = DirectoryObjects(tmp_path)
    assert objects.swap("a/main", None, b"one")
    with (tmp_path / "a" / ".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ObjectsError, match="another process has locked"):
            objects.swap("a/main", b"one", b"two")
        assert objects.get("a/main") == b"one"
    assert objects.swap("a/main", b"one", b"two")


def test_two_replicas_create_a_model_once(tmp_path: Path) -> None:
    settings = Settings(model_store=str(tmp_path))
    with running(settings) as first, running(settings) as second:
        headers = {"Content-Type": archive.MEDIA_TYPE, "If-None-Match": "*"}

        def put(turn: int, place: int) -> int:
            server = (first, second)[place % 2]
            body = archive.pack({"recipe.json": json.dumps({**RECIPE, "seed": place}).encode()})
            return server.client.put(f"/v1/models/me/x{turn}", content=body, headers=headers).status_code

        for turn in range(10):
            with ThreadPoolExecutor(4) as pool:
                codes = list(pool.map(partial(put, turn), range(4)))
            assert sorted(codes) == [201, 412, 412, 412]


def test_what_is_damaged_is_put_again(objects: Objects) -> None:
    store, kept = ModelStore(objects, 1 << 30), content()
    store.put("tiny", kept)
    objects.put(f"tiny/{kept.digest}.tar", archive.pack({**kept.all, "config.json": b"{}"}))
    assert store.get("tiny", kept.digest) is None
    store.put("tiny", kept)
    assert store.get("tiny", kept.digest) is not None


def test_replicas_share_it_and_outlive_it(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the bucket, cached models are served by commit id, and names cannot be resolved."""
    other = Bucket(monkeypatch)
    other.empty()  # all servers of a process share one store
    files = {"recipe.json": json.dumps(RECIPE).encode(), "config.json": b"{}"}
    settings = Settings(model_store=BUCKET)
    with running(settings) as first, running(settings) as second:
        headers = {"Content-Type": archive.MEDIA_TYPE}
        told = first.client.put("/v1/models/me/tiny", content=archive.pack(files), headers=headers)
        assert told.status_code == 201
        assert second.client.get("/v1/models/me/tiny").json() == told.json()
        assert second.client.get("/v1/models").json() == {"models": ["me/tiny"]}
        commit = f"/hf/me/tiny/resolve/{told.json()['commit']}"
        whole = second.client.get(f"{commit}/model.safetensors").content
        other.stop()
        for path in ("/v1/models", "/v1/models/me/tiny"):
            answer = second.client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:fanin:problem:models-unavailable")
            assert "127.0.0.1" not in answer.text
        assert second.client.get("/hf/me/tiny/resolve/main/config.json").status_code == 429
        assert second.client.get(f"{commit}/model.safetensors").content == whole
        assert second.client.get(f"{commit}/config.json").content == b"{}"


def test_a_bucket_that_cannot_be_used_stops_the_start(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"FANIN_MODEL_STORE: .* 404 Not Found"):
        create_app(Settings(model_store="s3://absent"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(SettingsError, match="FANIN_MODEL_STORE: "):
        create_app(Settings(model_store=BUCKET))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("gs://models", "must be a directory, or a URL that begins with s3://"),
        ("s3://", "the URL names no bucket"),
        ("", "at least 1 character"),
    ],
)
def test_places_that_are_none(place: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(model_store=place)


def test_failures_are_of_one_kind(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ObjectsError):
        DirectoryObjects(tmp_path / "file").put("a/b", b"")
