"""Unmodified S3 clients against the service, over a socket."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import fanin
from fanin.file.plan import read_into
from fanin_service.access import keys
from fanin_service.access.scopes import Right
from fanin_service.settings import Settings
from tests.support.servers import Running, running

TINY: dict[str, Any] = {
    "dtype": "F32",
    "layout": "torch",
    "tensors": {
        "wte.weight": {"shape": [300, 64], "scheme": "normal", "std": 0.02},
        "fc.weight": {"shape": [64, 64], "scheme": "he_normal"},
        "norm.weight": {"shape": [64], "scheme": "ones"},
    },
}
LARGE: dict[str, Any] = {"shape": [5_000_000], "scheme": "normal", "std": 0.02}
"""A tensor of 20 MB, which clients fetch in parts."""
FILES = {"config.json": b'{"model_type": "tiny"}', "vocab/a b.txt": b"a\n", "vocab/c.txt": b"c\n"}
FILES = {name.replace(" ", "_"): content for name, content in FILES.items()}
AGES_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SEED_42 = "me/tiny/seed-42/model.safetensors"


class Guarded:
    """A service with models that requires keys."""

    def __init__(self, server: Running, key: str) -> None:
        self.server, self.key = server, key
        self.endpoint = f"{server.url}/s3"

    def boto3(self, key: str | None = None, version: str = "s3v4") -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key or self.key,
            aws_secret_access_key="unused",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, signature_version=version),
        )

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process that uses the AWS SDK."""
        return {
            **os.environ,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": "unused",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
        }


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    ring = tmp_path_factory.mktemp("keys") / "keys.json"
    reader, _ = keys.create(ring, "reader", (Right.MODELS_READ, Right.WEIGHTS_READ))
    writer, _ = keys.create(ring, "writer", (Right.MODELS_WRITE,))
    with running(Settings(access="keys", keys_file=ring)) as server:
        with fanin.Client(server.url, token=writer) as client:
            client.push("me/tiny", TINY, FILES)
            client.push("tiny", TINY)
            client.push("me/large", LARGE)
        yield Guarded(server, reader)


def made(recipe: dict[str, Any]) -> bytes:
    layout = fanin.FileLayout.of(recipe)
    content = bytearray(layout.size)
    read_into(layout, 0, memoryview(content), fanin.backends.get())
    return bytes(content)


