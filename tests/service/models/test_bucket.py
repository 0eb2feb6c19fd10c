"""Models in a bucket of an S3 server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from fanin import archive
from fanin_service.app import create_app
from fanin_service.models.objects import DirectoryObjects, Objects, ObjectsError
from fanin_service.models.store import ModelStore
from fanin_service.settings import Settings, SettingsError
from tests.support.models import RECIPE, content
from tests.support.servers import running

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # warnings of moto and its dependencies
pytest.importorskip("obstore", reason="obstore is not installed")
moto = pytest.importorskip("moto.server", reason="moto is not installed")

BUCKET = "s3://models/some/prefix"


class Bucket:
    """An S3 server that a test can stop."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        for name, value in {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():
            patch.setenv(name, value)
        httpx.put(f"{self.url}/models").raise_for_status()

    def stop(self) -> None:
        self._server.stop()

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
