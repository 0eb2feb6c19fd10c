"""Artifacts in a bucket of an S3 server."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import fanin
from fanin import artifact
from fanin.artifact.destinations.budget import Budget
from fanin.artifact.destinations.opening import destination
from fanin.artifact.destinations.pieces import part_bytes, pieces
from fanin.errors import ConflictError, DestinationError
from fanin.file.disk import CHUNK
from tests.support.checkpoints import FILES, RECIPE, SHARD, files_of, made
from tests.support.signatures import write_key

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # warnings of moto and its dependencies
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
moto = pytest.importorskip("moto.server", reason="moto is not installed")

URL = "s3://artifacts/some/prefix"
LARGE = {"seed": 1, "tensors": {"a": {"shape": [2 * CHUNK // 4 + 100], "scheme": "zeros"}}}
"""A file of two parts and a rest."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Return the URL of an S3 server, whose bucket `artifacts` is that of the environment."""
    found = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    found.start()
    host, port = found.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():
            patch.setenv(name, value)
        yield f"http://{host}:{port}"
    found.stop()


@pytest.fixture
def client(server: str) -> Any:
    """Return a client of an empty server."""
    httpx.post(f"{server}/moto-api/reset", timeout=60).raise_for_status()
    httpx.put(f"{server}/artifacts", timeout=60).raise_for_status()
    return boto3.client("s3", region_name="us-east-1")


def objects(client: Any) -> dict[str, bytes]:
    """Return the content of every object, by its key."""
    keys = [found["Key"] for found in client.list_objects_v2(Bucket="artifacts").get("Contents", ())]
    return {key: client.get_object(Bucket="artifacts", Key=key)["Body"].read() for key in keys}


def test_a_bucket_has_the_same_objects_as_a_directory(client: Any, tmp_path: Path) -> None:
    manifest = artifact.make(RECIPE, URL, shard_bytes=SHARD, files=FILES)
    made(tmp_path)
    expected = {f"some/prefix/{name}": content for name, content in files_of(tmp_path).items()}
    assert objects(client) == expected
    name = "some/prefix/model-00001-of-00003.safetensors"
    recipe = fanin.as_recipe(RECIPE).part(["head", "layers.0.bias"])
    assert client.head_object(Bucket="artifacts", Key=name)["Metadata"] == {"fanin-recipe": recipe.digest}
    found = artifact.status(URL)
    assert (found.items_done, found.bytes_done, found.is_complete) == (3, 26_200, True)
    # Again, and with a slash at the end: nothing is sent.
    modified = {each["Key"]: each["LastModified"] for each in client.list_objects_v2(Bucket="artifacts")["Contents"]}
    assert artifact.make(RECIPE, URL + "/", shard_bytes=SHARD, files=FILES) == manifest
    again = {each["Key"]: each["LastModified"] for each in client.list_objects_v2(Bucket="artifacts")["Contents"]}
    assert again == modified


def test_a_large_object_is_created_once_and_in_parts(client: Any, tmp_path: Path) -> None:
    artifact.make(LARGE, URL, format="safetensors")
    fanin.save(LARGE, tmp_path / "saved")
    found = client.get_object(Bucket="artifacts", Key="some/prefix/model.safetensors")
    assert found["Body"].read() == (tmp_path / "saved").read_bytes()
    assert found["ETag"].endswith('-3"')
    place = destination(URL)
    assert not place.create("model.safetensors", [memoryview(bytes(CHUNK))] * 2, 2 * CHUNK)
    assert place.size("model.safetensors") == len((tmp_path / "saved").read_bytes())
    assert "Uploads" not in client.list_multipart_uploads(Bucket="artifacts")


def test_an_upload_that_fails_leaves_nothing(client: Any) -> None:
    place = destination(URL)

    def chunks() -> Iterator[memoryview]:
        for _ in range(3):
            yield memoryview(bytearray(CHUNK))
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        place.create("key", chunks(), 5 * CHUNK)
    assert objects(client) == {}
    assert "Uploads" not in client.list_multipart_uploads(Bucket="artifacts")


def test_the_work_of_an_upload_grows_with_its_parts(server: str) -> None:
    """Not with their square: 10,000 parts took 85 seconds of CPU time."""
    looks = 0

    class Sent(Future[str]):
        def done(self) -> bool:
            nonlocal looks
            looks += 1
            return super().done()

    class Senders:
        def submit(self, function: Any, key: str, upload: str, number: int, content: Any) -> Future[str]:
            sent = Sent()
            sent.set_result(str(number))
            return sent

    place: Any = destination(URL)
    place._senders = Senders()
    tags = place._send_all("key", "upload", (bytearray(1) for _ in range(1000)), 1000 * CHUNK)
    assert tags == [str(number) for number in range(1, 1001)]
    assert looks <= 4 * 1000


