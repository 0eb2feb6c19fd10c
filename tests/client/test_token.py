"""The client's key: sent to its service, and to no other host, log or error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanin
from fanin import Client, ServiceError
from fanin.cli.main import main
from tests.support.faulty import Fault, Faulty, Handler, cut, refuse
from tests.support.samples import MIXED

TOKEN = "fanin_0123456789ab_" + "5ec2e7" * 10
SENT = f"Bearer {TOKEN}"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FANIN_TOKEN", raising=False)


@pytest.fixture
def service() -> Iterator[Faulty]:
    with Faulty() as faulty:
        yield faulty


@pytest.fixture
def other() -> Iterator[Faulty]:
    with Faulty() as faulty:
        yield faulty


def redirect(to: Faulty, status: int = 307) -> Fault:
    def fault(handler: Handler) -> bool:
        handler.answer(status, {"Location": to.url + handler.path}, b"")
        return True

    return fault


def test_every_request_has_it(service: Faulty, tmp_path: Path) -> None:
    service.faults = [refuse(503), refuse(429, Retry_After="0")]
    with Client(service.url, backoff=0, where="remote", token=TOKEN) as client:
        client.save(MIXED, tmp_path / "file")
        service.faults = [cut(100)]
        client.tensor(MIXED, "emb")
        client.download(f"{service.url}/v1/recipes/{fanin.as_recipe(MIXED).digest}/model.safetensors", tmp_path / "b")
    assert len(service.authorizations) >= 7
    assert set(service.authorizations) == {SENT}


def test_the_environment(service: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(**options: str) -> str | None:
        with Client(service.url, backoff=0, where="remote", **options) as client:  # type: ignore[arg-type]
            client.register(MIXED)
        return service.authorizations[-1]

    assert sent() is None
    monkeypatch.setenv("FANIN_TOKEN", TOKEN)
    assert sent() == SENT
    assert sent(token="other") == "Bearer other"
    assert sent(token="") is None
    monkeypatch.setenv("FANIN_TOKEN", "")
    assert sent() is None


def test_no_other_host_gets_it(service: Faulty, other: Faulty, tmp_path: Path) -> None:
    with Client(other.url, backoff=0) as stranger:
        digest = stranger.register(MIXED)
    file = f"/v1/recipes/{digest}/model.safetensors"
    with Client(service.url, backoff=0, where="remote", token=TOKEN) as client:
        client.download(other.url + file, tmp_path / "a")
        for status in (301, 302, 307, 308):
            service.faults = [redirect(other, status)] * 8
            client.download(service.url + file, tmp_path / f"b{status}")
            client.tensor(MIXED, "emb")
        service.faults = [redirect(other)]
        client.register(MIXED)
    assert set(other.authorizations) == {None}
    assert set(service.authorizations) == {SENT}


def test_it_is_told_to_nobody(service: Faulty, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)
    told = []
    with Client(service.url, backoff=0, where="remote", token=TOKEN, retries=1) as client:
        told.append(repr(client))
        for status in (400, 401, 403, 404, 429, 500, 503):
            service.faults = [refuse(status)] * 3
            with pytest.raises(ServiceError) as refused:
                client.save(MIXED, tmp_path / "file")
            told += [repr(refused.value), str(refused.value), repr(vars(refused.value))]
    with Client("http://127.0.0.1:9", backoff=0, where="remote", token=TOKEN, retries=0) as client:
        with pytest.raises(ServiceError) as refused:
            client.register(MIXED)
        told += [repr(refused.value), repr(refused.value.__cause__)]
    with Client("http://127.0.0.1:9", backoff=0, token=TOKEN, retries=0) as client:
        client.save(MIXED, tmp_path / "file")  # generated locally, with a warning
    assert caplog.text
    assert not [text for text in (*told, caplog.text) if TOKEN in text or "5ec2e7" in text]


@pytest.mark.parametrize("bad", ["a b", "a\n", "a\r\nX: y", "é", " ", "a=b", "\0", "=="])
def test_what_cannot_be_a_token(bad: str) -> None:
    with pytest.raises(ValueError, match="token") as refused:
        Client("http://127.0.0.1:8000", token=f"5ec2e7{bad}" if bad != "==" else bad)
    assert "5ec2e7" not in str(refused.value)


def test_the_command_line(service: Faulty, other: Faulty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, key = tmp_path / "recipe.json", tmp_path / "key"
    recipe.write_bytes(fanin.as_recipe(MIXED).canonical)
    key.write_text(TOKEN + "\n")
    assert (
        main(["get", str(recipe), "-o", str(tmp_path / "a"), "--service", service.url, "--token-file", str(key)]) == 0
    )
    monkeypatch.setenv("FANIN_TOKEN", TOKEN)
    assert main(["get", str(recipe), "-o", str(tmp_path / "b"), "--service", service.url]) == 0
    assert set(service.authorizations) == {SENT}
    with Client(other.url, backoff=0, token="") as stranger:
        url = f"{other.url}/v1/recipes/{stranger.register(MIXED)}/model.safetensors"
    assert main(["get", url, "-o", str(tmp_path / "c")]) == 0
    assert main(["get", url, "-o", str(tmp_path / "d"), "--service", service.url, "--token-file", str(key)]) == 0
    assert set(other.authorizations) == {None}
    assert main(["get", url, "-o", str(tmp_path / "e"), "--service", other.url]) == 0
    assert other.authorizations[-1] == SENT


def test_a_token_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "get",
                '{"shape": [], "scheme": "ones"}',
                "-o",
                str(tmp_path / "a"),
                "--token-file",
                str(tmp_path / "none"),
            ]
        )
        == 4
    )
    assert "none" in capsys.readouterr().err


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    with pytest.raises(ValueError, match=r"none\.pem"):
        Client("https://127.0.0.1:8000", ca_certs=missing)
    with pytest.raises(ValueError, match=r"none\.pem"):
        Client("https://127.0.0.1:8000", client_cert=(missing, missing))
