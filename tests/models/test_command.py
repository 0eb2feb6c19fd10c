"""`fanin recipe`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fanin
from fanin.cli import main

MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(30, 8)
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)) for _ in range(3)])
        self.head = nn.Linear(8, 30, bias=False)
        self.head.weight = self.embedding.weight

def refused():
    net = Net()
    nn.init.orthogonal_(net.layers[1][0].weight)
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
        "fanin: head.weight is embedding.weight",
        "fanin: layers.0.1.num_batches_tracked has given values, int64 []: not in the recipe (and 2 more like it)",
    ]


def test_it_can_be_made(tmp_path: Path) -> None:
    assert main(["recipe", "torch", "recorded_net:Net", "--output", "net.json"]) == 0
    assert main(["make", "net.json", "net.safetensors"]) == 0
    assert fanin.verify("net.safetensors").tensors == 19


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
    ("arguments", "code", "words"),
    [
        (["torch", "recorded_net"], 2, "package.module:build"),
        (["torch", "recorded_nets:Net"], 2, "No module named 'recorded_nets'"),
        (["torch", "recorded_net:Nut"], 2, "no attribute 'Nut'"),
        (["torch", "recorded_net:number"], 2, "no function, but a int"),
        (["torch", "recorded_net:refused"], 2, "/layers.1.0.weight: no scheme is the result of aten.linalg_qr"),
        (["torch", "recorded_net:Net", "--seed", "-1"], 2, "/seed"),
        (["hf", "none.json"], 4, "none.json"),
        (["hf", "empty.json"], 2, "model_type"),
        (["hf", "unknown.json"], 2, "nosuchmodel"),
        (["hf", "recorded_net.py"], 2, "recorded_net.py"),
    ],
)
def test_errors(
    arguments: list[str], code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "unknown.json").write_text('{"model_type": "nosuchmodel"}')
    assert main(["recipe", *arguments]) == code
    assert words in capsys.readouterr().err