def test_uploads_of_dead_writers_are_removed_at_the_end(client: Any) -> None:
    plan = artifact.begin(RECIPE, URL, shard_bytes=SHARD)
    mine, other = f"some/prefix/{plan.item(0).name}", "some/prefix/other"
    for key in (mine, other):
        client.create_multipart_upload(Bucket="artifacts", Key=key)
    artifact.make(RECIPE, URL, shard_bytes=SHARD)
    left = client.list_multipart_uploads(Bucket="artifacts")["Uploads"]
    assert [upload["Key"] for upload in left] == [other]


def test_a_prefix_that_a_console_has_created(client: Any) -> None:
    client.put_object(Bucket="artifacts", Key="some/prefix/", Body=b"")
    assert list(destination(URL).objects()) == []
    assert len(artifact.begin(RECIPE, URL, shard_bytes=SHARD)) == 3


def test_two_drivers_at_once(client: Any, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        ready = threading.Barrier(2)

        def make(_: int) -> artifact.Manifest:
            ready.wait()
            return artifact.make(RECIPE, URL, shard_bytes=SHARD, files=FILES)

        one, two = pool.map(make, range(2))
    assert one == two
    made(tmp_path)
    assert objects(client) == {f"some/prefix/{name}": content for name, content in files_of(tmp_path).items()}


def test_other_content_is_refused(client: Any) -> None:
    client.put_object(Bucket="artifacts", Key="some/prefix/README.md", Body=b"mine")
    with pytest.raises(ConflictError, match=f"{URL}: it has no artifact, but README.md"):
        artifact.make(RECIPE, URL, shard_bytes=SHARD)
    plan = artifact.begin(RECIPE, "s3://artifacts/other", shard_bytes=SHARD)
    name = plan.item(1).name
    for content, message in ((b"mine", "exists with 4 bytes"), (bytes(plan.item(1).content.size), "other tensors")):
        client.put_object(Bucket="artifacts", Key=f"other/{name}", Body=content)
        with pytest.raises(ConflictError, match=message):
            artifact.make(RECIPE, "s3://artifacts/other", shard_bytes=SHARD)
        assert client.get_object(Bucket="artifacts", Key=f"other/{name}")["Body"].read() == content


def test_errors_are_one_line(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DestinationError, match=r"^s3://nothing/x/\.fanin/plan\.json: GetObject: NoSuchBucket: .* \(404\)$"
    ) as found:
        artifact.make(RECIPE, "s3://nothing/x")
    assert not found.value.may_pass
    with pytest.raises(ValueError, match=r"^destination 's3://' names no bucket"):
        artifact.status("s3://")
    with pytest.raises(ValueError, match=r"^destination 's3:///bucket/x' names no bucket"):
        artifact.status("s3:///bucket/x")
    with pytest.raises(ValueError, match="ftp:// is not a kind of destination; use s3://, gs://, az://, file://"):
        artifact.status("ftp://x/y")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("fanin.artifact.destinations.s3._ATTEMPTS", 1)
    with pytest.raises(DestinationError, match=r"GetObject: Could not connect .*$") as found:
        artifact.status(URL)
    assert found.value.may_pass
    assert "\n" not in str(found.value)


def test_a_store_that_ignores_conditions_is_refused(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place = destination(URL)
    put = place._client.put_object  # type: ignore[attr-defined]
    monkeypatch.setattr(place._client, "put_object", lambda IfNoneMatch, **given: put(**given))  # type: ignore[attr-defined]  # noqa: N803
    monkeypatch.setattr("fanin.artifact.making.destination", lambda url: place)
    with pytest.raises(fanin.ArtifactError, match="this store ignores If-None-Match, which an artifact needs"):
        artifact.make(RECIPE, URL)


def test_memory_is_bounded(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from fanin.artifact.destinations import s3

    monkeypatch.setattr(s3, "BUDGET", 2 * CHUNK)
    place = destination(URL)
    alive: list[weakref.ref[Any]] = []
    most = 0

    class Buffer(bytearray):
        """One whose references can be counted."""

    def chunks() -> Iterator[memoryview]:
        nonlocal most
        for _ in range(6):
            buffer = Buffer(CHUNK)
            alive.append(weakref.ref(buffer))
            most = max(most, sum(each() is not None for each in alive))
            chunk = memoryview(buffer)
            del buffer
            yield chunk
            del chunk

    assert place.create("key", chunks(), 6 * CHUNK)
    # One more: the sender drops a part just after its bytes count as free.
    assert 2 <= most <= 3
    assert place._budget.used == 0  # type: ignore[attr-defined]


def test_pieces_of_an_object() -> None:
    assert part_bytes(5_000_000_000, 10_000) == CHUNK
    assert part_bytes(10_000 * CHUNK, 10_000) == CHUNK
    assert part_bytes(10_000 * CHUNK + 1, 10_000) == 2 * CHUNK
    assert part_bytes(48 << 40, 10_000) * 10_000 >= 48 << 40
    content = bytes(range(256))
    for lengths in ([256], [1] * 256, [100, 100, 56], [64] * 4, [0, 255, 1]):
        views, at = [], 0
        for length in lengths:
            views.append(memoryview(bytearray(content[at : at + length])))
            at += length
        found = list(pieces(views, 64))
        assert [len(each) for each in found] == [64] * 4
        assert b"".join(found) == content
    assert [bytes(each) for each in pieces([memoryview(b"abc"), memoryview(b"de")], 4)] == [b"abcd", b"e"]
    assert list(pieces([], 4)) == []


def test_a_budget_lets_the_largest_alone() -> None:
    budget = Budget(10)
    with budget.held(100):
        assert budget.used == 100
    order: list[str] = []
    with budget.held(8), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: budget.held(3).__enter__() and order.append("held"))
        assert not order
        budget.free(8)
        waiting.result(timeout=60)
        budget.used += 8  # the block frees it again
    assert order == ["held"]


def test_a_signed_artifact(client: Any, tmp_path: Path) -> None:
    """An artifact is signed and verified in its bucket, and a copy in a directory has the same signature."""
    key = write_key(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    artifact.make(RECIPE, URL, shard_bytes=SHARD, files=FILES)
    signed = artifact.sign(URL, key)
    assert (signed.is_new, artifact.sign(URL, key).is_new) == (True, False)
    public = artifact.load_key(key).public_pem
    assert artifact.verify_signature(URL, public, recipe=RECIPE).digests == signed.digests
    for name, content in objects(client).items():
        path = tmp_path / "copy" / name.removeprefix("some/prefix/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert artifact.verify_signature(tmp_path / "copy", public).digests == signed.digests
    client.put_object(Bucket="artifacts", Key="some/prefix/more.bin", Body=b"x")
    with pytest.raises(fanin.SignatureError, match=r"not signed, but in the artifact: more\.bin"):
        artifact.verify_signature(URL, public, contents="none")


def test_stores_without_conditional_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The way to Google and Azure, with a store of obstore in memory."""
    obstore = pytest.importorskip("obstore", reason="obstore is not installed")
    from obstore.store import MemoryStore

    store = MemoryStore()
    monkeypatch.setattr("fanin.artifact.destinations.bucket.from_url", lambda url, **options: store)
    artifact.make(RECIPE, "gs://bucket/step-0", shard_bytes=SHARD, files=FILES)
    made(tmp_path)
    place = destination("gs://bucket/step-0")
    assert {key: place.read(key) for key, _ in place.objects()} == files_of(tmp_path)
    assert dict(place.objects()) == {key: len(content) for key, content in files_of(tmp_path).items()}
    assert place.read("nothing") is place.size("nothing") is None
    assert place.range("config.json", 1, 1) == b""
    assert place.range("tokenizer/vocab.txt", 1, 3) == b"\nb"
    with pytest.raises(FileNotFoundError):
        place.range("nothing", 0, 1)

    def chunks(first: int) -> Iterator[memoryview]:
        for number in range(3):
            yield memoryview(bytearray([first + number]) * CHUNK)

    assert place.create("large", chunks(1), 3 * CHUNK, {"fanin-recipe": "abc"})
    assert not place.create("large", chunks(4), 3 * CHUNK)
    assert place.read("large") == b"".join(chunks(1))
    assert obstore.get(store, "large").attributes["fanin-recipe"] == "abc"

    # Azure may return before the copy is complete; until then the object is empty.
    sizes = iter([0, 0, 2 * CHUNK])
    monkeypatch.setattr("fanin.artifact.destinations.bucket._POLL", 0.0)
    monkeypatch.setattr("fanin.artifact.destinations.bucket.obstore.head", lambda *_: {"size": next(sizes)})
    assert place.create("slow", [memoryview(bytearray(CHUNK))] * 2, 2 * CHUNK)
    assert next(sizes, None) is None
    monkeypatch.undo()
    monkeypatch.setattr("fanin.artifact.destinations.bucket.from_url", lambda url, **options: store)

    def broken() -> Iterator[memoryview]:
        yield from chunks(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        place.create("other", broken(), 4 * CHUNK)
    assert [found["path"] for page in obstore.list(store, prefix=".fanin/partial/") for found in page] == []
    assert place.size("other") is None

    obstore.put(store, ".fanin/partial/young", b"")
    place.sweep([])
    assert place.size(".fanin/partial/young") == 0
    monkeypatch.setattr("fanin.artifact.destinations.bucket._STALE", timedelta(0))
    place.sweep([])
    assert place.size(".fanin/partial/young") is None


def test_many_parts_are_looked_at_once(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object has up to 10,000 parts: the calls that look at them grow as their number does."""
    from concurrent.futures import Future

    calls = 0
    done = Future.done

    def counted(self: Future[Any]) -> bool:
        nonlocal calls
        calls += 1
        return done(self)

    place = destination(URL)
    monkeypatch.setattr(place, "_send", lambda key, upload, number, content: str(number))
    monkeypatch.setattr("fanin.artifact.destinations.s3.part_bytes", lambda size, most: 1)
    monkeypatch.setattr(Future, "done", counted)
    tags = place._send_all("key", "upload", iter([bytearray(1)] * 500), 500)  # type: ignore[attr-defined]
    assert tags == [str(number) for number in range(1, 501)]
    assert calls <= 2 * 500
