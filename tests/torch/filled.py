"""Modules filled by `fanin.torch.init_`, and what they hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import fanin
from fanin.torch.recorder.recording import FLOATING as TORCH_DTYPES

SCHEMES: list[dict[str, Any]] = [
    {"scheme": "normal", "std": 0.5},
    {"scheme": "uniform", "low": -1.0, "high": 1.0},
    {"scheme": "truncated_normal", "std": 0.02},
    {"scheme": "constant", "value": 0.25},
    {"scheme": "log_range"},
]


def recipe_of(module: nn.Module, seed: int = 7, **scheme: Any) -> dict[str, Any]:
    """A recipe for every floating-point tensor of the module's state."""
    tensors = {
        name: {"shape": list(tensor.shape), "dtype": TORCH_DTYPES[tensor.dtype], **(scheme or SCHEMES[0])}
        for name, tensor in module.state_dict().items()
        if tensor.dtype in TORCH_DTYPES
    }
    return {"seed": seed, "tensors": tensors}


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def check(module: nn.Module, recipe: Any) -> None:
    """Every tensor has the bits of the recipe's file."""
    state = module.state_dict()
    for name, made in fanin.materialize(recipe, backend="reference").items():
        assert bits(state[name]) == made.tobytes(), name


class Net(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(33, 12, dtype=dtype)
        self.conv = nn.Conv2d(5, 7, 3, dtype=dtype)
        self.norm = nn.LayerNorm(12, dtype=dtype)
        self.head = nn.Linear(12, 33, bias=False, dtype=dtype)
        self.scale = nn.Parameter(torch.zeros((), dtype=dtype))
        self.empty = nn.Parameter(torch.zeros((0, 3), dtype=dtype))
