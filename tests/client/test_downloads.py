"""The client: downloads that are cut, resumed, repeated and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import Client, FileError, FileLayout, ServiceError
from fanin.file import disk
from tests.client.expected import BIG, whole
from tests.support.faulty import Faulty, Handler, cut, ignore_range, well
from tests.support.samples import MIXED

LAYOUT = FileLayout.of(MIXED)


def test_a_lost_connection_is_taken_up_where_it_broke(client: Client, service: Faulty, tmp_path: Path) -> None:
    client.register(BIG)
    service.faults = [cut(1000), cut(0), cut(300_000)]
    client.save(BIG, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == whole(tmp_path, BIG)
    starts = [int(found[1]) for request in service.requests if (found := re.search(r"bytes=(\d+)-", request))]
    assert starts == [0, 1000, 1000, 301_000]


def test_a_download_goes_on_in_a_later_call(client: Client, service: Faulty, tmp_path: Path) -> None:
    client.register(BIG)
    service.faults = [cut(500_000), cut(0), cut(0), well, *[cut(0)] * 4]  # in between the recipe is registered again
    with pytest.raises(ServiceError, match="GET"):
        client.save(BIG, tmp_path / "got")
    assert not (tmp_path / "got").exists()
    service.requests.clear()
    client.save(BIG, tmp_path / "got", verify="full")
    assert (tmp_path / "got").read_bytes() == whole(tmp_path, BIG)
    assert "bytes=500000-" in service.requests[0]
    assert {path.name for path in tmp_path.iterdir()} == {"got", "expected"}


def test_what_a_crash_left_wrong_is_not_built_upon(client: Client, service: Faulty, tmp_path: Path) -> None:
    """After a loss of power the file may have its length and yet not its last bytes."""
    client.register(BIG)
    layout = FileLayout.of(BIG)
    partial = disk.partial_of(tmp_path / "got", layout)
    partial.write_bytes(layout.header + bytes(300_000))
    client.save(BIG, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == whole(tmp_path, BIG)


def test_one_download_at_a_time_into_one_place(client: Client, service: Faulty, tmp_path: Path) -> None:
    client.register(BIG)

    def meanwhile(_: object) -> bool:
        with (
            Client(service.url, backoff=0, where="remote") as other,
            pytest.raises(BlockingIOError, match="another process"),
        ):
            other.save(BIG, tmp_path / "got")
        return False

    service.faults = [meanwhile]
    client.save(BIG, tmp_path / "got")


def test_a_service_that_ignores_ranges_is_understood(client: Client, service: Faulty) -> None:
    client.register(MIXED)
    service.faults = [ignore_range]
    np.testing.assert_array_equal(client.tensor(MIXED, "head"), fanin.materialize(MIXED)["head"])


def test_a_range_with_the_status_of_a_full_file_is_refused(client: Client, service: Faulty, tmp_path: Path) -> None:
    """Some servers respond to a range request with 200 and only the range. Its bytes are not the full file."""

    def as_if_full(handler: Any) -> bool:
        layout = FileLayout.of(BIG)
        first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
        body = (tmp_path / "expected").read_bytes()[first : last + 1]
        places = {"Content-Range": f"bytes {first}-{last}/{layout.size}", "ETag": f'"{layout.recipe.digest}"'}
        handler.answer(200, places, body)
        return True

    whole(tmp_path, BIG)
    client.register(BIG)
    service.faults = [as_if_full]
    with pytest.raises(ServiceError, match="got status 200 and Content-Range 'bytes "):
        client.materialize(BIG)


def test_a_whole_file_below_the_head_of_a_range_is_refused(client: Client, service: Faulty, tmp_path: Path) -> None:
    """Its first bytes are not those of the range, and nothing else compares them without `verify`."""
    content = whole(tmp_path)

    def misplaced(handler: Handler) -> bool:
        if "Range" not in handler.headers:
            return False
        first, last = map(int, re.findall(r"\d+", handler.headers["Range"]))
        headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}", "ETag": f'"{LAYOUT.recipe.digest}"'}
        handler.answer(206, headers, content)
        return True

    client.register(MIXED)
    service.faults = [misplaced] * 100
    with pytest.raises(ServiceError, match=f"Content-Range 'bytes .* with Content-Length '{len(content)}'"):
        client.tensor(MIXED, "tiny")
    service.faults = [misplaced]  # once: the next attempt fetches the range
    assert client.tensor(MIXED, "tiny").tobytes() == fanin.materialize(MIXED)["tiny"].tobytes()


def test_another_representation_is_refused(client: Client, service: Faulty) -> None:
    service.layouts[LAYOUT.recipe.digest] = FileLayout.of(BIG)
    with pytest.raises(ServiceError, match="the service sent"):
        client.tensor(MIXED, "tiny")


def with_metadata(content: bytes) -> bytes:
    """Return a file with one more member in its metadata, as software does that adds its own."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["trained"] = "no"
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (with_metadata, "header"),
        (lambda content: content + b"more", f"has {LAYOUT.size + 4} bytes, its recipe makes {LAYOUT.size}"),
        (lambda content: content[:-4], f"has {LAYOUT.size - 4} bytes, its recipe makes {LAYOUT.size}"),
    ],
    ids=["rewritten", "longer", "shorter"],
)
@pytest.mark.parametrize("honours_range", [True, False])
def test_a_file_that_other_software_has_written_is_refused(
    client: Client, service: Faulty, tmp_path: Path, change: Any, says: str, honours_range: bool
) -> None:
    """The size of the recipe's file would cut it."""
    content = change(whole(tmp_path))

    def stored(handler: Handler) -> bool:
        first, last = map(int, re.findall(r"\d+", handler.headers["Range"]))
        part = content[first : last + 1]
        headers = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(content)}"}
        handler.answer(206, headers, part) if honours_range else handler.answer(200, {}, content)
        return True

    service.faults = [stored] * 3
    with pytest.raises((FileError, ServiceError), match=says):
        client.download(f"{service.url}/published/model.safetensors", tmp_path / "got")
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_file_that_is_replaced_while_its_parts_are_fetched_is_refused(
    four: Client, service: Faulty, tmp_path: Path, header: str
) -> None:
    """The parts would make a file with the header of one recipe and bytes of another."""
    old, new = (FileLayout.of({**BIG, "seed": seed}) for seed in (1, 2))
    assert old.size == new.size
    dates = {old.recipe.seed: "Mon, 01 Jan 2024 00:00:00 GMT", new.recipe.seed: "Tue, 02 Jan 2024 00:00:00 GMT"}
    if header == "Last-Modified":
        service.validator = lambda layout: ("Last-Modified", dates[layout.recipe.seed])

    def replace(handler: Handler) -> bool:
        service.layouts["published"] = new
        return False

    service.layouts["published"] = old
    # Two requests for the header, and one for the first of several parts.
    service.faults = [well, well, well, replace]
    with pytest.raises(ServiceError, match="the service sent"):
        four.download(f"{service.url}/some/path/published/model.safetensors", tmp_path / "got")
    assert not (tmp_path / "got").exists()
    four.download(f"{service.url}/some/path/published/model.safetensors", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == whole(tmp_path, {**BIG, "seed": 2})
