"""The client: registration, where tensors are generated, and arguments that it refuses."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import Client, FileLayout, RecipeError, ServiceError
from tests.client.expected import BIG, assert_equal, whole
from tests.support.faulty import Faulty, cut, refuse, well
from tests.support.samples import MIXED

LAYOUT = FileLayout.of(MIXED)


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


def test_any_server_may_hold_the_file(client: Client, service: Faulty, tmp_path: Path) -> None:
    service.layouts["published"] = LAYOUT
    client.download(f"{service.url}/some/path/published/model.safetensors", tmp_path / "got", verify="full")
    assert (tmp_path / "got").read_bytes() == whole(tmp_path)


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
