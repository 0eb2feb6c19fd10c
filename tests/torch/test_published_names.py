"""The load format of vLLM gives a model the tensors that transformers writes to a file, without memory."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

import fanin
from fanin import models
from fanin.file.layout import FileLayout
from fanin.torch.generated import Generated
from fanin.vllm.published_names import published


def _published(name: str, directory: Path) -> tuple[fanin.Recipe, dict[str, torch.Tensor]]:
    recipe, text = models.get(name).recipe(7), models.get(name).files()["config.json"]
    (directory / "config.json").write_bytes(text)
    read = SimpleNamespace(architectures=json.loads(text)["architectures"], rope_parameters={"rope_type": "of vLLM"})
    model = SimpleNamespace(model=str(directory), hf_config=read, hf_config_path=None, revision=None)
    return recipe, dict(published(model, FileLayout.of(recipe), None))


def test_mixtral_has_three_matrices_for_each_expert(tmp_path: Path) -> None:
    recipe, found = _published("tiny-mixtral", tmp_path)
    made = fanin.materialize(recipe)
    fused, down = (made[f"model.layers.1.mlp.experts.{name}"] for name in ("gate_up_proj", "down_proj"))
    for number in range(4):
        stem = f"model.layers.1.block_sparse_moe.experts.{number}"
        w1, w2, w3 = (found[f"{stem}.{matrix}.weight"].clone().numpy() for matrix in ("w1", "w2", "w3"))
        assert np.array_equal(np.concatenate([w1, w3]), fused[number])
        assert np.array_equal(w2, down[number])
    assert "model.layers.1.block_sparse_moe.gate.weight" in found
    assert "model.norm.weight" in found
    assert len(found) == len(made) + 2 * (3 * 4 - 2)


@pytest.mark.parametrize(
    "name",
    [
        *("tiny-mixtral", "tiny-olmoe", "tiny-deepseek-v2", "tiny-deepseek-v3", "tiny-jamba", "tiny-qwen3-moe"),
        *("tiny-gpt-oss", "tiny-mamba", "tiny-mamba2", "tiny-pythia", "tiny-llama-3"),
    ],
)
def test_names_and_values_are_those_of_a_saved_model(name: str, tmp_path: Path) -> None:
    recipe, found = _published(name, tmp_path)
    assert all(isinstance(tensor, Generated) for tensor in found.values())
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(tmp_path))
    state = {key: torch.from_numpy(array) for key, array in fanin.materialize(recipe).items()}
    assert not model.load_state_dict(state, strict=False).unexpected_keys
    model.tie_weights()
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert found.keys() == saved.keys()
    for key, tensor in found.items():
        assert torch.equal(tensor.clone(), saved[key]), key


def test_an_architecture_that_transformers_lacks_keeps_its_names() -> None:
    recipe = models.get("tiny-mixtral").recipe(7)
    model = SimpleNamespace(hf_config=SimpleNamespace(architectures=["OurOwnForCausalLM"]))
    found = published(model, FileLayout.of(recipe), None)
    assert [name for name, _ in found] == list(recipe.tensors)
