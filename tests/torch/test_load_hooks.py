"""Modules whose hooks give their state dict other tensors than their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

import fanin
from fanin.torch import ModuleError, RecordError, Recording, init_, record
from fanin.torch.recorder.claims import Claims
from tests.torch import ranks

HEADS, SIZE, WIDE = 2, 8, 32


class Attention(nn.Module):
    """One projection for q, k and v, grouped by key heads. Its state dict has three, as torchtitan's has."""

    def __init__(self, axis: int = 0) -> None:
        super().__init__()
        self.axis = axis
        shape = [WIDE, WIDE]
        shape[axis] = 4 * HEADS * SIZE
        self.qkv = nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))
        self.bias = nn.Parameter(torch.zeros(4 * HEADS * SIZE))
        self.register_state_dict_post_hook(_split)
        self.register_load_state_dict_pre_hook(_join)


def _split(module: Attention, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    whole = state.pop(f"{prefix}qkv").movedim(module.axis, 0)
    q, k, v = whole.unflatten(0, (HEADS, 4, SIZE)).split([2, 1, 1], 1)
    for name, part in (("q", q), ("k", k), ("v", v)):
        state[f"{prefix}{name}"] = part.reshape(-1, WIDE).movedim(0, module.axis).contiguous()


def _join(module: Attention, state: dict[str, Any], prefix: str, *_: Any) -> None:
    if not all(f"{prefix}{name}" in state for name in "qkv"):
        return
    parts = [state.pop(f"{prefix}{name}").unflatten(module.axis, (HEADS, -1, SIZE)) for name in "qkv"]
    state[f"{prefix}qkv"] = torch.cat(parts, module.axis + 1).flatten(module.axis, module.axis + 2)


class Renamed(nn.Module):
    """Its state dict has an old name for the weight, and no counter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4, 3))
        nn.init.uniform_(self.weight, -1, 1)
        self.register_state_dict_post_hook(lambda _m, state, prefix, _d: _move(state, f"{prefix}weight", f"{prefix}w"))
        self.register_load_state_dict_pre_hook(
            lambda _m, state, prefix, *_: _move(state, f"{prefix}w", f"{prefix}weight")
        )


def _move(state: dict[str, Any], old: str, new: str) -> None:
    state[new] = state.pop(old)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Attention(), Attention(1), Renamed(), nn.Linear(WIDE, 5)])


def _loaded(recording: Recording) -> nn.Module:
    """The model after `load_state_dict` of the recipe's tensors, which decides what is right."""
    model = Model()
    model.load_state_dict({name: torch.from_numpy(made) for name, made in fanin.materialize(recording.recipe).items()})
    return model


def _parameters(model: nn.Module) -> dict[str, np.ndarray[Any, Any]]:
    return {
        name: (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().numpy()
        for name, tensor in model.named_parameters()
    }


def test_a_state_dict_of_parts_is_recorded() -> None:
    recipe = record(Model, seed=1).recipe
    assert {name: tuple(tensor.shape) for name, tensor in Model().state_dict().items()} == {
        name: tensor.shape for name, tensor in recipe.tensors.items()
    }
    for name in ("layers.0.q", "layers.0.k", "layers.1.v"):
        assert recipe.tensors[name].scheme == "truncated_normal"
        assert recipe.tensors[name].std == pytest.approx(0.02)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_init_follows_the_load_hooks(device: str) -> None:
    recording = record(Model, seed=1)
    assert not recording.copies
    with torch.device(device):
        model = Model() if device == "cpu" else _on_meta()
    init_(model, recording, device="cpu")
    wanted = _parameters(_loaded(recording))
    assert {
        name: wanted[name].tobytes() == made.tobytes() for name, made in _parameters(model).items()
    } == dict.fromkeys(wanted, True)


def _on_meta() -> nn.Module:
    with torch.device("meta"):
        return Model()


def test_ranks_fill_their_shards() -> None:
    recording = record(Model, seed=1)
    wanted = {name: made.tobytes() for name, made in _parameters(_loaded(recording)).items()}
    assert ranks.run(2, _sharded) == [wanted, wanted]


def _sharded() -> dict[str, bytes]:
    mesh = init_device_mesh("cpu", (2,))
    model = _on_meta()
    by_columns = model.layers[0]  # type: ignore[index]
    by_columns.qkv = nn.Parameter(distribute_tensor(by_columns.qkv, mesh, [Shard(1)]))
    fully_shard(model, mesh=mesh, ignored_params={by_columns.qkv})
    init_(model, record(Model, seed=1))
    return {name: made.tobytes() for name, made in _parameters(model).items()}


class Hooked(nn.Module):
    def __init__(self, hook: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4, 6))

        def load(_module: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
            state[f"{prefix}weight"] = hook(state.pop(f"{prefix}w"))

        self.register_load_state_dict_pre_hook(load)


@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        (lambda tensor: tensor * 2, "its load hooks use aten.mul"),
        (lambda tensor: 1 - tensor, "its load hooks use aten.rsub"),
        (lambda tensor: tensor.clamp(0, 1), "its load hooks use aten.clamp"),
        (lambda tensor: tensor.clamp(-9, 9), "its load hooks use aten.clamp"),
        (lambda tensor: tensor.relu(), "its load hooks use aten.relu"),
        (lambda tensor: torch.maximum(tensor, torch.zeros(())), "its load hooks use aten.maximum"),
        (lambda tensor: tensor.reshape(6, 4).t(), "its load hooks compute or transpose it"),
        (lambda tensor: tensor.exp(), "its load hooks use aten.exp"),
        (lambda tensor: tensor @ torch.ones(6, 6), "its load hooks use aten.mm"),
        (lambda tensor: tensor[:3], r"F32 \[4, 6\] in the module, F32 \[3, 6\] in the recipe"),
        (lambda tensor: tensor.bfloat16(), "its load hooks cast torch.bfloat16 and torch.float32"),
        (lambda tensor: tensor.bfloat16().float(), "its load hooks cast"),
        (lambda tensor: torch.zeros(4, 6, dtype=torch.float64).copy_(tensor), "its load hooks cast"),
        (lambda tensor: tensor.clone(), ""),
        (lambda tensor: torch.cat([tensor[:2], torch.zeros(2, 6)]), ""),
    ],
)
def test_only_moves_are_followed(hook: Callable[[torch.Tensor], torch.Tensor], reason: str) -> None:
    recipe = {"seed": 7, "tensors": {"w": {"shape": [4, 6], "scheme": "normal", "std": 1}}}
    module = Hooked(hook)
    if reason:
        with pytest.raises(ModuleError, match=reason):
            init_(module, recipe)
        return
    init_(module, recipe)
    assert torch.equal(module.weight, hook(torch.from_numpy(fanin.materialize(recipe)["w"])))


