"""Parameters as DeepSpeed's ZeRO-3 partitions them. The soak part `training` runs DeepSpeed itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import fanin
import fanin.torch

AVAILABLE, NOT_AVAILABLE = SimpleNamespace(name="AVAILABLE"), SimpleNamespace(name="NOT_AVAILABLE")


def build() -> nn.Module:
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 5), nn.LayerNorm(5))
    nn.init.orthogonal_(model[1].weight)  # type: ignore[arg-type]
    return model


def partitioned(ranks: int) -> nn.Module:
    """Return a model whose parameters have the attributes that `deepspeed.zero.Init` gives them."""
    model = build()
    for parameter in model.parameters():
        given: Any = parameter
        given.ds_numel, given.ds_shape = parameter.numel(), parameter.shape
        given.ds_tensor = torch.full((-(-parameter.numel() // ranks),), torch.nan)
        given.ds_process_group, given.ds_status = None, NOT_AVAILABLE
        parameter.data = torch.empty(0)
    return model


def at(rank: int, ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "get_rank", lambda _group: rank)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda _group: ranks)


@pytest.mark.parametrize("ranks", [1, 3, 8])
def test_the_parts_of_all_ranks_are_the_tensor(ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = fanin.torch.record(build, seed=3)
    parts: dict[str, list[torch.Tensor]] = {}
    for rank in range(ranks):
        at(rank, ranks, monkeypatch)
        model = fanin.torch.init_zero3_(partitioned(ranks), recording, seed=9)
        for name, parameter in model.named_parameters():
            parts.setdefault(name, []).append(parameter.ds_tensor)  # type: ignore[attr-defined]
    full = fanin.materialize(recording.recipe.seeded(9))
    for name, array in full.items():
        flat = torch.cat(parts[name])
        assert torch.equal(flat[: array.size], torch.from_numpy(array).reshape(-1)), name
        assert not flat[array.size :].any()


def test_what_cannot_be_filled_is_refused_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    at(0, 2, monkeypatch)
    recording = fanin.torch.record(build)
    with pytest.raises(fanin.torch.ModuleError, match="no parameter of the module is partitioned"):
        fanin.torch.init_zero3_(build(), recording)
    model: Any = partitioned(2)
    model[0].weight.ds_status = AVAILABLE
    model[0].bias.ds_tensor = model[0].bias.ds_tensor.bfloat16()
    model[1].weight.ds_tensor = torch.full((4,), torch.nan)
    model[2].bias.ds_secondary_tensor = torch.zeros(3)
    with pytest.raises(fanin.torch.ModuleError) as caught:
        fanin.torch.init_zero3_(model, recording.recipe.part(["0.weight", "0.bias", "1.weight", "1.bias", "2.bias"]))
    assert {fault.pointer: fault.detail[:44] for fault in caught.value.faults} == {
        "/0.weight": "its parts are gathered: fill it outside of G",
        "/0.bias": "BF16 [5] in the module, F32 [5] in the recip",
        "/1.weight": "this rank has 4 of 25 elements, which is not",
        "/2.weight": "missing: the recipe has no such tensor",
        "/2.bias": "it has a second partition in each node (zero",
    }
    assert model[1].bias.ds_tensor.isnan().all()
