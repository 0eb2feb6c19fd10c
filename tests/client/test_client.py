"""The client, against a service that has bad days."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, basic_indices

import fanin
from fanin import Client, FileError, FileLayout, MismatchError, RecipeError, ServiceError, UnavailableError
from fanin.client.retries import PENDING
from fanin.file import disk
from tests.support.faulty import Faulty, Handler, cut, ignore_range, refuse, well
from tests.support.samples import MIXED

LAYOUT = FileLayout.of(MIXED)
BIG: dict[str, Any] = {"shape": [200_000], "scheme": "normal", "std": 0.02}


@pytest.fixture
def service() -> Iterator[Faulty]:
    with Faulty() as faulty:
        yield faulty


@pytest.fixture
def client(service: Faulty) -> Iterator[Client]:
    with Client(service.url, backoff=0, where="remote", retries=3, timeout=5) as client:
        yield client


def whole(tmp_path: Path, recipe: Any = MIXED) -> bytes:
    fanin.save(recipe, tmp_path / "expected")
    return (tmp_path / "expected").read_bytes()


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_everything_comes_as_if_made_here(client: Client, tmp_path: Path) -> None:
    assert_equal(client.materialize(MIXED, verify="full"), fanin.materialize(MIXED))
    client.save(MIXED, tmp_path / "got", verify="sample")
    assert (tmp_path / "got").read_bytes() == whole(tmp_path)
    np.testing.assert_array_equal(client.tensor(MIXED, "head"), fanin.materialize(MIXED)["head"])
    assert client.register(MIXED) == LAYOUT.recipe.digest


def test_an_unknown_recipe_is_sent_by_itself(client: Client, service: Faulty) -> None:
    client.tensor(MIXED, "emb")
    assert [request.split()[0] for request in service.requests] == ["GET", "POST", "GET"]
    client.tensor(MIXED, "emb")
    assert [request.split()[0] for request in service.requests] == ["GET", "POST", "GET", "GET"]


def test_a_tensor_costs_its_own_bytes_only(client: Client, service: Faulty) -> None:
    client.register(MIXED)
    client.tensor(MIXED, "emb")
    entry = LAYOUT.entry("emb")
    assert service.requests[-1].endswith(f"bytes={entry.start}-{entry.stop - 1}")
    client.slice(MIXED, "emb", np.s_[10:20])
    assert service.requests[-1].endswith(f"bytes={entry.start + 140}-{entry.start + 279}")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), shape=array_shapes(max_dims=4, max_side=7))
def test_slices_are_those_of_numpy(data: st.DataObject, shape: tuple[int, ...]) -> None:
    index = data.draw(basic_indices(shape, allow_newaxis=False))
    recipe: dict[str, Any] = {"shape": list(shape), "scheme": "normal", "std": 1, "dtype": "BF16"}
    with Faulty() as service, Client(service.url, backoff=0, where="remote") as client:
        found = client.slice(recipe, "weight", index)
    np.testing.assert_array_equal(found, fanin.materialize(recipe)["weight"][index], strict=True)


@settings(max_examples=30, deadline=None)
@given(data=st.data(), shape=array_shapes(max_dims=3, max_side=5))
def test_slices_of_elements_that_share_a_byte(data: st.DataObject, shape: tuple[int, ...]) -> None:
    shape = (*shape[:-1], 2 * shape[-1])
    index = data.draw(basic_indices(shape, allow_newaxis=False))
    recipe: dict[str, Any] = {"shape": list(shape), "scheme": "uniform", "low": -6, "high": 6, "dtype": "F4"}
    with Faulty() as service, Client(service.url, backoff=0, where="remote") as client:
        found, everything = client.slice(recipe, "weight", index), client.materialize(recipe)["weight"]
    expected = fanin.materialize(recipe)["weight"]
    assert (everything.dtype, everything.tobytes()) == (expected.dtype, expected.tobytes())
    assert (found.dtype, found.shape) == (expected.dtype, expected[index].shape)
    assert found.tobytes() == expected[index].tobytes()


def test_wide_gaps_are_not_fetched(client: Client, service: Faulty) -> None:
    recipe: dict[str, Any] = {"shape": [4, 100_000], "scheme": "normal", "std": 1}
    client.register(recipe)
    service.requests.clear()
    found = client.slice(recipe, "weight", np.s_[:, 5:10])
    np.testing.assert_array_equal(found, fanin.materialize(recipe)["weight"][:, 5:10])
    sizes = [re.search(r"bytes=(\d+)-(\d+)", request) for request in service.requests]
    assert [int(size[2]) - int(size[1]) + 1 for size in sizes if size] == [20, 20, 20, 20]


@pytest.mark.parametrize("step", [200_000, -200_000])
def test_wide_strides_are_not_fetched(client: Client, service: Faulty, step: int) -> None:
    recipe: dict[str, Any] = {"shape": [1_000_000], "scheme": "normal", "std": 1}
    client.register(recipe)
    service.requests.clear()
    found = client.slice(recipe, "weight", np.s_[::step])
    np.testing.assert_array_equal(found, fanin.slice(recipe, "weight", np.s_[::step]))
    sizes = [re.search(r"bytes=(\d+)-(\d+)", request) for request in service.requests]
    assert [int(size[2]) - int(size[1]) + 1 for size in sizes if size] == [4] * 5


def test_narrow_strides_come_in_pieces(service: Faulty) -> None:
    recipe: dict[str, Any] = {"shape": [300_000], "scheme": "normal", "std": 1}
    with Client(service.url, where="remote", request_bytes=100_000) as client:
        client.register(recipe)
        service.requests.clear()
        found = client.slice(recipe, "weight", np.s_[5::7])
    np.testing.assert_array_equal(found, fanin.materialize(recipe)["weight"][5::7])
    assert len(service.requests) == 13  # 1.2 MB in requests of up to 100 kB


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


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_refusals_are_waited_out(client: Client, service: Faulty, status: int) -> None:
    service.faults = [refuse(status), refuse(status, Retry_After="0"), well, refuse(status)]
    np.testing.assert_array_equal(client.tensor(MIXED, "head"), fanin.materialize(MIXED)["head"])


def test_lasting_refusals_are_told_in_the_services_words(client: Client, service: Faulty) -> None:
    service.faults = [refuse(503)] * 10
    with pytest.raises(ServiceError, match="503 Refused; /seed: no such seed") as caught:
        client.tensor(MIXED, "head")
    assert caught.value.status == 503
    assert caught.value.problem["type"] == "urn:x"
    assert len(service.requests) == 4


def test_a_proxy_that_hangs_up_is_told_the_recipe(client: Client, service: Faulty) -> None:
    """One that puts a file together from slices does so when a replica does not know the recipe of a later one."""

    def hang_up(handler: Any) -> bool:
        handler.close_connection = True
        return True

    client.register(MIXED)
    before = len(service.requests)
    service.faults = [hang_up] * 2
    assert client.tensor(MIXED, "head").tobytes() == fanin.materialize(MIXED)["head"].tobytes()
    methods = [request.partition(" ")[0] for request in service.requests[before:]]
    assert methods == ["GET", "GET", "POST", "GET"]
    service.faults = [hang_up] * 100
    with pytest.raises(UnavailableError):
        client.tensor(MIXED, "head")


def test_a_refusal_that_stays_is_not_repeated(client: Client, service: Faulty) -> None:
    service.faults = [refuse(422)]
    with pytest.raises(ServiceError, match="422"):
        client.tensor(MIXED, "head")
    assert len(service.requests) == 1


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


def test_another_representation_is_refused(client: Client, service: Faulty) -> None:
    service.layouts[LAYOUT.recipe.digest] = FileLayout.of(BIG)
    with pytest.raises(ServiceError, match="the service sent"):
        client.tensor(MIXED, "tiny")


@pytest.mark.parametrize("fault", [cut(0), refuse(503), refuse(429)])
def test_auto_makes_it_here_when_the_service_cannot(
    service: Faulty, fault: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with Client(service.url, backoff=0, retries=1, timeout=5) as client, caplog.at_level(logging.WARNING):
        client.register(MIXED)
        service.faults = [fault] * 20
        assert_equal(client.materialize(MIXED), fanin.materialize(MIXED))
        client.save(MIXED, tmp_path / "got")
        assert (tmp_path / "got").read_bytes() == whole(tmp_path)
        assert client.slice(MIXED, "emb", 3).shape == (7,)
    assert "this process generates" in caplog.text


def test_auto_does_not_hide_a_refusal(service: Faulty) -> None:
    service.faults = [refuse(403)]
    with Client(service.url, backoff=0) as client, pytest.raises(ServiceError, match="403"):
        client.materialize(MIXED)


def test_auto_does_not_hide_nonsense(service: Faulty) -> None:
    def lie(handler: Any) -> bool:
        handler.answer(201, {"Content-Type": "application/json"}, b'{"digest": "dead"}')
        return True

    def babble(handler: Any) -> bool:
        handler.answer(201, {"Content-Type": "application/json"}, b"hello")
        return True

    for fault in (lie, babble):
        service.faults = [well, fault]
        with Client(service.url, backoff=0) as client, pytest.raises(ServiceError):
            client.materialize(MIXED)


@pytest.mark.parametrize(
    "arguments",
    [
        *({"url": url} for url in ("127.0.0.1:8000", "ftp://x", "", "http://[bad")),
        *({"url": f"http://127.0.0.1:8000/{more}"} for more in ("?token=x", "?", "#x")),
        *(
            {"where": "remot"},
            {"verify": "samples"},
            {"verify": True},
            {"backoff": -1},
            {"patience": float("nan")},
            {"request_bytes": 0},
            {"request_bytes": 8e6},
            {"retries": 2.5},
            {"retries": True},
            {"connections": 2.0},
            {"timeout": 0},
            {"timeout": float("nan")},
            {"timeout": float("inf")},
            {"timeout": None},
            {"backoff": "1"},
            {"patience": True},
            {"retries": -1},
            {"connections": 0},
            {"connections": 17},
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Client(**{"url": "http://127.0.0.1:8000", **arguments})
    with Client("http://127.0.0.1:9", backoff=0) as client, pytest.raises(ValueError, match="where"):
        client.materialize(MIXED, where="nowhere")  # type: ignore[arg-type]


@pytest.mark.parametrize("userinfo", ["tester:pass-word", "tester"])
def test_credentials_in_a_url_are_refused_and_not_shown(
    client: Client, service: Faulty, tmp_path: Path, userinfo: str
) -> None:
    """They would not be sent, and were in the text of every error."""
    url = service.url.replace("//", f"//{userinfo}@")
    for call in (lambda: Client(url), lambda: client.download(f"{url}/a/b/c", tmp_path / "got")):
        with pytest.raises(ValueError, match="give a token") as refusal:
            call()
        assert userinfo not in str(refusal.value)
    assert not service.requests


@pytest.mark.parametrize(
    "name", ["", ".", "..", "me/../you", "./you", "../models/you", "me/./you", "me//you", "/you", "you/"]
)
def test_names_that_a_url_would_change_are_refused(client: Client, service: Faulty, name: str) -> None:
    """The model of another name would be replaced."""
    with pytest.raises(ValueError, match="name: "):
        client.push(name, {"shape": [2], "scheme": "zeros"})
    assert not service.requests


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://127.0.0.1:99999/x", "http://a b/x", "http://[::1/x"])
def test_a_download_from_no_url_of_http_is_refused(client: Client, tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        client.download(url, tmp_path / "got")


def test_auto_leaves_no_broken_download_behind(service: Faulty, tmp_path: Path) -> None:
    with Client(service.url, backoff=0, retries=1, timeout=5) as client:
        client.register(BIG)
        service.faults = [cut(300_000), *[refuse(503)] * 9]
        client.save(BIG, tmp_path / "got")
    assert [path.name for path in tmp_path.iterdir()] == ["got"]
    fanin.verify(tmp_path / "got")


def test_replicas_that_know_nothing_are_told_one_by_one(client: Client, service: Faulty) -> None:
    def forgetful(handler: Any) -> bool:
        handler.problem(404, "Unknown recipe", "register it")
        return True

    service.faults = [forgetful, well, forgetful, well]
    np.testing.assert_array_equal(client.tensor(MIXED, "head"), fanin.materialize(MIXED)["head"])
    service.faults = [forgetful, well] * 20
    with pytest.raises(ServiceError, match="404"):
        client.tensor(MIXED, "head")


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors": 5}',
        b'{"errors": true, "title": [1]}',
        b"[" * 100_000,
        b"\xff",
        b"{" + b'"a":1,' * 10**6 + b'"b":1}',
    ],
)
def test_odd_problems_are_service_errors(client: Client, service: Faulty, body: bytes) -> None:
    def odd(handler: Any) -> bool:
        handler.answer(422, {"Content-Type": "application/problem+json"}, body)
        return True

    service.faults = [odd]
    with pytest.raises(ServiceError, match="422"):
        client.tensor(MIXED, "head")


@pytest.mark.parametrize("headers", [{"Retry-After": "9" * 5000}, {"Location": "http://[::bad"}])
def test_odd_headers_are_service_errors(client: Client, service: Faulty, headers: dict[str, str]) -> None:
    def odd(handler: Any) -> bool:
        handler.answer(503 if "Retry-After" in headers else 302, headers, b"")
        return True

    service.faults = [odd] * 9
    with pytest.raises(ServiceError):
        client.tensor(MIXED, "head")


@pytest.fixture
def four(service: Faulty) -> Iterator[Client]:
    """A client of four connections and small parts: `BIG` has thirteen."""
    with Client(
        service.url, backoff=0, where="remote", retries=3, timeout=5, connections=4, request_bytes=1 << 16
    ) as client:
        yield client


def test_parts_over_several_connections(four: Client, service: Faulty, tmp_path: Path) -> None:
    """Cut at all places, and once a complete file instead of a part."""
    four.register(BIG)  # or the faults would hit the connection that registers the recipe
    service.faults = [well, cut(1000), ignore_range, cut(0), cut(60_000), refuse(503), cut(1), well]
    four.save(BIG, tmp_path / "got", verify="full")
    assert (tmp_path / "got").read_bytes() == whole(tmp_path, BIG)
    asked = {
        tuple(map(int, found[0]))
        for request in service.requests
        if (found := re.findall(r"bytes=(\d+)-(\d+)", request))
    }
    size = (tmp_path / "got").stat().st_size
    assert {(first, min(first + (1 << 16), size) - 1) for first in range(0, size, 1 << 16)} <= asked
    assert_equal(four.materialize(BIG), fanin.materialize(BIG))
    np.testing.assert_array_equal(
        four.slice(BIG, "weight", np.s_[7:150_001]), fanin.materialize(BIG)["weight"][7:150_001]
    )


def test_an_interrupt_does_not_wait_for_the_service(service: Faulty) -> None:
    """The threads of a download wait for a service that sends nothing, up to `patience` and four times `timeout`."""
    is_over, arrived = threading.Event(), threading.Semaphore(0)

    def silent(handler: Handler) -> bool:
        arrived.release()
        handler.close_connection = True
        return is_over.wait(120)

    service.faults = [silent] * 4
    program = (
        "import sys, fanin\n"
        "with fanin.Client(sys.argv[1], connections=4, request_bytes=1000, timeout=600) as client:\n"
        "    client.materialize({'shape': 4000, 'scheme': 'zeros'})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, service.url],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            for _ in range(4):
                assert arrived.acquire(timeout=60)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == -signal.SIGINT
        finally:
            process.kill()
            is_over.set()


def test_what_parts_had_brought_is_kept_in_order(four: Client, service: Faulty, tmp_path: Path) -> None:
    """All or nothing; what stays for the next call has no holes."""
    four.register(BIG)

    def broken(handler: Any) -> bool:
        found = re.search(r"bytes=(\d+)", handler.headers["Range"])
        return found is not None and int(found[1]) >= 5 << 16 and refuse(500)(handler)

    service.faults = [broken] * 99
    with pytest.raises(ServiceError, match="500"):
        four.save(BIG, tmp_path / "got")
    (partial,) = tmp_path.iterdir()
    assert partial.suffix == ".partial"
    expected = whole(tmp_path, BIG)
    assert partial.read_bytes() == expected[: 5 << 16]
    service.faults = []
    four.save(BIG, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == expected


def test_a_wrong_bit_in_a_part_is_found(four: Client, service: Faulty) -> None:
    def damage(start: int, data: bytearray) -> None:
        if start <= 400_000 < start + len(data):
            data[400_000 - start] ^= 1

    service.damage = damage
    with pytest.raises(MismatchError, match="byte 400000 "):
        four.materialize(BIG, verify="full")


def test_any_server_may_hold_the_file(client: Client, service: Faulty, tmp_path: Path) -> None:
    service.layouts["published"] = LAYOUT
    client.download(f"{service.url}/some/path/published/model.safetensors", tmp_path / "got", verify="full")
    assert (tmp_path / "got").read_bytes() == whole(tmp_path)


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


def test_local_asks_nobody(service: Faulty, tmp_path: Path) -> None:
    with Client(service.url, backoff=0, where="local") as client:
        assert_equal(client.materialize(MIXED), fanin.materialize(MIXED))
        client.save(MIXED, tmp_path / "got")
        client.tensor(MIXED, "emb")
    assert service.requests == []


def test_nobody_there() -> None:
    with (
        Client("http://127.0.0.1:9", backoff=0, where="remote", retries=1) as client,
        pytest.raises(ServiceError) as caught,
    ):
        client.materialize(MIXED)
    assert caught.value.status is None


def test_a_wrong_recipe_is_refused_before_any_request(client: Client, service: Faulty) -> None:
    with pytest.raises(RecipeError, match="/seed"):
        client.materialize({**MIXED, "seed": -1})
    with pytest.raises(KeyError, match="nope"):
        client.tensor(MIXED, "nope")
    with pytest.raises(IndexError):
        client.slice(MIXED, "emb", 101)
    assert service.requests == []


def test_progress_is_quiet_unless_asked_for(client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client.save(MIXED, tmp_path / "a")
    assert capsys.readouterr() == ("", "")
    client.save(MIXED, tmp_path / "a", progress=True)
    assert "100%" in capsys.readouterr().err
