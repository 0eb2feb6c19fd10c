"""Models of the catalogue: valid recipes, and tiny models that transformers and diffusers load and run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

import fanin
from fanin import FileLayout, models
from fanin.file import shards
from fanin.models import CONFIG, LITERALS, RECIPE
from fanin.recipe import as_recipe, parse_json
from fanin.recipe.assumed_layouts import assumed
from tests.support import catalogue

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of transformers and its dependencies
FEW = ("tiny-qwen3", "tiny-qwen3-moe", "tiny-resnet", "tiny-whisper", "tiny-dit", "tiny-flux")
"""Models of the usual run of the tests: a decoder, experts, integers, two inputs, diffusers. The soak has all."""


def each(names: Iterable[str]) -> list[object]:
    """Return the names as parameters of a test. Those that are not of the few run in the soak."""
    return [name if name in FEW else pytest.param(name, marks=pytest.mark.soak("catalogue")) for name in names]


def literals(model: models.CatalogueModel) -> dict[str, torch.Tensor]:
    content = model.literals()
    return {} if content is None else load(content)


@pytest.mark.parametrize("name", models.names())
def test_every_recipe_is_valid_and_its_size_is_listed(name: str) -> None:
    model = models.get(name)
    document = parse_json(model.files()[RECIPE])
    assert "seed" not in document
    assert document["dtype"] == model.dtype
    assert model.files().keys() - {LITERALS} == {RECIPE, CONFIG}
    recipe = model.recipe(seed=7)
    assert recipe.seed == 7
    assert assumed(recipe) == []
    assert FileLayout.of(recipe).size > 0
    in_bf16 = as_recipe({**document, "dtype": "BF16"}).tensors.values()
    size = sum(map(shards.bytes_of, in_bf16)) + sum(literal.nbytes for literal in literals(model).values())
    assert size == model.bf16_bytes
    # Buffers, such as moving averages, are tensors but not parameters.
    assert model.parameters <= sum(map(shards.count_of, in_bf16)) <= model.parameters * 1.05


@pytest.mark.parametrize("name", each(models.names()))
def test_tensors_are_those_of_the_architecture(name: str) -> None:
    model = models.get(name)
    recipe = model.recipe()
    shapes, parameters = catalogue.named(model)
    given = {key: tuple(literal.shape) for key, literal in literals(model).items()}
    assert {key: tuple(tensor.shape) for key, tensor in recipe.tensors.items()} | given == shapes
    assert parameters == model.parameters


@pytest.mark.parametrize("name", each(name for name in models.names() if name.startswith("tiny-")))
def test_a_tiny_model_is_loaded_and_run(name: str, tmp_path: Path) -> None:
    model = models.get(name)
    catalogue.write(model, tmp_path / "step-0", seed=1)
    module = catalogue.loaded(model, str(tmp_path / "step-0"))
    state = module.state_dict()
    for key, array in fanin.materialize(model.recipe(seed=1)).items():
        assert torch.equal(state[key], torch.from_numpy(array)), key
    output = catalogue.forward(model, module)
    assert torch.isfinite(output).all()
    assert output.std() > 0


def test_a_wrong_name_is_an_error_with_near_names() -> None:
    with pytest.raises(ValueError, match=r"no model 'llama-3\.1-8'; did you mean llama-3\.1-8b or "):
        models.get("llama-3.1-8")
    with pytest.raises(ValueError, match="no model 'zzz'; fanin catalogue lists all names"):
        models.get("zzz")
    assert models.get("catalogue/gpt2") == models.get("gpt2")
