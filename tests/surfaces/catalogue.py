"""Loads models of the catalogue by `from_pretrained`, compares every tensor with the recipe and runs them forward.

Runs in a separate process, because clients of the Hub read HF_ENDPOINT once:

    HF_ENDPOINT=http://127.0.0.1:8000/hf python -m tests.surfaces.catalogue tiny-qwen3 tiny-qwen3-fp8 ...

Prints a line for each model.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import transformers

import fanin
from fanin import models
from tests.support import catalogue


def check(name: str) -> None:
    """Load and run a model.

    Raises:
        AssertionError: a tensor is not the recipe's, or the output is not finite.
    """
    if found := models.quantized(name):
        check_quantized(name, *found)
        return
    model = models.get(name)
    module = catalogue.loaded(model, f"catalogue/{name}", revision="seed-1")
    state = module.state_dict()
    for key, array in fanin.materialize(model.recipe(seed=1)).items():
        assert torch.equal(state[key], torch.from_numpy(array)), key
    assert torch.isfinite(catalogue.forward(model, module)).all()
    # transformers reads the type in config.json; a configuration of diffusers has none.
    options = {"torch_dtype": torch.bfloat16} if model.library == "diffusers" else {}
    in_bf16 = catalogue.loaded(model, f"catalogue/{name}", revision="seed-1-bf16", **options)
    assert in_bf16.dtype is torch.bfloat16


def check_quantized(name: str, model: models.CatalogueModel, form: str) -> None:
    """Load a quantized model, compare its weights with those of the plain recipe, and run it.

    Raises:
        AssertionError: a weight is not that of the recipe, within the error of the format, or the output is not finite.
    """
    is_of_experts = "gpt_oss" in model.files()["config.json"].decode()
    options: dict[str, Any] = {}
    if form == "mxfp4" and is_of_experts:
        options = {"quantization_config": transformers.Mxfp4Config(dequantize=True)}
    elif form == "fp8_block":
        options = {"quantization_config": transformers.FineGrainedFP8Config(dequantize=True)}
    else:
        options = {"quantization_config": transformers.CompressedTensorsConfig(dequantize=True)}
    module = catalogue.loaded(model, f"catalogue/{name}", revision="seed-1", **options)
    state, plain = module.state_dict(), fanin.materialize(model.recipe(seed=1))
    for key, array in plain.items():
        loaded, wanted = state[key].double(), torch.from_numpy(array).double()
        assert (loaded - wanted).norm() <= ERROR[form] * wanted.norm(), key
    assert torch.isfinite(catalogue.forward(model, module)).all()


ERROR = {"fp8": 0.04, "fp8_channel": 0.04, "fp8_block": 0.04, "mxfp8": 0.05, "int8": 0.03}
ERROR |= dict.fromkeys(("int4", "int4_asymmetric", "mxfp4", "nvfp4"), 0.2)
"""Largest error of a weight in each format, as a part of its norm."""


if __name__ == "__main__":
    for each in sys.argv[1:]:
        check(each)
        print(each)
