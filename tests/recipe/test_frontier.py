"""The recipes of the largest open models are those of their published sizes."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest

from fanin import FileLayout, as_recipe

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
GENERATOR = runpy.run_path(str(EXAMPLES / "frontier.py"))


@pytest.mark.parametrize(
    ("name", "tensors", "parameters", "biases"),
    [
        # `parameters` as transformers 5.24 counts those of its model class; it does not count the router's biases,
        # which are buffers there. It has the experts of a layer in two tensors, checkpoints have them one by one.
        ("deepseek-v3", 45_395, 671_026_404_352, 58 * 256),
        ("kimi-k2", 69_975, 1_026_408_209_408, 60 * 384),
        ("llama-3.1-405b", 1_137, 405_853_388_800, 0),
        ("gpt-oss-120b", 615, 116_829_156_672, 0),
    ],
)
def test_a_model_has_its_published_size(name: str, tensors: int, parameters: int, biases: int) -> None:
    path = EXAMPLES / f"{name}.json"
    assert path.read_text() == GENERATOR["text"](GENERATOR["MODELS"][name]())
    recipe = as_recipe(path)
    assert len(recipe.tensors) == tensors
    assert sum(math.prod(tensor.shape) * names for _, tensor, names in recipe.tensors.lines()) == parameters + biases
    assert FileLayout.of(recipe).entries.offsets[-1] == 2 * parameters + 4 * biases
