"""Ranges and conditions of RFC 9110 over a socket: every API that serves files gives the same responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from fanin.file import archive
from tests.support.servers import Running

RECIPE = {"tensors": {"w": {"shape": [30, 4], "scheme": "he_normal"}}}
SURFACES = ("weights", "recipes", "hub", "s3")
DATED = ("s3",)
"""APIs that send Last-Modified. Others ignore conditions on dates (RFC 9110 sections 13.1.3 and 13.1.4)."""


@dataclass(frozen=True)
class File:
    """Path, content and headers of a GET without conditions."""

    path: str
    content: bytes
    etag: str
    modified: str | None
    caching: str

    def header(self, text: str) -> str:
        """Return a header's value with TAG (entity tag), SIZE (length), AT, BEFORE and AFTER (dates) replaced."""
        text = text.replace("TAG", self.etag).replace("SIZE", str(len(self.content)))
        at = parsedate_to_datetime(self.modified or "Wed, 21 Oct 2015 07:28:00 GMT")
        for name, moment in (("BEFORE", at - timedelta(hours=1)), ("AFTER", at + timedelta(hours=1)), ("AT", at)):
            text = text.replace(name, format_datetime(moment, usegmt=True))
        return text


@pytest.fixture(scope="module")
def files(server: Running) -> Iterator[dict[str, File]]:
    """Files by API."""
    client, headers = server.client, {"Content-Type": archive.MEDIA_TYPE}
    content = archive.pack({"recipe.json": json.dumps(RECIPE).encode()})
    commit = client.put("/v1/models/conditions/tiny", content=content, headers=headers).json()["commit"]
    paths = {
        "weights": "/v1/weights?shape=30,4&scheme=normal&std=1",
        "recipes": server.register(RECIPE),
        "hub": f"/hf/conditions/tiny/resolve/{commit}/model.safetensors",
        "s3": "/s3/models/conditions/tiny/main/model.safetensors",
    }
    found = {}
    for surface, path in paths.items():
        whole = client.get(path)
        found[surface] = File(
            path,
            whole.content,
            whole.headers["ETag"],
            whole.headers.get("Last-Modified"),
            whole.headers["Cache-Control"],
        )
        assert ("Last-Modified" in whole.headers) == (surface in DATED)
    yield found
    client.delete("/v1/models/conditions/tiny")


Part = tuple[int | None, int | None]
RANGES: list[tuple[str, Part | int]] = [
    ("bytes=0-9", (0, 10)),
    ("BYTES=5-", (5, None)),
    ("bytes=-7", (-7, None)),
    ("bytes=0-99999", (0, None)),
    ("bytes=-99999", (0, None)),
    ("bytes=SIZE-", 416),
    ("bytes=-0", 416),
    ("bytes=5-2", 200),
    ("bytes=0--1", 200),
    ("items=0-1", 200),
    ("bytes=0-1, 4-5", 200),
]
CONDITIONS: list[tuple[dict[str, str], int]] = [
    ({"If-Match": "TAG"}, 200),
    ({"If-Match": "*"}, 200),
    ({"If-Match": '"x", TAG'}, 200),
    ({"If-Match": '"x"'}, 412),
    ({"If-Match": "W/TAG"}, 412),
    ({"If-None-Match": "TAG"}, 304),
    ({"If-None-Match": "W/TAG"}, 304),
    ({"If-None-Match": '"x",W/TAG'}, 304),
    ({"If-None-Match": "*"}, 304),
    ({"If-None-Match": '"x"'}, 200),
    # Section 13.2.2: If-Match first, and tags take precedence over dates.
    ({"If-Match": '"x"', "If-None-Match": "TAG"}, 412),
    ({"If-Match": "TAG", "If-None-Match": "TAG"}, 304),
    ({"If-Match": "TAG", "If-Unmodified-Since": "BEFORE"}, 200),
    ({"If-None-Match": '"x"', "If-Modified-Since": "AFTER"}, 200),
    ({"If-Modified-Since": "BEFORE"}, 200),
    ({"If-Modified-Since": "yesterday"}, 200),
    ({"If-Unmodified-Since": "AT"}, 200),
]
DATES: list[tuple[dict[str, str], int]] = [
    ({"If-Modified-Since": "AT"}, 304),
    ({"If-Modified-Since": "AFTER"}, 304),
    ({"If-Unmodified-Since": "BEFORE"}, 412),
]
"""Statuses of files with dates. Other files ignore the conditions."""
IF_RANGES = [("TAG", True), ("W/TAG", False), ('"x"', False), ("AT", False), ("AFTER", False)]
"""Values of If-Range, and whether the range then applies."""


def check(server: Running, file: File, headers: dict[str, str], expected: Part | int) -> None:
    """Fail if GET or HEAD has another response. HEAD ignores Range (section 14.2)."""
    headers = {name: file.header(value) for name, value in headers.items()}
    size = len(file.content)
    for method in ("GET", "HEAD"):
        answer = server.client.request(method, file.path, headers=headers)
        wanted = 200 if method == "HEAD" and (isinstance(expected, tuple) or expected == 416) else expected
        if isinstance(wanted, tuple):
            start, stop, _ = slice(*wanted).indices(size)
            assert (answer.status_code, answer.content) == (206, file.content[start:stop])
            assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        else:
            assert answer.status_code == wanted, (method, headers)
            assert answer.headers.get("Content-Range") == (f"bytes */{size}" if wanted == 416 else None)
        if wanted == 200:
            assert answer.content == (file.content if method == "GET" else b"")
            assert answer.headers["Content-Length"] == str(size)
        if wanted != 416:
            assert answer.headers["ETag"] == file.etag
        if wanted == 304:
            assert (answer.content, answer.headers["Cache-Control"]) == (b"", file.caching)


@pytest.mark.parametrize("surface", SURFACES)
class TestSurfaces:
    @pytest.mark.parametrize(("header", "expected"), RANGES)
    def test_ranges(
        self, server: Running, files: dict[str, File], surface: str, header: str, expected: Part | int
    ) -> None:
        check(server, files[surface], {"Range": header}, expected)
        check(server, files[surface], {"Range": header, "If-Range": '"x"'}, 200)
        check(server, files[surface], {"Range": header, "If-None-Match": "TAG"}, 304)

    @pytest.mark.parametrize(("headers", "status"), CONDITIONS + DATES)
    def test_conditions(
        self, server: Running, files: dict[str, File], surface: str, headers: dict[str, str], status: int
    ) -> None:
        if (headers, status) in DATES and surface not in DATED:
            status = 200
        check(server, files[surface], headers, status)
        if status == 200:
            check(server, files[surface], {**headers, "Range": "bytes=2-5"}, (2, 6))
            check(server, files[surface], {**headers, "Range": "bytes=SIZE-"}, 416)
        else:
            check(server, files[surface], {**headers, "Range": "bytes=2-5"}, status)

    @pytest.mark.parametrize(("header", "counts"), IF_RANGES)
    def test_if_range(self, server: Running, files: dict[str, File], surface: str, header: str, counts: bool) -> None:
        check(server, files[surface], {"Range": "bytes=2-5", "If-Range": header}, (2, 6) if counts else 200)
        check(server, files[surface], {"Range": "bytes=SIZE-", "If-Range": header}, 416 if counts else 200)
