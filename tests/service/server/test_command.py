"""The command, in a separate process."""

from __future__ import annotations

import argparse
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

import fanin
from fanin import backends
from fanin_service.server import command
from fanin_service.settings import Settings, variable
from fanin_service.settings.reading import OF_THE_LIBRARY, option, read
from tests.support.processes import run, serving


def test_help_lists_every_setting() -> None:
    text = run("--help").stdout
    for name in Settings.model_fields:
        assert option(name) in text
        assert variable(name) in text


def test_an_option_that_is_true_or_false_needs_no_value() -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    for words, value in (
        (["--catalogue"], True),
        (["--catalogue", "--port", "1"], True),
        (["--catalogue", "false"], False),
        (["--model-uploads", "0"], False),
    ):
        options = {name: each for name, each in vars(parser.parse_args(words)).items() if each is not None}
        assert getattr(read(options), words[0][2:].replace("-", "_")) is value


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("options", "environment", "words"),
    [
        (["--port", "99999"], {}, ("--port", "65535", "99999")),
        (["--port", "http"], {}, ("--port", "integer", "http")),
        ([], {"FANIN_PORT": "-1"}, ("FANIN_PORT", "0", "-1")),
        ([], {"FANIN_MAX_RANK": "65"}, ("FANIN_MAX_RANK", "64", "65")),
        (["--max-recipe-bytes", "many"], {}, ("--max-recipe-bytes", "byte", "many")),
        (["--backend", "abacus"], {}, ("--backend", "abacus", "reference")),
        ([], {"FANIN_BACKEND": "abacus"}, ("FANIN_BACKEND", "abacus", "reference")),
        (["--port", "0"], {"FANIN_STALL_SECONDS": "0"}, ("FANIN_STALL_SECONDS", "1", "'0'")),
        ([], {"FANIN_MAX_TENSOR": "5"}, ("FANIN_MAX_TENSOR:", "FANIN_MAX_TENSORS")),
        ([], {"FANIN_": "5"}, ("FANIN_:", "unknown setting")),
        (["--access", "none"], {}, ("--access", "open", "keys+jwt", "none")),
        (["--host", "0.0.0.0"], {}, ("FANIN_ACCESS", "FANIN_HOST=0.0.0.0", "keys", "open")),
        ([], {"FANIN_HOST": "::"}, ("FANIN_ACCESS", "FANIN_HOST=::")),
        (["--host", "example.org"], {}, ("FANIN_ACCESS", "example.org")),
        (["--admin-host", "0.0.0.0", "--admin-port", "0"], {}, ("FANIN_ACCESS", "FANIN_ADMIN_HOST=0.0.0.0")),
        (["--admin-host", "127.0.0.1"], {}, ("FANIN_ADMIN_HOST", "FANIN_ADMIN_PORT")),
        (["--port", "8001", "--admin-port", "8001"], {}, ("FANIN_ADMIN_PORT", "FANIN_PORT")),
        (["--access", "keys"], {}, ("FANIN_KEYS_FILE", "needed")),
        (["--keys-file", "keys.json"], {}, ("FANIN_KEYS_FILE", "no effect", "FANIN_ACCESS")),
        (["--access", "keys", "--keys-file", "/nonexistent"], {}, ("FANIN_KEYS_FILE", "/nonexistent", "keys create")),
        (["--access", "keys", "--keys-file", __file__], {}, ("FANIN_KEYS_FILE", "not a key file")),
        (["--access", "jwt"], {}, ("FANIN_JWT_ISSUER", "FANIN_JWT_AUDIENCE", "FANIN_JWT_JWKS_URL")),
        (["--jwt-issuer", "x"], {}, ("FANIN_JWT_ISSUER", "no effect")),
        (["--jwt-algorithms", "HS256"], {}, ("--jwt-algorithms", "RS256", "HS256")),
        (["--jwt-algorithms", "none"], {}, ("--jwt-algorithms", "RS256", "none")),
        (["--jwt-algorithms", ","], {}, ("--jwt-algorithms", "at least 1")),
        (["--jwt-jwks-url", "http://example.org/keys"], {}, ("--jwt-jwks-url", "https://", "example.org")),
        (["--jwt-jwks-url", "file:///etc/passwd"], {}, ("--jwt-jwks-url", "https://")),
        (["--cors-origins", "https://a.org/"], {}, ("--cors-origins", "https://example.org", "a.org")),
        (["--cors-origins", "https://a.org,b"], {}, ("--cors-origins", "'b'")),
        (["--root-path", "team"], {}, ("--root-path", "/team/weights")),
        (["--root-path", "/team/"], {}, ("--root-path", "/team/weights")),
        (["--root-path", "/team/.."], {}, ("--root-path", "/team/weights")),
        (["--root-path", "/v1/weights"], {}, ("FANIN_ROOT_PATH", "begins with /v1")),
        (["--recipe-store", ""], {}, ("--recipe-store", "empty")),
        (["--models", " "], {}, ("--models", "empty")),
        (["--jwt-jwks-url", "https://example.org:x/keys"], {}, ("--jwt-jwks-url", "ort")),
    ],
)
def test_a_wrong_setting_stops_the_start(options: list[str], environment: dict[str, str], words: tuple[str]) -> None:
    done = run(*options, **environment)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (["--limits-url", "redis://:{}@127.0.0.1/0"], {}),
        ([], {"FANIN_LIMITS_URL": "http://:{}@127.0.0.1/0"}),
        ([], {"FANIN_LIMITS_URL": "redis://:{}@127.0.0.1:x/0"}),
        (["--port", "x"], {"FANIN_LIMITS_URL": "redis://:{}@127.0.0.1/0"}),
        (["--jwt-jwks-url", "https://me:{}@127.0.0.1/keys"], {}),
    ],
)
def test_a_secret_is_not_told(options: list[str], environment: dict[str, str]) -> None:
    """The command does not accept secrets where other users can see them."""
    secret = "5ec2e7"
    done = run(
        *(each.format(secret) for each in options), **{name: url.format(secret) for name, url in environment.items()}
    )
    assert done.returncode == 2
    assert re.search(r"FANIN_LIMITS_URL|--port|--jwt-jwks-url", done.stderr)
    assert secret not in done.stderr + done.stdout
    assert secret not in repr(Settings(limits_url=f"redis://:{secret}@127.0.0.1/0"))


