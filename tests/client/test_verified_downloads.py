"""The client: damaged bytes, and digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import Client, FileError, FileLayout, MismatchError, UnavailableError
from fanin.client.retries import PENDING
from tests.client.expected import BIG, assert_equal, whole
from tests.support.faulty import Faulty
from tests.support.samples import MIXED

LAYOUT = FileLayout.of(MIXED)


def flip(at: int) -> Any:
    def damage(start: int, data: bytearray) -> None:
        if start <= at < start + len(data):
            data[at - start] ^= 4

    return damage


def test_check_finds_a_bit_that_stays_flipped(client: Client, service: Faulty, tmp_path: Path) -> None:
    entry = LAYOUT.entry("head")
    service.damage = flip(entry.start + 2 * 33)
    for get in (
        lambda: client.materialize(MIXED, verify="full"),
        lambda: client.tensor(MIXED, "head", verify="full"),
        lambda: client.save(MIXED, tmp_path / "got", verify="full"),
    ):
        with pytest.raises(MismatchError, match='"head", element 33') as caught:
            get()
        assert (caught.value.tensor, caught.value.element) == ("head", 33)
    assert not list(tmp_path.iterdir())
    assert client.tensor(MIXED, "head").shape == (7, 101)  # no check was requested


def test_a_file_with_another_header_is_refused_at_any_level(client: Client, service: Faulty, tmp_path: Path) -> None:
    service.damage = flip(20)
    for save in (
        lambda: client.save(MIXED, tmp_path / "got"),
        lambda: client.save(MIXED, tmp_path / "got", verify="full"),
    ):
        with pytest.raises(MismatchError, match="the header differs at byte 20"):
            save()
    assert not list(tmp_path.iterdir())


def flip_once(at: int) -> Any:
    """Damage that the next fetch has no more."""
    done: list[int] = []

    def damage(start: int, data: bytearray) -> None:
        if start <= at < start + len(data) and not done:
            done.append(start)
            data[at - start] ^= 4

    return damage


@pytest.mark.parametrize("verify", ["full", "digest"])
def test_what_came_wrong_is_fetched_again(client: Client, service: Faulty, tmp_path: Path, verify: Any) -> None:
    expected, entry = whole(tmp_path, MIXED), LAYOUT.entry("head")
    for at in (0, entry.start + 67, LAYOUT.size - 1):
        service.damage = flip_once(at)
        client.save(MIXED, tmp_path / "got", verify=verify)
        assert (tmp_path / "got").read_bytes() == expected
    service.damage = flip_once(entry.start + 67)
    assert_equal(client.materialize(MIXED, verify=verify), fanin.materialize(MIXED))
    before = len(service.requests)
    service.damage = flip_once(entry.start + 67)
    rows = client.slice(MIXED, "head", np.s_[0:3], verify=verify)
    assert rows.tobytes() == fanin.slice(MIXED, "head", np.s_[0:3]).tobytes()
    # The slice, once more a part of it, and the digests where they are requested.
    assert len(service.requests) - before == (2 if verify == "full" else 3)


def test_what_stays_wrong_is_told(client: Client, service: Faulty, tmp_path: Path) -> None:
    entry = LAYOUT.entry("head")
    service.damage = flip(entry.start + 67)
    with pytest.raises(MismatchError, match="digest") as caught:
        client.save(MIXED, tmp_path / "got", verify="digest")
    assert caught.value.tensor == "head"
    assert not list(tmp_path.iterdir())


def test_digests_are_those_of_the_file(client: Client, tmp_path: Path) -> None:
    assert client.digests(MIXED).file == hashlib.sha256(whole(tmp_path, MIXED)).hexdigest()


def test_digests_that_are_none_are_refused(client: Client, service: Faulty) -> None:
    def other(handler: Any) -> bool:
        if handler.path.endswith("/digests"):
            handler.answer(200, {"Content-Type": "application/json"}, b'{"algorithm": "md5"}')
            return True
        return False

    client.register(MIXED)
    service.faults = [other]
    with pytest.raises(FileError, match="digests"):
        client.digests(MIXED)


def test_digests_in_the_making_are_waited_for(service: Faulty) -> None:
    def pending(done: int) -> Any:
        def fault(handler: Any) -> bool:
            document = {"type": PENDING, "title": "Pending", "status": 503, "detail": f"{done} bytes"}
            handler.answer(503, {"Content-Type": "application/problem+json"}, json.dumps(document).encode())
            return True

        return fault

    with Client(service.url, backoff=0, retries=0, where="remote") as impatient:
        impatient.register(MIXED)
        service.faults = [pending(1), pending(2), pending(3)]
        assert impatient.digests(MIXED).header
        service.faults = [pending(1), pending(1), pending(1)]
        with pytest.raises(UnavailableError, match="1 bytes"):
            impatient.digests(MIXED)


def test_a_url_has_no_digests(client: Client, service: Faulty, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="digest"):
        client.download(f"{service.url}/some/path/published/model.safetensors", tmp_path / "got", verify="digest")


def test_check_sample_looks_at_both_ends(client: Client, service: Faulty) -> None:
    size = FileLayout.of(BIG).size
    for at, found in ((2000, True), (size - 1, True), (size // 2, False)):
        service.damage = flip(at)
        if found:
            with pytest.raises(MismatchError):
                client.materialize(BIG, verify="sample")
        else:
            client.materialize(BIG, verify="sample")
