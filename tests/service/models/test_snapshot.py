"""Named models: the files of a revision."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import fanin
from fanin.file import shards
from fanin_service.models.content import MAX_SHARDS
from fanin_service.models.errors import UnknownFileError, UnknownRevisionError
from fanin_service.models.snapshot import Snapshot
from tests.support.models import CONFIG, FILES, RECIPE, content, snapshot


class TestSnapshot:
    def test_storage_types(self) -> None:
        chosen = snapshot("seed-42-bf16").recipe
        assert chosen == fanin.as_recipe({**RECIPE, "seed": 42, "dtype": "BF16"})
        assert {name: tensor.dtype for name, tensor in chosen.tensors.items()} == {
            "wte.weight": "BF16",
            "fc.weight": "BF16",
            "fc.bias": "BF16",
            "norm.weight": "F32",
        }

    def test_a_type_that_no_tensor_leaves_open(self) -> None:
        tensors = {name: {**tensor, "dtype": "F32"} for name, tensor in RECIPE["tensors"].items()}
        fixed = {**RECIPE, "tensors": tensors}
        assert snapshot("seed-42-f32", fixed).recipe.seed == 42
        with pytest.raises(UnknownRevisionError, match="every tensor of this model has its own"):
            snapshot("seed-42-bf16", fixed)

    def test_a_type_at_which_the_recipe_is_impossible(self) -> None:
        with pytest.raises(UnknownRevisionError, match="cannot be served as F16: /tensors/a"):
            snapshot("seed-42-f16", {"tensors": {"a": {"shape": [2], "scheme": "constant", "value": 1e6}}})

    def test_the_configuration_agrees(self) -> None:
        def config(revision: str) -> Any:
            return json.loads(snapshot(revision).given("config.json"))

        assert config("seed-42-f32") == config("seed-42-f8_e4m3") == CONFIG
        changed = {**CONFIG, "dtype": "bfloat16", "text": {"torch_dtype": "bfloat16", "n": 1.5}}
        assert config("seed-42-bf16") == changed

    def test_shards(self) -> None:
        whole, cut = snapshot("seed-42"), snapshot("seed-42-5kb")
        files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
        assert cut.paths == sorted(
            ["config.json", *files, "model.safetensors.index.json", *FILES.keys() - {"config.json"}]
        )
        index = json.loads(cut.given(shards.MODEL.index))
        weights = fanin.materialize(whole.recipe)
        assert index["metadata"]["total_size"] == sum(array.nbytes for array in weights.values())
        assert index["weight_map"].keys() == weights.keys()
        for path in files:
            for name, array in fanin.materialize(cut.layout(path)).items():
                assert index["weight_map"][name] == path
                np.testing.assert_array_equal(array, weights.pop(name))
        assert weights == {}

    def test_shards_of_a_model_of_diffusers(self) -> None:
        """Its configuration selects the names that diffusers looks for."""
        given = content(RECIPE, {"config.json": b'{"_class_name": "DiTTransformer2DModel"}'})
        whole, cut = (
            Snapshot(given, revision) for revision in map(given.main.named, ("seed-42", "seed-42-5kb")) if revision
        )
        assert whole.paths == ["config.json", "diffusion_pytorch_model.safetensors"]
        files = [f"diffusion_pytorch_model-0000{place}-of-00002.safetensors" for place in (1, 2)]
        assert cut.paths == ["config.json", *files, "diffusion_pytorch_model.safetensors.index.json"]
        index = json.loads(cut.given(shards.DIFFUSION.index))
        assert sorted(set(index["weight_map"].values())) == files
        assert {name for path in files for name in fanin.materialize(cut.layout(path))} == RECIPE["tensors"].keys()
        with pytest.raises(UnknownFileError):
            whole.given(shards.MODEL.whole)

    def test_one_shard_is_a_whole(self) -> None:
        assert not snapshot("seed-42-1mb").has_index
        with pytest.raises(UnknownFileError, match=r"this revision has no file 'model\.safetensors\.index\.json'"):
            snapshot("seed-42-1mb").given(shards.MODEL.index)

    def test_a_tensor_larger_than_a_shard(self) -> None:
        found = shards.split(fanin.as_recipe(RECIPE), 1)
        assert [list(names) for names in found.values()] == [[name] for name in RECIPE["tensors"]]
        assert shards.split(fanin.as_recipe({"tensors": {}}), 1) == {shards.MODEL.whole: ()}

    def test_too_many_shards(self) -> None:
        recipe = {"tensors": {f"{n}": {"shape": [1000], "scheme": "ones"} for n in range(MAX_SHARDS + 1)}}
        assert len(snapshot("seed-0-8kb", recipe).paths) > 500
        with pytest.raises(UnknownRevisionError, match="1001 files of 1kb; at most 1000"):
            snapshot("seed-0-1kb", recipe)
