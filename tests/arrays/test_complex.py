"""Complex tensors go wherever others do: files and their readers, slices, PyTorch, JAX, shards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

import fanin
from fanin.file import shards
from tests.support.servers import running

RECIPE: dict[str, Any] = {
    "seed": 3,
    "layout": "torch",
    "tensors": {
        "f64": {"shape": [3], "scheme": "ones", "dtype": "F64"},
        "z": {"shape": [6, 4], "scheme": "he_normal", "dtype": "C64"},
        "disk": {"shape": [5, 4], "scheme": "he_uniform", "dtype": "C64"},
        "w": {"shape": [3], "scheme": "ones"},
    },
}
MADE = fanin.materialize(RECIPE)


def test_files(tmp_path: Path) -> None:
    """Upstream reads them, and writes them in the same order."""
    path = tmp_path / "model.safetensors"
    fanin.save(RECIPE, path)
    fanin.verify(path)
    for name, tensor in safetensors.torch.load_file(path).items():
        assert (tensor.numpy() == MADE[name]).all()
    upstream = safetensors.numpy.save(safetensors.numpy.load_file(path))
    names = [list(fanin.FileLayout.of(RECIPE).places), list(safetensors.numpy.load(upstream))]
    assert sorted(names[0]) == sorted(names[1])
    offsets = [upstream.index(f'"{name}":'.encode()) for name in fanin.FileLayout.of(RECIPE).places]
    assert offsets == sorted(offsets)


def test_over_http() -> None:
    with running() as server, fanin.Client(server.url) as client:
        found = client.materialize(RECIPE)
        assert all((found[name] == MADE[name]).all() for name in MADE)
        assert (client.slice(RECIPE, "disk", slice(1, 5, 2)) == MADE["disk"][1:5:2]).all()


def test_shards() -> None:
    parts = shards.split(fanin.as_recipe(RECIPE), 200)
    assert len(parts) > 1


def test_torch(tmp_path: Path) -> None:
    import fanin.torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, array in MADE.items():
                self.register_parameter(name, torch.nn.Parameter(torch.from_numpy(np.zeros_like(array))))

    model = Model()
    fanin.torch.init_(model, RECIPE)
    assert all((tensor.detach().numpy() == MADE[name]).all() for name, tensor in model.named_parameters())
    fanin.torch.save_checkpoint(RECIPE, tmp_path / "checkpoint", format="safetensors")
    (path,) = (tmp_path / "checkpoint").glob("*.safetensors")
    assert (safetensors.torch.load_file(path)["z"].numpy() == MADE["z"]).all()
