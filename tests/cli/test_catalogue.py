"""Names of the catalogue on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import fanin
from fanin import models
from fanin.cli.main import main
from tests.support.servers import running


def test_a_name_stands_for_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made.safetensors"
    recipe = models.get("tiny-qwen3").recipe(seed=7)
    for name in ("tiny-qwen3", "catalogue/tiny-qwen3"):
        assert main(["make", name, "--seed", "7", "-o", str(made), "-q"]) == 0
        assert fanin.load(made).recipe == recipe
    assert main(["make", "tiny-qwen3", "-o", str(made), "-q"]) == 0
    assert fanin.load(made).recipe.seed == 0
    assert main(["show", "llama-3.1-8b", "--recipe", "--dtype", "F16"]) == 0
    shown = fanin.as_recipe(capsys.readouterr().out)
    assert {tensor.dtype for tensor in shown.tensors.values()} == {"F16"}
    assert main(["slice", "llama-3.1-405b", "model.norm.weight", "0:3", "-o", str(tmp_path / "rows.npy"), "-q"]) == 0
    assert main(["artifact", "tiny-gpt2", str(tmp_path / "artifact"), "--seed", "1", "-q"]) == 0


def test_the_output_may_have_the_name_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["make", "tiny-gpt2", "-o", "tiny-gpt2", "-q"]) == 0


def test_a_file_with_the_name_of_a_model_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("gpt2").write_text('{"shape": [3], "scheme": "zeros"}')
    assert main(["show", "gpt2"]) == 2
    error = "fanin: gpt2 is both a file and a model of the catalogue: use ./gpt2 or catalogue/gpt2\n"
    assert capsys.readouterr() == ("", error)
    assert main(["show", "./gpt2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 3
    assert main(["show", "catalogue/gpt2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 124_439_808
    Path("bert-base").mkdir()
    assert main(["show", "bert-base"]) == 0


@pytest.mark.parametrize("command", [["push", "me/x"], ["inspect"]])
def test_a_directory_with_a_name_of_the_catalogue_is_ambiguous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["catalogue", "tiny-qwen3", "--quantize", "int8", "-o", "tiny-qwen3"]) == 0
    assert main([*command, "tiny-qwen3"]) == 2
    assert "both a directory and a model of the catalogue: use ./tiny-qwen3 or cat" in capsys.readouterr().err


def test_a_directory_is_pushed_with_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["catalogue", "tiny-gpt-oss", "--quantize", "mxfp4", "-o", "model"]) == 0
    for name in (
        "model.safetensors",
        "model-00001-of-00002.safetensors",
        "model.safetensors.index.json",
        ".git/config",
    ):
        Path("model", name).parent.mkdir(exist_ok=True)
        Path("model", name).write_text("generated, or hidden")
    Path("model/vocab").mkdir()
    Path("model/vocab/words.txt").write_text("a")
    with running() as server:
        capsys.readouterr()
        assert main(["push", "me/gpt-oss", "model", "--service", server.url, "--json"]) == 0
        pushed = json.loads(capsys.readouterr().out)
        assert pushed["files"] == ["config.json", "model.safetensors", "vocab/words.txt"]
        served = server.client.get("/s3/models/me/gpt-oss/main/model.safetensors").content
        fanin.save(Path("model/recipe.json"), "expected.safetensors")
        assert served == Path("expected.safetensors").read_bytes()
        Path("model/recipe.json").unlink()
        assert main(["push", "me/gpt-oss", "model", "--service", server.url]) == 4
        assert "No such file or directory: 'model/recipe.json'" in capsys.readouterr().err


def test_a_wrong_name_lists_near_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told = "is neither a file nor a model of the catalogue; did you mean "
    for command in (["make", "-o", "x"], ["checkpoint", "recipe", "-o", "x"], ["push", "me/x"]):
        assert main([*command, "qwen3-0.5b"]) == 2
        assert f"qwen3-0.5b {told}qwen3-0.6b or " in capsys.readouterr().err
    for path in ("gpt2.json", "models/gpt2", "zzz"):  # the names of files
        assert main(["show", path]) == 4
        assert "No such file" in capsys.readouterr().err
    assert main(["catalogue", "gpt3"]) == 2
    assert "the catalogue has no model 'gpt3'; did you mean gpt2" in capsys.readouterr().err


def test_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalogue"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == models.names()
    assert lines[2].split() == [
        "llama-3.1-8b",
        "8,030,261,248",
        "16.1",
        "GB",
        "BF16",
        "transformers",
        "LlamaForCausalLM",
        "text",
    ]
    assert main(["catalogue", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed] == models.names()
    assert main(["catalogue", "gpt2", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one in listed
    assert one["parameters"] == 124_439_808


def test_the_files_of_a_model_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "resnet"
    assert main(["catalogue", "tiny-resnet", "-o", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: config.json, recipe.json\n"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == models.get("tiny-resnet").files()
    assert main(["catalogue", "-o", str(tmp_path / "all")]) == 2
    assert main(["catalogue", "tiny-resnet", "-o", str(folder)]) == 4


def test_a_checkpoint_has_the_configuration_and_the_counters(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "step-0"
    command = ["checkpoint", "recipe", "tiny-resnet", "--seed", "3", "-q", "-o", str(folder)]
    assert main([*command, "--format", "safetensors"]) == 0
    model = models.get("tiny-resnet")
    assert (folder / "config.json").read_bytes() == model.files()["config.json"]
    state = {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}
    assert state.keys() == model.recipe().tensors.keys()
    assert state["resnet.embedder.embedder.normalization.num_batches_tracked"].dtype == torch.int64


def test_an_artifact_has_the_literals_and_a_file_is_said_to_lack_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model of the catalogue has literals today."""
    folder = tmp_path / "data" / "tiny-resnet"
    folder.mkdir(parents=True)
    for name, content in models.get("tiny-resnet").files().items():
        (folder / name).write_bytes(content)
    save_file({"order": np.array([2, 0, 1])}, folder / "literals.safetensors")
    monkeypatch.setattr(models, "MODELS", tmp_path / "data")
    assert main(["artifact", "make", "tiny-resnet", str(tmp_path / "hf"), "-q"]) == 0
    assert "order" in json.loads((tmp_path / "hf/model.safetensors.index.json").read_text())["weight_map"]
    assert main(["make", "tiny-resnet", "-o", str(tmp_path / "file"), "-q"]) == 0
    assert "the file lacks the literals of tiny-resnet" in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["make", "tiny-qwen3", "-o", str(tmp_path / "file"), "-q"]) == 0
    assert capsys.readouterr().err == ""
