"""Loads models of the catalogue by `from_pretrained`, compares every tensor with the recipe and runs them forward.

Runs in a separate process, because clients of the Hub read HF_ENDPOINT once:

    HF_ENDPOINT=http://127.0.0.1:8000/hf python -m tests.surfaces.catalogue tiny-qwen3 ...

Prints a line for each model.
"""

from __future__ import annotations

import sys

import torch

import fanin
from fanin import models
from tests.support import catalogue


def check(name: str) -> None:
    """Load and run a model.

    Raises:
        AssertionError: a tensor is not the recipe's, or the output is not finite.
    """
    model = models.get(name)
    module = catalogue.loaded(model, f"catalogue/{name}", revision="seed-1")
    state = module.state_dict()
    for key, array in fanin.materialize(model.recipe(seed=1)).items():
        assert torch.equal(state[key], torch.from_numpy(array)), key
    assert torch.isfinite(catalogue.forward(model, module)).all()
    in_bf16 = catalogue.loaded(model, f"catalogue/{name}", revision="seed-1-bf16")
    assert in_bf16.dtype is torch.bfloat16


if __name__ == "__main__":
    for each in sys.argv[1:]:
        check(each)
        print(each)
