"""The S3 API, with requests that S3 clients do not send."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote
from xml.etree import ElementTree

import pytest
from starlette.types import Message

from fanin.file import archive
from fanin_service.access import aws
from fanin_service.admission.admission import Admission, Usage
from fanin_service.http.file_response import PIECE, in_pieces
from fanin_service.models.content import Content
from fanin_service.models.models import Models
from fanin_service.models.revisions import Revision
from fanin_service.models.snapshot import Snapshot
from fanin_service.routes import s3 as s3_routes
from fanin_service.surfaces.s3 import Asked
from tests.support.servers import Running

RECIPE = {"tensors": {"w": {"shape": [3, 4], "scheme": "he_normal"}}}
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
KEY = "/s3/models/s3/tiny/seed-1/model.safetensors"


@pytest.fixture(scope="module", autouse=True)
def model(server: Running) -> Iterator[None]:
    content = archive.pack({"recipe.json": json.dumps(RECIPE).encode()})
    headers = {"Content-Type": archive.MEDIA_TYPE}
    assert server.client.put("/v1/models/s3/tiny", content=content, headers=headers).status_code == 201
    yield
    server.client.delete("/v1/models/s3/tiny")


class ManyModels:
    """Models of one namespace. Its calls wait for nothing."""

    async def names(self, client: str) -> list[str]:
        return [f"me/model-{number:05}" for number in range(2000)]

    async def has(self, client: str, name: str) -> bool:
        return False

    async def in_thread(self, client: str, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


def test_other_requests_get_turns_during_a_long_list() -> None:
    asked = Asked(prefix="", delimiter="/", after="", limit=1000)
    page = s3_routes._page(cast(Models, ManyModels()), "client", asked)
    for _ in range(8):
        page.send(None)
    with pytest.raises(StopIteration) as end:
        page.send(None)
    assert [*end.value.value.groups] == ["me/"]


@pytest.mark.parametrize("character", ["\0", "\1", "\x0b", "\x1f", "\r", "\ufffe", "\uffff"])
def test_listings_are_xml(server: Running, character: str) -> None:
    """Characters that XML cannot contain are URL-encoded or omitted."""
    text = f"a{character}b"
    for version, parameter in ((2, "prefix"), (2, "start-after"), (2, "delimiter"), (1, "prefix"), (1, "marker")):
        query = {parameter: text, **({"list-type": "2"} if version == 2 else {})}
        refused = server.client.get("/s3/models", params=query)
        assert refused.status_code == 400
        assert parameter in (ElementTree.fromstring(refused.content).findtext("Message") or "")
        told = server.client.get("/s3/models", params={**query, "encoding-type": "url"})
        assert told.status_code == 200
        values = [element.text for element in ElementTree.fromstring(told.content)]
        assert quote(text) in values
    absent = server.client.get(f"/s3/other{quote(text)}/x")
    assert absent.status_code == 404
    ElementTree.fromstring(absent.content)
    ElementTree.fromstring(server.client.put(f"/s3/models/{quote(text)}", content=b"").content)


def test_a_range_of_a_file_is_not_copied() -> None:
    """Copies for slow readers would fill the memory, and copying 64 MB blocks the event loop."""
    body = bytes(range(256)) * 4096
    assert len(body) > 3 * PIECE

    pieces: list[Any] = []

    async def receive() -> Message:
        pytest.fail("nothing is received")

    async def send(message: Message) -> None:
        if content := message.get("body"):
            pieces.append(content)

    response = in_pieces(memoryview(body)[1:], 206)
    assert response.headers["Content-Length"] == str(len(body) - 1)
    asyncio.run(response({}, receive, send))
    assert all(isinstance(piece, memoryview) and piece.obj is body for piece in pieces)
    assert max(map(len, pieces)) <= PIECE
    assert b"".join(pieces) == body[1:]


def test_what_is_made_for_one_request_counts_as_memory(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    hold = Admission.hold

    def counted(self: Admission, usage: Usage, count: int) -> None:
        held.append(count)
        hold(self, usage, count)

    monkeypatch.setattr(Admission, "hold", counted)
    recipe = {"tensors": {f"l.{n}": {"shape": [64], "scheme": "zeros"} for n in range(100)}}
    content = archive.pack({"recipe.json": json.dumps(recipe).encode(), "a.txt": b"x" * 1000})
    headers = {"Content-Type": archive.MEDIA_TYPE}
    server.client.put("/v1/models/s3/many", content=content, headers=headers).raise_for_status()
    path = "model.safetensors.index.json"
    assert server.client.get("/s3/models/s3/many/seed-1-1kb/a.txt").content == b"x" * 1000
    held.clear()
    index = server.client.get(f"/s3/models/s3/many/seed-0-1kb/{path}").raise_for_status().content
    assert held == [len(index)]
    tree = server.client.get("/hf/api/models/s3/many/revision/seed-0-1kb")
    listing = server.client.get("/s3/models?prefix=s3/many/seed-0-1kb/")
    assert held[1:] == [len(tree.content), len(listing.content)]
    assert server.client.get(f"/hf/s3/many/resolve/{tree.json()['sha']}/{path}").content == index
    assert held[3:] == [len(index)]
    server.client.delete("/v1/models/s3/many")


def test_a_listing_reads_no_content_twice(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contents of many large models are evicted. A listing does not read them again."""
    made: list[str] = []
    make = Snapshot.__init__

    def counted(self: Snapshot, content: Content, revision: Revision) -> None:
        made.append(str(revision))
        make(self, content, revision)

    monkeypatch.setattr(Snapshot, "__init__", counted)
    for prefix in ("s3/tiny/main/", "s3/tiny/seed-6-bf16-1kb/"):
        first, second = (server.client.get("/s3/models", params={"prefix": prefix}) for _ in range(2))
        assert (first.status_code, first.content) == (200, second.content)
        assert f"<Key>{prefix}model.safetensors</Key>" in first.text
    assert len(made) <= 2
    # A new model of this name is listed at once.
    pair = {"recipe.json": json.dumps(RECIPE).encode(), "extra.txt": b"x"}
    headers = {"Content-Type": archive.MEDIA_TYPE}
    for files, expected in ((pair, True), ({"recipe.json": pair["recipe.json"]}, False)):
        server.client.put("/v1/models/s3/tiny", content=archive.pack(files), headers=headers).raise_for_status()
        listed = server.client.get("/s3/models", params={"prefix": "s3/tiny/main/"}).text
        assert ("<Key>s3/tiny/main/extra.txt</Key>" in listed) is expected


