"""Trainers that begin from a step 0 that Fanin generates.

They need `pip install --group training`.
"""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn

import fanin
import fanin.torch

pytestmark = pytest.mark.soak("training")


@pytest.mark.parametrize("family", ["llama3", "qwen3", "gpt_oss", "deepseek_v3"])
def test_a_model_of_torchtitan(family: str) -> None:
    """`init_` gives the parameters what `load_state_dict` makes of the recipe: one fused projection from three."""
    pytest.importorskip("torchtitan", reason="needs pip install --group training")
    config = importlib.import_module(f"torchtitan.models.{family}").model_registry("debugmodel", attn_backend="flex")

    def build() -> nn.Module:
        model: nn.Module = config.model.build()
        with torch.no_grad():
            model.init_weights(buffer_device=None)
        return model

    recording = fanin.torch.record(build, seed=1)
    assert not recording.copies
    with torch.device("meta"):
        filled = config.model.build()
    fanin.torch.init_(filled, recording, device="cpu")
    loaded = build()
    state = {name: torch.from_numpy(made) for name, made in fanin.materialize(recording.recipe).items()}
    state |= dict(recording.literals)
    loaded.load_state_dict(state | {name: state[first] for name, first in recording.tied.items()})
    for (name, mine), (_, theirs) in zip(filled.named_parameters(), loaded.named_parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    for (name, mine), (_, theirs) in zip(filled.named_buffers(), loaded.named_buffers(), strict=True):
        assert torch.equal(mine, theirs), name
