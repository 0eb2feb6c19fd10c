"""The load format of vLLM gives Mixtral's experts under the names of the published files."""

import numpy as np

import fanin
from fanin import models
from fanin.file.layout import FileLayout
from fanin.torch.generated import Generated
from fanin.vllm.published_names import published


def test_mixtral_has_three_matrices_for_each_expert() -> None:
    recipe = models.get("tiny-mixtral").recipe(7)
    layout = FileLayout.of(recipe)
    found = dict(pair for name in recipe.tensors for pair in published("mixtral", name, Generated.of(layout, name)))
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


def test_other_architectures_keep_their_names() -> None:
    recipe = models.get("tiny-qwen3-moe").recipe(7)
    layout = FileLayout.of(recipe)
    name = "model.layers.0.mlp.experts.gate_up_proj"
    assert [each for each, _ in published("qwen3_moe", name, Generated.of(layout, name))] == [name]