def test_serving_and_stopping() -> None:
    with serving("--max-file-bytes", "1KiB") as (url, _):
        with httpx.Client(base_url=url) as client:
            assert client.get("/readyz").json()["backend"] == "reference"
            assert client.get("/v1/weights?shape=1000&scheme=zeros").status_code == 422
        taken = run("--port", url.rpartition(":")[2])
        assert taken.returncode == 3
        assert len(taken.stderr.splitlines()) == 1


def test_stopping_does_not_wait_for_a_stalled_client() -> None:
    with socket.socket() as connection, serving("--shutdown-seconds", "1") as (url, _):
        connection.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        connection.sendall(b"GET /v1/weights?shape=1000000000&scheme=zeros HTTP/1.1\r\nHost: test\r\n\r\n")
        assert connection.recv(16)


def test_the_library_reads_no_variable_that_stops_the_service() -> None:
    read = {
        name
        for path in Path(fanin.__file__).parent.rglob("*.py")
        for name in re.findall(r"[\"'](FANIN_[A-Z0-9_]+)[\"']", path.read_text())
    }
    assert read >= {"FANIN_BACKEND", "FANIN_SIMD", "FANIN_TOKEN"}
    assert read <= OF_THE_LIBRARY | {variable(name) for name in Settings.model_fields}


@pytest.mark.parametrize(
    ("host", "given", "is_told"),
    [
        ("0.0.0.0", {}, True),
        ("0.0.0.0", {"model_store": "/srv/models"}, False),
        ("0.0.0.0", {"model_uploads": False}, False),
        ("127.0.0.1", {}, False),
    ],
)
def test_models_of_one_server_alone_are_told_of(
    caplog: pytest.LogCaptureFixture, host: str, given: dict[str, Any], is_told: bool
) -> None:
    """Replicas without a common store can have different models under one name."""
    settings = Settings(host=host, access="open", workers=2, **given)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command._announce(settings, backends.get("reference"), listener, None)
    assert ("set FANIN_MODEL_STORE" in caplog.text) is is_told
