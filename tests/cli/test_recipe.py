"""`fanin recipe`."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import fanin
from fanin.cli.main import main

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 8)
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)) for _ in range(3)])
        for layer in self.layers:
            layer.register_buffer("order", torch.tensor([2, 0, 1]))
        self.head = nn.Linear(8, 30, bias=False)
        self.head.weight = self.embedding.weight

def refused():
    net = Net()
    nn.init.normal_(net.layers[1][0].weight).data.exp_()
    return net

number = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recorded_net.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    monkeypatch.delitem(__import__("sys").modules, "recorded_net", raising=False)


def test_a_recipe_of_a_torch_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "torch", "recorded_net:Net", "--seed", "9"]) == 0
    output = capsys.readouterr()
    recipe = fanin.as_recipe(output.out)
    assert recipe.seed == 9
    assert recipe.tensors["embedding.weight"].scheme == "normal"
    assert "recorded" not in output.out
    assert '"layers.{0..2}.0.weight": {"shape": [8, 8], "scheme": "uniform", "low"' in output.out
    assert output.err.splitlines() == [
        "fanin: head.weight is tied to embedding.weight",
        "fanin: layers.0.order has given values, int64 [3]: see --literals (and 2 more like it)",
        "fanin: this recipe does not describe the full model: --literals FILE writes the rest, also for fanin push",
    ]


def test_a_model_is_loaded_from_what_is_written(tmp_path: Path) -> None:
    written = ["--output", "net.json", "--literals", "literals.safetensors"]
    assert main(["recipe", "torch", "recorded_net:Net", *written]) == 0
    assert main(["make", "net.json", "-o", "net.safetensors"]) == 0
    assert fanin.verify("net.safetensors").tensors == 22
    net = importlib.import_module("recorded_net").Net()
    state = load_file("net.safetensors") | load_file("literals.safetensors")
    assert net.load_state_dict(state, strict=False) == (["head.weight"], [])  # the memory of the embedding
    assert torch.equal(net.head.weight, state["embedding.weight"])
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix) == [
        "literals.safetensors",
        "net.json",
        "net.safetensors",
        "recorded_net.py",
    ]


def test_without_literals_no_file_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "torch", "torch.nn:Softmax", "--literals", "none.safetensors"]) == 0
    assert fanin.as_recipe(capsys.readouterr().out).tensors == {}
    assert not (tmp_path / "none.safetensors").exists()


def test_a_recipe_of_a_keras_model(tmp_path: Path) -> None:
    code = "import keras\nbuild = lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])"
    (tmp_path / "small_keras.py").write_text(code)
    command = [sys.executable, "-m", "fanin", "recipe", "keras", "small_keras:build"]
    environment = {**os.environ, "KERAS_BACKEND": "numpy"}
    made = subprocess.run(command, capture_output=True, check=True, env=environment, cwd=tmp_path)
    assert list(fanin.as_recipe(made.stdout).tensors) == ["sequential/dense/kernel", "sequential/dense/bias"]


def test_a_recipe_of_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    config = {"model_type": "gpt2", "n_layer": 1, "n_embd": 16, "n_head": 2, "vocab_size": 60, "dtype": "bfloat16"}
    for architectures, count, first in ([], 16, "wte.weight"), (["GPT2LMHeadModel"], 16, "transformer.wte.weight"):
        (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": architectures}))
        assert main(["recipe", "hf", str(tmp_path)]) == 0
        recipe = fanin.as_recipe(capsys.readouterr().out)
        assert len(recipe.tensors) == count
        assert recipe.tensors[first].dtype == "BF16"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "recorded_net.py"], "--output recorded_net.py would overwrite the source "),
        (["--literals", "linked.py"], "--literals linked.py would overwrite the source "),
        (["-o", "net", "--literals", "./net"], "--literals net would overwrite --output net"),
    ],
)
def test_a_recipe_is_not_written_over_its_source(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "linked.py").symlink_to("recorded_net.py")
    assert main(["recipe", "torch", "recorded_net:Net", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert (tmp_path / "recorded_net.py").read_text() == MODEL
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["torch", "recorded_net"], 2, "package.module:build"),
        (["torch", "recorded_nets:Net"], 2, "No module named 'recorded_nets'"),
        (["torch", "recorded_net:Nut"], 2, "no attribute 'Nut'"),
        (["torch", "recorded_net:number"], 2, "not a function, but of type int"),
        (["torch", "recorded_net:refused"], 3, "/layers.1.0.weight: no scheme describes the result of aten.exp_"),
        (["hf", "none.json"], 4, "none.json"),
        (["hf", "empty.json"], 2, "model_type"),
        (["hf", "unknown.json"], 2, "nosuchmodel"),
        (["hf", "recorded_net.py"], 2, "recorded_net.py"),
        (["hf", "nested.json"], 2, "nested.json is not JSON"),
    ],
)
def test_errors(
    arguments: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "unknown.json").write_text('{"model_type": "nosuchmodel"}')
    (tmp_path / "nested.json").write_text("[" * 100_000)
    assert main(["recipe", *arguments]) == code
    assert words in capsys.readouterr().err
