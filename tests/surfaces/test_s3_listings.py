"""Listings of the service's bucket, compared with those of another S3 server that has the same keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fanin.file import archive
from tests.support.servers import Running, running

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # warnings of moto and its dependencies
moto = pytest.importorskip("moto.server", reason="moto is not installed")

RECIPE = json.dumps({"tensors": {"w": {"shape": [3, 4], "scheme": "he_normal"}}}).encode()
FILES = {
    "tiny": ("a/b/c.txt", "a/b.txt", "a.txt"),
    "me/tiny": ("vocab/a_b.txt", "vocab/c.txt", "vocab-x.txt", "Z.txt", "vocab/d/e.txt"),
    "me/a.b-c": ("x..y", "-/-.txt", "ba", "bar", "baz/foo", "cab"),
    "n": (),
}
"""File names by model. Each model has `model.safetensors` too."""
KEYS = sorted(f"{model}/main/{file}" for model, files in FILES.items() for file in (*files, "model.safetensors"))
PREFIXES = st.sampled_from(sorted({key[:end] for key in KEYS for end in range(len(key) + 1)} | {"~", "a b", "\u00e9"}))
DELIMITERS = st.sampled_from(
    ["", "/", "/", "/", "a", "m", "in/", "main", "b.", "-", "//", "/main/v", "\u00e9", " ", "%"]
)


@dataclass(frozen=True)
class Buckets:
    """Clients of both servers."""

    ours: Any
    other: Any


def client_of(url: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def put(server: Running, model: str, files: tuple[str, ...]) -> None:
    content = archive.pack({"recipe.json": RECIPE, **dict.fromkeys(files, b"x")})
    headers = {"Content-Type": archive.MEDIA_TYPE}
    assert server.client.put(f"/v1/models/{model}", content=content, headers=headers).status_code == 201


@pytest.fixture(scope="module")
def buckets() -> Iterator[Buckets]:
    other = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    other.start()
    host, port = other.get_host_and_port()
    try:
        # All servers of moto in a process share one store.
        httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()
        httpx.put(f"http://{host}:{port}/models").raise_for_status()
        for key in KEYS:
            httpx.put(f"http://{host}:{port}/models/{key}", content=b"x").raise_for_status()
        with running() as server:
            for model, files in FILES.items():
                put(server, model, files)
            yield Buckets(client_of(f"{server.url}/s3"), client_of(f"http://{host}:{port}"))
    finally:
        other.stop()


def entries(*pages: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Return the keys and the common prefixes of the pages."""
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return keys, [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PREFIXES, DELIMITERS, PREFIXES, st.sampled_from([0, 1, 2, 3, 1000]))
@example("", "/", "me/", 2)
@example("me/a.b-c/main/ba", "a", "", 1)
def test_one_page(buckets: Buckets, prefix: str, delimiter: str, after: str, limit: int) -> None:
    """Both versions must return the result of moto's ListObjectsV2: moto's ListObjects does not page prefixes."""
    query = {"Bucket": "models", "Prefix": prefix, "Delimiter": delimiter, "MaxKeys": limit}
    expected = buckets.other.list_objects_v2(**query, StartAfter=after)
    found = {2: buckets.ours.list_objects_v2(**query, StartAfter=after)}
    found[1] = buckets.ours.list_objects(**query, Marker=after)
    for version, page in found.items():
        assert entries(page) == entries(expected), version
        assert [page[name] for name in ("IsTruncated", "MaxKeys")] == [
            expected[name] for name in ("IsTruncated", "MaxKeys")
        ]
        assert page.get("Delimiter", "") == delimiter
    assert (found[2]["KeyCount"], found[2]["Prefix"]) == (expected["KeyCount"], prefix)
    if expected["IsTruncated"]:
        assert found[1]["NextMarker"] == max(map(max, filter(None, entries(expected))))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PREFIXES, DELIMITERS, st.integers(1, 3), st.sampled_from(["list_objects", "list_objects_v2"]))
@example("me/a.b-c/main/ba", "a", 1, "list_objects_v2")
@example("me/a.b-c/main/ba", "a", 1, "list_objects")
@example("", "main", 1, "list_objects_v2")
@example("me/", "m", 2, "list_objects")
def test_all_pages(buckets: Buckets, prefix: str, delimiter: str, size: int, operation: str) -> None:
    query = {"Bucket": "models", "Prefix": prefix, "Delimiter": delimiter}
    expected = entries(buckets.other.list_objects_v2(**query))
    paginator = buckets.ours.get_paginator(operation)
    pages = list(paginator.paginate(**query, PaginationConfig={"PageSize": size}))
    assert entries(*pages) == expected
    assert all(sum(map(len, entries(page))) <= size for page in pages)
