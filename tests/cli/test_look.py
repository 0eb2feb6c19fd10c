"""`fanin look`: what it shows, and what it refuses."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import fanin
from fanin import page
from fanin.cli import look
from fanin.cli.main import main
from fanin.page import local

SEED = 2**64 - 1
WRITTEN = {
    "seed": SEED,
    "dialect": "torch",
    "tensors": {},
    "repeated": {"l.{0..1}.w": {"shape": [4, 4], "scheme": "kaiming_normal_"}},
}
MODEL = """
from torch import nn

def build():
    return nn.Linear(3, 2)

def keras_too():
    import keras
    return keras
"""


class _Server:
    """A server that ends at once, as after Ctrl-C."""

    starts: list[dict[str, Any]] = []  # noqa: RUF012

    url = "http://127.0.0.1:9/"

    def __init__(self, start: Any, port: int) -> None:
        self.starts.append(json.loads(start.content))

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None: ...

    def serve_forever(self) -> None:
        raise KeyboardInterrupt


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The documents that pages start with. The working directory has a recipe, its file and a module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *sys.path])
    monkeypatch.delitem(sys.modules, "looked_at", raising=False)
    Path("recipe.json").write_text(json.dumps(WRITTEN))
    Path("looked_at.py").write_text(MODEL)
    fanin.save(WRITTEN, "file.safetensors", progress=False)
    monkeypatch.setattr(local, "PageServer", _Server)
    monkeypatch.setattr(_Server, "starts", [])
    return _Server.starts


def test_a_recipe_is_shown_as_it_was_written(shown: list[dict[str, Any]]) -> None:
    assert main(["look", "recipe.json", "--no-browser"]) == 0
    assert main(["look", json.dumps(WRITTEN), "--no-browser"]) == 0
    written = {**WRITTEN, "seed": str(SEED)}  # JavaScript has no such integer
    assert shown == [
        {"service": False, "recipe": written, "title": "recipe.json"},
        {"service": False, "recipe": written, "title": None},
    ]


@pytest.mark.parametrize(
    ("arguments", "recipe", "title"),
    [
        (["file.safetensors"], fanin.as_recipe(WRITTEN), "file.safetensors"),
        (["recipe.json", "--seed", "5"], fanin.as_recipe({**WRITTEN, "seed": 5}), "recipe.json"),
        (["recipe.json", "--dtype", "F64"], fanin.as_recipe({**WRITTEN, "dtype": "F64"}), "recipe.json"),
        (["tiny-gpt2"], fanin.models.get("tiny-gpt2").recipe(), "tiny-gpt2"),
    ],
)
def test_what_is_shown(shown: list[dict[str, Any]], arguments: list[str], recipe: fanin.Recipe, title: str) -> None:
    assert main(["look", *arguments, "--no-browser"]) == 0
    (start,) = shown
    assert (fanin.as_recipe(start["recipe"]), start["title"]) == (recipe, title)
    assert isinstance(start["recipe"]["seed"], str)


def test_a_model_of_a_function(shown: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", "looked_at:build", "--seed", "7", "--no-browser"]) == 0
    recipe = fanin.as_recipe(shown[0]["recipe"])
    assert (recipe.seed, {name: each.shape for name, each in recipe.tensors.items()}) == (
        7,
        {"weight": (2, 3), "bias": (2,)},
    )
    assert main(["look", "looked_at:keras_too", "--no-browser"]) == 2
    assert "uses torch and keras: say which one builds the model, with --framework" in capsys.readouterr().err
    assert main(["look", "looked_at:nothing", "--no-browser"]) == 2
    assert main(["look", "recipe.json", "--framework", "jax", "--no-browser"]) == 2
    assert len(shown) == 1


def test_what_cannot_be_shown(shown: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert main(["look", "other.safetensors"]) == 5
    error = capsys.readouterr().err
    assert "other.safetensors: the header carries no recipe" in error
    assert "fanin inspect other.safetensors" in error
    Path("list.json").write_text("[1]")
    assert main(["look", "list.json"]) == 3
    assert main(["look", "none.json"]) == 4
    assert main(["look", "recipe.json", "--port", "65536"]) == 2
    assert shown == []


def test_the_browser_is_opened_unless_not_wanted(shown: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(look.webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setattr(
        look, "Thread", lambda target, args, daemon: type("_", (), {"start": lambda _: target(*args)})()
    )
    assert main(["look", "recipe.json", "--no-browser"]) == 0
    assert opened == []
    assert main(["look", "recipe.json"]) == 0
    assert opened == [_Server.url]


def test_a_port_in_use_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(WRITTEN))
    with local.PageServer(page.start(service=False)) as server:
        port = server.server_address[1]
        assert main(["look", str(tmp_path / "recipe.json"), "--no-browser", "--port", str(port)]) == 4
    assert f"port {port}: Address already in use; --port chooses another one" in capsys.readouterr().err


def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(WRITTEN))
    command = [sys.executable, "-m", "fanin", "look", str(tmp_path / "recipe.json"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        try:
            printed = process.stdout.readline()
            found = re.fullmatch(r"recipe\.json: (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends\)\n", printed)
            assert found, printed
            with urllib.request.urlopen(f"{found[1]}page/start.json", timeout=60) as answer:
                assert json.load(answer)["title"] == "recipe.json"
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