@pytest.mark.parametrize(
    "query",
    [
        *("list-type=1", "list-type=", "encoding-type=URL", "fetch-owner=yes&list-type=2", "marker=a&list-type=2"),
        *("start-after=a", "continuation-token=YQ==", "fetch-owner=true", "policy", "versions", "max-keys=-1"),
    ],
)
def test_what_a_listing_cannot_be_asked_for(server: Running, query: str) -> None:
    answer = server.client.get(f"/s3/models?{query}")
    assert answer.status_code == 400
    assert b"<Code>InvalidArgument</Code>" in answer.content


@pytest.mark.parametrize("part", ["0", "-1", "x", "", "10001", "0000012", "9" * 5000, "\u0661"])
def test_parts(server: Running, part: str) -> None:
    assert server.client.get(KEY, params={"partNumber": part}).status_code == 400


def test_parts_of_an_object(server: Running) -> None:
    whole = server.client.get(KEY).content
    assert server.client.get(KEY, params={"partNumber": "1"}).content == whole
    assert server.client.get(KEY, params={"partNumber": "10000"}).status_code == 416


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_come_before_the_part(server: Running, method: str) -> None:
    """A client that fetches the parts of an object notices by If-Match that the object was replaced."""
    etag = server.client.head(KEY).headers["ETag"]
    for headers, status in (
        ({"If-Match": '"old"'}, 412),
        ({"If-Match": etag}, 416),
        ({"If-None-Match": etag}, 304),
    ):
        answer = server.client.request(method, KEY, params={"partNumber": "2"}, headers=headers)
        assert answer.status_code == status
    assert server.client.request(method, f"{KEY}.none", params={"partNumber": "2"}).status_code == 404


def test_no_encoding_is_claimed(server: Running) -> None:
    """A client would decode an encoding that the bytes do not have."""
    answer = server.client.get(KEY, params={"response-content-encoding": "gzip"})
    assert (answer.status_code, answer.headers.get("Content-Encoding")) == (400, None)


def test_owners(server: Running) -> None:
    for query, has_owner in (("", True), ("list-type=2", False), ("list-type=2&fetch-owner=true", True)):
        found = ElementTree.fromstring(server.client.get(f"/s3/models?prefix=s3/tiny/&{query}").content)
        assert [len(item.findall(f"{NAMESPACE}Owner")) for item in found.iter(f"{NAMESPACE}Contents")] == [has_owner]


def test_request_ids(server: Running) -> None:
    for method, path in (("GET", "/s3"), ("HEAD", KEY), ("GET", "/s3/none"), ("PUT", KEY), ("GET", "/s3/models?acl")):
        answer = server.client.request(method, path)
        assert answer.headers["x-amz-request-id"] == answer.headers["x-request-id"]
    assert "x-amz-request-id" not in server.client.get("/v1/models").headers


def at(seconds: float) -> str:
    return f"{datetime.now(UTC) + timedelta(seconds=seconds):%Y%m%dT%H%M%SZ}"


@pytest.mark.parametrize(
    ("begins", "lasts", "status"),
    [
        (0, "100", 200),
        (-200, "100", 403),
        (-200, "1000", 200),
        (600, "100", 200),
        (1200, "100", 403),
        (0, "0", 400),
        (0, "604801", 400),
        (0, "x", 400),
        (0, "9" * 5000, 400),
    ],
)
def test_presigned_urls_end(server: Running, begins: int, lasts: str, status: int) -> None:
    query = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": "any/20260101/us-east-1/s3/aws4_request"}
    query |= {"X-Amz-Date": at(begins), "X-Amz-Expires": lasts, "X-Amz-SignedHeaders": "host", "X-Amz-Signature": "0"}
    for path in (KEY, "/s3/models", "/s3/models?list-type=2"):
        url, _, more = path.partition("?")
        asked = query | dict([more.split("=")] if more else [])
        assert server.client.get(url, params=asked).status_code == status, path


def test_presigned_urls_of_the_second_version(server: Running) -> None:
    signed = {"AWSAccessKeyId": "any", "Signature": "0"}
    now = int(time.time())
    for expires, status in ((now + 100, 200), (now - 100, 403), ("x", 400), ("", 400)):
        assert server.client.get(KEY, params={**signed, "Expires": str(expires)}).status_code == status


def test_what_is_no_presigned_url() -> None:
    assert not aws.is_presigned({"Signature": "0", "Expires": "1"})
    assert aws.fault({"X-Amz-Signature": "0", "X-Amz-Expires": "1"}) is not None