def run(guarded: Guarded, program: str, *arguments: str) -> Any:
    """Run a program in a separate process, and return the values that it prints as JSON."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=guarded.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_objects(guarded: Guarded) -> None:
    client = guarded.boto3()
    head = client.head_object(Bucket="models", Key=SEED_42)
    whole = client.get_object(Bucket="models", Key=SEED_42)
    content = whole["Body"].read()
    assert content == made({**TINY, "seed": 42})
    assert head["ContentLength"] == len(content)
    assert head["ETag"] == whole["ETag"]
    part = client.get_object(Bucket="models", Key=SEED_42, Range="bytes=1000-1999", IfMatch=head["ETag"])
    assert part["Body"].read() == content[1000:2000]
    assert part["ContentRange"] == f"bytes 1000-1999/{len(content)}"
    assert client.get_object(Bucket="models", Key="me/tiny/main/config.json")["Body"].read() == FILES["config.json"]
    of_one_part = client.get_object(Bucket="models", Key="tiny/seed-42/model.safetensors")
    assert of_one_part["ETag"] == head["ETag"]
    other = client.head_object(Bucket="models", Key="me/tiny/seed-43/model.safetensors")
    assert other["ETag"] != head["ETag"]


def test_download_in_parts(guarded: Guarded, tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    guarded.boto3().download_file("models", "me/large/seed-7/model.safetensors", str(path))
    assert path.read_bytes() == made({**LARGE, "seed": 7})


def test_listing(guarded: Guarded) -> None:
    client = guarded.boto3()
    listed = [f"me/tiny/main/{name}" for name in sorted([*FILES, "model.safetensors"])]
    everything = ["me/large/main/model.safetensors", *listed, "tiny/main/model.safetensors"]

    def keys_of(**options: Any) -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="models", **options)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def groups_of(**options: Any) -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="models", Delimiter="/", **options)
        return [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]

    assert client.list_buckets()["Buckets"][0]["Name"] == "models"
    client.head_bucket(Bucket="models")
    assert client.get_bucket_location(Bucket="models")["LocationConstraint"] is None
    for size in (1, 2, 3, 1000):
        paged = {"PaginationConfig": {"PageSize": size}}
        assert keys_of(**paged) == everything
        assert groups_of(**paged) == ["me/", "tiny/"]
        assert groups_of(Prefix="me/", **paged) == ["me/large/", "me/tiny/"]
        assert groups_of(Prefix="me/tiny/", **paged) == ["me/tiny/main/"]
        assert groups_of(Prefix="me/tiny/main/", **paged) == ["me/tiny/main/vocab/"]
        assert keys_of(Prefix="me/tiny/main/", Delimiter="/", **paged) == [k for k in listed if "vocab" not in k]
    assert keys_of(StartAfter=listed[1]) == everything[everything.index(listed[1]) + 1 :]
    assert keys_of(Prefix="me/tiny/seed-42/m") == [SEED_42]
    assert groups_of(Prefix="me/tiny/seed-42") == ["me/tiny/seed-42/"]
    assert keys_of(Prefix="me/tiny/seed-") == keys_of(Prefix="you") == []
    (entry,) = client.list_objects_v2(Bucket="models", Prefix=SEED_42)["Contents"]
    head = client.head_object(Bucket="models", Key=SEED_42)
    assert (entry["Size"], entry["ETag"], entry["LastModified"]) == (
        head["ContentLength"],
        head["ETag"],
        head["LastModified"],
    )
    shards = keys_of(Prefix="me/tiny/seed-1-20kb/model")
    assert len(shards) > 2
    assert all(client.head_object(Bucket="models", Key=key)["ContentLength"] for key in shards)


@pytest.mark.parametrize(
    ("operation", "arguments", "status", "code", "message"),
    [
        ("get_object", {"Key": "me/none/main/x"}, 404, "NoSuchKey", "a key is"),
        ("get_object", {"Key": "me/tiny/seed-x/model.safetensors"}, 404, "NoSuchKey", "has no revision 'seed-x'"),
        ("get_object", {"Key": "me/tiny/main/none"}, 404, "NoSuchKey", "has no file 'none'"),
        ("get_object", {"Key": "x"}, 404, "NoSuchKey", "a key is"),
        ("get_object", {"Bucket": "other", "Key": "x"}, 404, "NoSuchBucket", "none is named 'other'"),
        ("get_object", {"Key": SEED_42, "Range": "bytes=999999-"}, 416, "InvalidRange", "the file has"),
        ("get_object", {"Key": SEED_42, "IfMatch": '"x"'}, 412, "PreconditionFailed", "the entity tag"),
        ("get_object", {"Key": SEED_42, "VersionId": "x"}, 404, "NoSuchKey", "one version"),
        ("get_object_acl", {"Key": SEED_42}, 400, "InvalidArgument", "acl: only the bytes of an object"),
        ("put_object", {"Key": SEED_42, "Body": b"x"}, 405, "MethodNotAllowed", "allows GET, HEAD"),
        ("delete_object", {"Key": SEED_42}, 405, "MethodNotAllowed", "allows GET, HEAD"),
        ("list_objects_v2", {"ContinuationToken": "\u00e4"}, 400, "InvalidArgument", "continuation-token"),
        ("get_bucket_versioning", {}, 400, "InvalidArgument", "'versioning': a bucket has only"),
        ("list_objects_v2", {"EncodingType": "x"}, 400, "InvalidArgument", "encoding-type 'x'"),
        ("list_objects", {"EncodingType": "x"}, 400, "InvalidArgument", "encoding-type 'x'"),
        ("get_object", {"Key": SEED_42, "PartNumber": 2}, 416, "InvalidRange", "one part"),
        ("get_object", {"Key": SEED_42, "PartNumber": 1, "Range": "bytes=0-"}, 400, "InvalidArgument", "partNumber"),
        ("get_object", {"Key": SEED_42, "IfUnmodifiedSince": AGES_AGO}, 412, "PreconditionFailed", "modified"),
        ("get_object", {"Key": SEED_42, "ResponseContentType": "a\0"}, 400, "InvalidArgument", "response-content-type"),
    ],
)
def test_errors(
    guarded: Guarded, operation: str, arguments: dict[str, Any], status: int, code: str, message: str
) -> None:
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        getattr(guarded.boto3(), operation)(**{"Bucket": "models", **arguments})
    error = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == status
    assert error["Error"]["Code"] == code
    assert message in error["Error"]["Message"]


def test_bad_keys(guarded: Guarded, tmp_path: Path) -> None:
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        guarded.boto3(key="fanin_nobody").list_buckets()
    answer = guarded.server.client.get("/s3/models", params={"list-type": 2})
    assert (answer.status_code, answer.headers["Content-Type"]) == (403, "application/xml")
    assert b"<Code>AccessDenied</Code>" in answer.content
    signed = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={guarded.key}/20260101/us-east-1/s3/aws4_request, Signature=0"
    }
    assert guarded.server.client.get("/s3/", headers=signed).status_code == 200
    assert guarded.server.client.get("/v1/models", headers=signed).status_code == 401


def test_listing_in_pages_of_any_size(guarded: Guarded) -> None:
    """For every page size, ListObjectsV2 and ListObjects return the keys of a listing in one page."""
    client = guarded.boto3()
    for prefix in ("", "m", "me/", "me/tiny", "me/tiny/main/v", "me/tiny/seed-1-20kb/", "t"):
        for delimiter in ("", "/"):
            asked = {"Bucket": "models", "Prefix": prefix, "Delimiter": delimiter}
            whole = client.list_objects_v2(**asked, FetchOwner=True)
            for operation, size in (("list_objects_v2", 1), ("list_objects", 1), ("list_objects", 1000)):
                options = {"FetchOwner": True} if operation == "list_objects_v2" else {}
                pages = list(
                    client.get_paginator(operation).paginate(**asked, **options, PaginationConfig={"PageSize": size})
                )
                for member in ("Contents", "CommonPrefixes"):
                    assert [item for page in pages for item in page.get(member, [])] == whole.get(member, [])


def test_a_bucket_of_boto3(guarded: Guarded) -> None:
    import boto3

    bucket = boto3.resource(
        "s3",
        endpoint_url=guarded.endpoint,
        region_name="us-east-1",
        aws_access_key_id=guarded.key,
        aws_secret_access_key="unused",
    ).Bucket("models")
    assert len(list(bucket.objects.page_size(1))) == len(list(bucket.objects.all())) == 6
    (found,) = bucket.objects.filter(Prefix=SEED_42)
    assert found.owner["ID"] == "fanin"
    assert found.get()["Body"].read() == made({**TINY, "seed": 42})
    after = bucket.objects.filter(Prefix="me/tiny/", Marker="me/tiny/main/model.safetensors")
    assert [found.key for found in after] == ["me/tiny/main/vocab/a_b.txt", "me/tiny/main/vocab/c.txt"]


def test_dates(guarded: Guarded) -> None:
    """The modification date of an object is the date of the put of its model."""
    client = guarded.boto3()
    head = client.head_object(Bucket="models", Key=SEED_42)
    modified = head["LastModified"]
    assert timedelta() < datetime.now(UTC) - modified < timedelta(hours=1)
    assert {
        item["LastModified"] for item in client.list_objects_v2(Bucket="models", Prefix="me/tiny/")["Contents"]
    } == {modified}

    def status(**conditions: Any) -> int:
        from botocore.exceptions import ClientError

        try:
            found = client.get_object(Bucket="models", Key=SEED_42, **conditions)
        except ClientError as error:
            found = error.response
        return int(found["ResponseMetadata"]["HTTPStatusCode"])

    second = timedelta(seconds=1)
    assert status(IfModifiedSince=modified) == 304
    assert status(IfModifiedSince=modified - second) == 200
    assert status(IfUnmodifiedSince=modified) == 200
    assert status(IfUnmodifiedSince=modified - second) == 412
    # A condition on entity tags takes precedence over dates (RFC 9110 section 13.2.2).
    assert status(IfModifiedSince=modified, IfNoneMatch='"x"') == 200
    assert status(IfUnmodifiedSince=modified - second, IfMatch=head["ETag"]) == 200


def test_headers_of_a_response(guarded: Guarded) -> None:
    client = guarded.boto3()
    asked = {
        "ResponseContentType": "text/html",
        "ResponseContentDisposition": "attachment; filename=x",
        "ResponseContentLanguage": "de",
        "ResponseCacheControl": "no-store",
    }
    found = client.get_object(Bucket="models", Key=SEED_42, PartNumber=1, **asked)
    assert [found[name.removeprefix("Response")] for name in asked] == list(asked.values())
    headers = found["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-security-policy"] == "sandbox"
    assert found["ResponseMetadata"]["RequestId"] == headers["x-request-id"]
    assert found["ETag"].endswith('-1"')


def test_a_refused_put_leaves_the_connection_usable(guarded: Guarded) -> None:
    """boto3 waits for 100 (Continue). It sends no body if the final response arrives first."""
    from botocore.exceptions import ClientError

    client = guarded.boto3()
    for _ in range(3):
        with pytest.raises(ClientError, match="MethodNotAllowed"):
            client.put_object(Bucket="models", Key=SEED_42, Body=b"x" * 100)
        found = client.get_object(Bucket="models", Key="me/tiny/main/config.json")
        assert found["Body"].read() == FILES["config.json"]


def test_presigned_urls_with_keys(guarded: Guarded) -> None:
    """A presigned URL contains the full key."""
    for version in ("s3", "s3v4"):
        url = guarded.boto3(version=version).generate_presigned_url(
            "get_object", Params={"Bucket": "models", "Key": SEED_42}
        )
        answer = guarded.server.client.get(url)
        assert answer.status_code == 403
        assert b"<Code>AccessDenied</Code>" in answer.content
        assert b"refuses presigned URLs" in answer.content
    assert guarded.boto3(version="s3").head_object(Bucket="models", Key=SEED_42)["ContentLength"] > 0


def test_sync_by_rclone(tmp_path: Path) -> None:
    """With its defaults, which include ListObjects, rclone fetches changed objects even if their sizes are equal."""
    rclone = shutil.which("rclone")
    if rclone is None:
        pytest.skip("rclone is not installed")
    target, store = tmp_path / "got", tmp_path / "store"
    with running(Settings(model_store=str(store))) as server, fanin.Client(server.url) as client:
        options = {"TYPE": "s3", "ENDPOINT": f"{server.url}/s3", "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any"}
        remote = {f"RCLONE_CONFIG_FANIN_{name}": value for name, value in options.items()}
        environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
        environment |= {**remote, "RCLONE_CONFIG": str(tmp_path / "none")}

        def sync() -> bytes:
            command = [rclone, "sync", "fanin:models/me/tiny/main", str(target)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr
            return (target / "model.safetensors").read_bytes()

        def age() -> None:
            for pointer in store.rglob("main"):
                os.utime(pointer, (time.time() - 100, time.time() - 100))

        client.push("me/tiny", {**TINY, "seed": 1})
        age()
        assert sync() == made({**TINY, "seed": 1})
        modified = server.client.head(f"/s3/models/{SEED_42}").headers["Last-Modified"]
        client.push("me/tiny", {**TINY, "seed": 1})
        assert server.client.head(f"/s3/models/{SEED_42}").headers["Last-Modified"] == modified
        client.push("me/tiny", {**TINY, "seed": 2})
        assert server.client.head(f"/s3/models/{SEED_42}").headers["Last-Modified"] != modified
        assert sync() == made({**TINY, "seed": 2})


def test_absolute_targets(guarded: Guarded) -> None:
    """AWS's C runtime sends targets in absolute form (RFC 9112 section 3.2.2)."""
    import socket

    with socket.create_connection(guarded.server.address, 60) as connection:
        connection.sendall(
            f"GET {guarded.endpoint}/models/{SEED_42} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {guarded.key}\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(made({**TINY, "seed": 42}))


def test_obstore(guarded: Guarded) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed")
    from obstore.store import S3Store

    store = S3Store(
        "models",
        endpoint=guarded.endpoint,
        region="us-east-1",
        access_key_id=guarded.key,
        secret_access_key="unused",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    content = made({**TINY, "seed": 42})
    assert bytes(store.get(SEED_42).bytes()) == content
    assert bytes(store.get_range(SEED_42, start=100, end=300)) == content[100:300]
    assert [bytes(part) for part in store.get_ranges(SEED_42, starts=[0, 5000], ends=[8, 5100])] == [
        content[:8],
        content[5000:5100],
    ]
    assert store.head(SEED_42)["size"] == len(content)
    listed = [item["path"] for batch in store.list("me/tiny/seed-42") for item in batch]
    assert listed == [f"me/tiny/seed-42/{name}" for name in sorted([*FILES, "model.safetensors"])]
    assert list(store.list_with_delimiter("me/tiny/main")["common_prefixes"]) == ["me/tiny/main/vocab"]
    with pytest.raises(FileNotFoundError, match="has no file"):
        store.get("me/tiny/main/none")


def test_run_ai_model_streamer(guarded: Guarded) -> None:
    pytest.importorskip("runai_model_streamer_s3", reason="runai-model-streamer-s3 is not installed")
    program = """
import hashlib, json, sys
from runai_model_streamer import SafetensorsStreamer
found = {}
with SafetensorsStreamer() as streamer:
    streamer.stream_file(sys.argv[1])
    for name, tensor in streamer.get_tensors():
        found[name] = hashlib.sha256(tensor.contiguous().cpu().numpy().tobytes()).hexdigest()
print(json.dumps(found))
"""
    wanted = {
        name: hashlib.sha256(array.tobytes()).hexdigest()
        for name, array in fanin.materialize({**TINY, "seed": 42}).items()
    }
    assert run(guarded, program, f"s3://models/{SEED_42}") == wanted


def test_duckdb(guarded: Guarded) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    extension = pytest.importorskip("duckdb_extension_httpfs", reason="duckdb-extension-httpfs is not installed")
    (path,) = Path(extension.__file__).parent.rglob("*.duckdb_extension")
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as connection:
        connection.execute(f"LOAD '{path}'")
        connection.execute(
            f"""CREATE SECRET (TYPE s3, KEY_ID '{guarded.key}', SECRET 'unused', REGION 'us-east-1', URL_STYLE 'path',
            USE_SSL false, ENDPOINT '{guarded.endpoint.removeprefix("http://")}')"""
        )
        rows = connection.execute("SELECT filename, content FROM read_blob('s3://models/me/tiny/seed-42/*')").fetchall()
    contents = {name.rpartition("/")[2]: content for name, content in rows}
    assert contents == {"config.json": FILES["config.json"], "model.safetensors": made({**TINY, "seed": 42})}