def _replace_rows(state: dict[str, torch.Tensor], prefix: str) -> None:
    state[f"{prefix}x"][1:3] = state[f"{prefix}y"][:2]


def _double(state: dict[str, torch.Tensor], prefix: str) -> None:
    state[f"{prefix}x"].mul_(2)


def _round(state: dict[str, torch.Tensor], prefix: str) -> None:
    state[f"{prefix}x"].copy_(state[f"{prefix}y"].half())


class Pair(nn.Module):
    def __init__(self, change: Callable[[dict[str, torch.Tensor], str], None]) -> None:
        super().__init__()
        self.x, self.y = (nn.Parameter(torch.empty(4, 4)) for _ in range(2))
        self.register_load_state_dict_pre_hook(lambda _module, state, prefix, *_: change(state, prefix))


def test_hooks_may_write_to_the_tensors_of_a_state_dict() -> None:
    recipe = {"seed": 7, "tensors": {name: {"shape": [4, 4], "scheme": "normal", "std": 1} for name in "xy"}}
    wanted = {name: torch.from_numpy(array) for name, array in fanin.materialize(recipe).items()}
    _replace_rows(wanted, "")
    module = init_(Pair(_replace_rows), recipe)
    assert torch.equal(module.x, wanted["x"])
    assert torch.equal(module.y, wanted["y"])
    for change, reason in ((_double, "use aten.mul"), (_round, "cast")):
        with pytest.raises(ModuleError, match=f"/x: its load hooks {reason}"):
            init_(Pair(change), recipe)


