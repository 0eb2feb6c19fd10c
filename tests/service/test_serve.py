"""The command, as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from fanin_service.settings import Settings, option, variable

COMMAND = (
    "import argparse, sys; from fanin_service import serve; parser = argparse.ArgumentParser(description=serve.HELP);"
    " serve.add_arguments(parser); sys.exit(serve.run(parser.parse_args()))"
)


def run(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", COMMAND, *options]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)


def test_help_lists_every_setting() -> None:
    text = run("--help").stdout
    for name in Settings.model_fields:
        assert option(name) in text
        assert variable(name) in text


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
    ],
)
def test_a_wrong_setting_stops_the_start(options: list[str], environment: dict[str, str], words: tuple[str]) -> None:
    done = run(*options, **environment)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert all(word in done.stderr for word in words), done.stderr


@contextmanager
def serving(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """URL and process of a server of its own."""
    command = [sys.executable, "-c", COMMAND, "--port", "0", "--backend", "reference", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        try:
            line = process.stderr.readline()
            started = re.search(r"(http://127\.0\.0\.1:[0-9]+) with the reference backend", line)
            assert started, line
            yield started[1], process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGTERM)


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
