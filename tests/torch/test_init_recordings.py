"""`fanin.torch.init_`: recordings, and modules on the meta device."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn

import fanin
from fanin.recording.literals import Recording
from fanin.torch import ModuleError, init_, initializers, record, seeded
from tests.torch.filled import SCHEMES, bits, check, recipe_of


class Rotary(nn.Module):
    """Counters, tables and buffers that are in no file."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", 1.0 / 10000 ** (torch.arange(0, 8, 2) / 8), persistent=False)
        self.register_buffer("positions", torch.arange(16))
        self.inner = nn.Sequential(nn.Embedding(20, 8), nn.BatchNorm1d(8), nn.LSTM(8, 6))
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.inner[0].weight
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)


def test_a_recording_fills_a_module_without_memory_completely() -> None:
    recording = record(Rotary, seed=3)
    with torch.device("meta"):
        module = Rotary()
    init_(module, recording, device="cpu")
    reference = Rotary()
    assert torch.equal(module.frequencies, reference.frequencies)
    assert torch.equal(module.positions, reference.positions)
    assert module.inner[1].num_batches_tracked == 0
    assert module.head.weight is module.inner[0].weight
    assert not module.frozen.requires_grad
    assert [*module.state_dict()] == [*reference.state_dict()]
    check(module, recording.recipe)
    module.inner[2](torch.zeros(2, 8))  # the module's own list of its weights is of these
    assert all(any(weight is each for each in module.parameters()) for weight in module.inner[2]._flat_weights)


def test_a_recipe_says_which_buffers_it_cannot_make() -> None:
    with torch.device("meta"):
        module = Rotary()
    recipe = record(Rotary).recipe.without("positions")
    with pytest.raises(ModuleError) as caught:
        init_(module, recipe)
    assert {fault.pointer: fault.detail for fault in caught.value.faults} == {
        "/frequencies": ("a non-persistent buffer on the meta device: its values are in a recording, not in a recipe"),
        "/positions": "missing: int64 values come from the module's own code: pass its recording",
    }
    assert all(tensor.is_meta for tensor in module.state_dict().values())


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_integers_of_a_recipe_fill_buffers(device: str) -> None:
    """In memory with any strides, exactly, also beyond the 53 bits of a float64 number."""
    tensors: dict[str, Any] = {
        "positions": {"shape": [3, 5], "scheme": "arange", "start": 2**62 + 1, "dtype": "I64"},
        "codes": {"shape": [4], "scheme": "constant", "value": 2**64 - 1, "dtype": "U64"},
        "mask": {"shape": [3, 3], "scheme": "eye", "dtype": "BOOL"},
        "bytes": {"shape": [7], "scheme": "arange", "start": -3, "dtype": "I8"},
        "scales": {"shape": [2], "scheme": "constant", "value": 0.5, "dtype": "F8_E8M0"},
        "fnuz": {"shape": [9, 4], "scheme": "he_normal", "layout": "torch", "dtype": "F8_E4M3FNUZ"},
    }
    arrays = fanin.materialize({"tensors": tensors})
    module = nn.Module()
    for name, array in arrays.items():
        empty = torch.empty(array.shape[::-1], dtype=getattr(torch, array.dtype.name), device=device)
        module.register_buffer(name, empty.permute(*range(array.ndim)[::-1]))
    init_(module, {"tensors": tensors}, device="cpu")
    for name, tensor in module.state_dict().items():
        assert tensor.contiguous().view(torch.uint8).numpy().tobytes() == arrays[name].tobytes(), name


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_counters_of_batch_norm_start_at_zero(device: str) -> None:
    module = nn.Sequential(nn.Linear(4, 3, device=device), nn.BatchNorm1d(3, device=device))
    module[1].num_batches_tracked.fill_(7)  # as to_empty leaves it: any value
    recipe = recipe_of(module)
    init_(module, recipe, device="cpu")
    check(module, recipe)
    assert module[1].num_batches_tracked.item() == 0


def test_after_to_empty_a_recording_fills_buffers_that_are_in_no_file() -> None:
    recording = record(Rotary, seed=3)
    with torch.device("meta"):
        module = Rotary()
    module.to_empty(device="cpu")
    module.frequencies.fill_(-1)
    tied = r"/head.weight: the recording has one memory for it and inner\.0\.weight, the module two: tie them again"
    with pytest.raises(ModuleError, match=tied):
        init_(module, recording)  # to_empty() has split one parameter into two
    module.head.weight = module.inner[0].weight
    init_(module, recording)
    assert torch.equal(module.frequencies, Rotary().frequencies)
    check(module, recording.recipe)
    module.head.weight = nn.Parameter(torch.empty_like(module.head.weight))
    init_(module, recording, strict=False)
    assert torch.equal(module.head.weight, module.inner[0].weight)


def test_fanins_own_calls_are_recorded_as_what_they_are() -> None:
    parts = [{"size": 1, "scheme": "zeros"}, {"size": 8, "scheme": "ones"}]
    recipe: dict[str, Any] = {
        "seed": 5,
        "tensors": {
            "0.weight": {"shape": [9, 4], "scheme": "blocks", "parts": parts},
            "1.weight": {"shape": [6, 4], "scheme": "truncated_normal", "std": 0.3},
            "1.bias": {"shape": [6], "scheme": "log_range"},
            "2.weight": {"shape": [6, 6], "scheme": "orthogonal", "layout": "keras"},
            "2.bias": {"shape": [6], "scheme": "uniform", "low": 0.0, "high": 0.1},
        },
    }

    def build() -> nn.Module:
        model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 5, bias=False))
        init_(model, {**recipe, "dtype": "F32"}, strict=False)
        with seeded(5, model), torch.no_grad():
            initializers.kaiming_normal_(model[3].weight)
            model[2].bias.mul_(2)
        return model

    found = record(build, seed=5).recipe
    own = {"shape": [5, 6], "scheme": "kaiming_normal_", "dialect": "torch"}
    expected = {**recipe, "tensors": {**recipe["tensors"], "3.weight": own}}
    expected["tensors"]["2.bias"] = {"shape": [6], "scheme": "uniform", "low": 0.0, "high": 0.2}
    made, wanted = fanin.materialize(found), fanin.materialize(expected)
    assert {name: array.tobytes() for name, array in made.items()} == {n: a.tobytes() for n, a in wanted.items()}
    init_(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 5, bias=False)), found)


def test_a_recording_of_another_framework() -> None:
    literals = {"short": np.arange(3, dtype=ml_dtypes.bfloat16), "count": np.array(7), "mask": np.array([True, False])}
    recording = Recording(fanin.as_recipe({"seed": 1, "tensors": {"w": {"shape": [2], **SCHEMES[0]}}}), literals)
    module = nn.Module()
    module.w = nn.Parameter(torch.zeros(2))
    module.register_buffer("short", torch.zeros(3, dtype=torch.bfloat16))
    module.register_buffer("count", torch.tensor(0))
    module.register_buffer("mask", torch.zeros(2, dtype=torch.bool))
    init_(module, recording, seed=5)
    assert bits(module.w) == fanin.materialize(recording.with_seed(5))["w"].tobytes()
    assert (module.short.tolist(), module.count.item(), module.mask.tolist()) == ([0, 1, 2], 7, [True, False])