def test_a_cast_above_holds_for_the_hooks_below() -> None:
    def move(state: dict[str, torch.Tensor], prefix: str) -> None:
        state[f"{prefix}x"] = state.pop(f"{prefix}z")

    def cast(_module: Any, state: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
        state[f"{prefix}0.z"] = state.pop(f"{prefix}z").half().float()

    recipe = {"tensors": {name: {"shape": [4, 4], "scheme": "normal", "std": 1} for name in ("z", "0.y")}}
    module = nn.Sequential(Pair(move))
    module.register_load_state_dict_pre_hook(cast)
    with pytest.raises(ModuleError, match=r"/0\.x: its load hooks cast"):
        init_(module, recipe)


def test_hooks_may_write_to_what_a_hook_above_has_derived() -> None:
    """The module below gets the tensor that its own hook has changed, under all names that its hook can see."""

    def split(_module: Any, state: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
        whole = state.pop(f"{prefix}z")
        state[f"{prefix}0.x"] = state[f"{prefix}0.y"] = whole[1:5]

    def zero(state: dict[str, torch.Tensor], prefix: str) -> None:
        state[f"{prefix}y"][2] = 0

    recipe = {"seed": 7, "tensors": {"z": {"shape": [6, 4], "scheme": "normal", "std": 1}}}
    wanted = torch.from_numpy(fanin.materialize(recipe)["z"])[1:5].clone()
    wanted[2] = 0
    module = nn.Sequential(Pair(zero))
    module.register_load_state_dict_pre_hook(split)
    init_(module, recipe)
    assert torch.equal(module[0].x, wanted)
    assert torch.equal(module[0].y, wanted)


def test_a_tensor_that_another_module_writes_to_is_refused() -> None:
    """The order of the modules decides which numbers it has: the old ones or the new."""

    def share(_module: Any, state: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
        for name in ("0.x", "0.y", "1.x", "1.y"):
            state[f"{prefix}{name}"] = state[f"{prefix}z"]
        del state[f"{prefix}z"]

    def zero(state: dict[str, torch.Tensor], prefix: str) -> None:
        state[f"{prefix}x"][0] = 0

    module = nn.Sequential(Pair(lambda *_: None), Pair(zero))
    module.register_load_state_dict_pre_hook(share)
    with pytest.raises(ModuleError, match=r"/0\.x: a load hook of another module writes to it"):
        init_(module, {"tensors": {"z": {"shape": [4, 4], "scheme": "normal", "std": 1}}})


def test_names_of_a_recipe_can_have_parts_of_wrappers() -> None:
    law = {"shape": [4, 4], "scheme": "normal", "std": 1}
    with pytest.raises(ModuleError, match=r"/_orig_mod\.z: unexpected"):
        init_(Pair(lambda *_: None), {"tensors": dict.fromkeys(("x", "y", "_orig_mod.z"), law)})


def test_a_hook_that_fails_is_named() -> None:
    recipe = {"seed": 7, "tensors": {"0.w": {"shape": [4, 6], "scheme": "normal", "std": 1}}}
    module = nn.Sequential(Hooked(lambda tensor: torch.from_numpy(tensor.numpy())))
    with pytest.raises(RecordError, match="a load hook of '0' fails on tensors without memory: TypeError"):
        init_(module, recipe)


def test_claims_find_the_first_tensor_with_a_random_number() -> None:
    claims = Claims()
    assert [claims.claim(*given) for given in ((10, 20, "a"), (20, 30, "b"), (0, 10, "c"))] == [None] * 3
    assert claims.claim(18, 40, "d") == "a"
    assert claims.claim(35, 50, "e") == "d"
    assert claims.claim(0, 60, "f") == "c"
    assert claims.claim(55, 56, "g") == "f"
