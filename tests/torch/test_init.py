"""`fanin.torch.init_`: modules filled in place, by their names."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

import fanin
from fanin import FileLayout
from fanin.torch import ModuleError, init_, initializers, record, save_checkpoint, seeded
from fanin.torch.recorder.recording import FLOATING as TORCH_DTYPES
from tests.support.servers import running
from tests.torch.filled import SCHEMES, Net, bits, check, recipe_of


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature:UserWarning")
@pytest.mark.parametrize("dtype", list(TORCH_DTYPES))
def test_every_storage_type_is_filled_in_place(dtype: torch.dtype) -> None:
    module = Net().to(dtype) if dtype.itemsize > 1 else Net().requires_grad_(False).to(dtype)
    before = {name: tensor.data_ptr() for name, tensor in module.named_parameters()}
    recipe = recipe_of(module)
    assert init_(module, recipe) is module
    check(module, recipe)
    assert {name: tensor.data_ptr() for name, tensor in module.named_parameters()} == before


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme["scheme"])
def test_every_kind_of_distribution(scheme: dict[str, Any]) -> None:
    module = nn.Linear(300, 11)
    init_(module, recipe_of(module, **scheme))
    check(module, recipe_of(module, **scheme))


def test_composed_distributions_and_matrices() -> None:
    module = nn.Sequential(nn.Embedding(40, 24), nn.Linear(24, 16))
    rows = [{"size": 1, "scheme": "zeros"}, {"size": 39, "scheme": "normal", "std": 1.0}]
    recipe = {
        "layout": "torch",
        "tensors": {
            "0.weight": {"shape": [40, 24], "scheme": "blocks", "parts": rows},
            "1.weight": {"shape": [16, 24], "scheme": "orthogonal"},
            "1.bias": {"shape": [16], "scheme": "zeros"},
        },
    }
    init_(module, recipe)
    check(module, recipe)
    with torch.no_grad():  # the same through memory that is not row-major
        module[0].weight.set_(torch.empty(24, 40).t())
        module[1].weight.set_(torch.empty(24, 16).t())
    init_(module, recipe)
    check(module, recipe)


def test_a_seed_in_place_of_the_recipes_own() -> None:
    module = nn.Linear(8, 8)
    init_(module, recipe_of(module, 1), seed=2)
    check(module, recipe_of(module, 2))


@pytest.mark.parametrize(
    "spell", [dict, fanin.as_recipe, FileLayout.of, json.dumps, lambda recipe: json.dumps(recipe).encode()]
)
def test_a_recipe_in_any_spelling(spell: Callable[[Any], Any]) -> None:
    module = nn.Linear(8, 8)
    recipe = recipe_of(module)
    init_(module, spell(recipe))
    check(module, recipe)


def test_a_recipe_from_its_file_or_from_the_weights(tmp_path: Path) -> None:
    module = nn.Linear(8, 8)
    recipe = recipe_of(module)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    fanin.save(recipe, tmp_path / "model.safetensors")
    for path in (tmp_path / "recipe.json", tmp_path / "model.safetensors"):
        nn.init.zeros_(module.weight)
        init_(module, path)
        check(module, recipe)
    with pytest.raises(FileNotFoundError):
        init_(module, tmp_path / "absent.json")


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tied_weights_are_one_memory_filled_once(device: str) -> None:
    with torch.device(device):
        module = Net()
    module.head.weight = module.embedding.weight
    recipe = recipe_of(module)
    del recipe["tensors"]["embedding.weight"]
    init_(module, recipe)
    assert module.head.weight is module.embedding.weight
    check(module, recipe)


def test_everything_that_does_not_fit_is_told_at_once_and_nothing_is_written() -> None:
    module = Net()
    module.register_buffer("counter", torch.zeros(1))
    module.tied = nn.Linear(33, 12, bias=False)
    module.tied.weight = module.head.weight
    recipe = recipe_of(module)
    tensors = recipe["tensors"]
    del tensors["counter"], tensors["embedding.weight"]
    tensors["norm.bias"]["shape"] = [13]
    tensors["norm.weight"]["dtype"] = "BF16"
    tensors["other"] = {"shape": [2], "scheme": "ones"}
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(ModuleError) as caught:
        init_(module, recipe)
    assert {fault.pointer: fault.detail for fault in caught.value.faults} == {
        "/counter": "missing: the recipe has no such tensor",
        "/embedding.weight": "missing: the recipe has no such tensor",
        "/norm.bias": "F32 [12] in the module, F32 [13] in the recipe",
        "/norm.weight": "F32 [12] in the module, BF16 [12] in the recipe",
        "/head.weight": "the module has one memory for it and tied.weight, the recipe two",
        "/other": "unexpected: the module has no such tensor",
    }
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
    with pytest.raises(ModuleError, match=r"norm\.bias") as caught:
        init_(module, recipe, strict=False)
    assert len(caught.value.faults) == 2
    del tensors["norm.bias"], tensors["norm.weight"]
    init_(module, recipe, strict=False)
    assert torch.equal(module.embedding.weight, before["embedding.weight"])
    assert bits(module.head.weight) == fanin.materialize(recipe)["head.weight"].tobytes()


def test_arguments_of_other_types_are_refused() -> None:
    module = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"^module must be a torch.nn.Module, not OrderedDict$"):
        init_(module.state_dict(), recipe_of(module))  # type: ignore[type-var]
    with pytest.raises(TypeError, match=r"^names must be a mapping of names, not function$"):
        init_(module, recipe_of(module), names=lambda name: name)  # type: ignore[arg-type]


def test_names_within_wrappers() -> None:
    """Those of activation checkpointing, and those that torch.compile gives."""
    plain = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    recipe = recipe_of(plain)
    compiled = nn.Module()
    compiled._orig_mod = nn.Sequential(checkpoint_wrapper(plain[0]), plain[1])
    init_(compiled, recipe)
    check(plain, recipe)


def test_autograd_is_told() -> None:
    module = nn.Linear(4, 4)
    loss = (module.weight * module.weight).sum()
    init_(module, recipe_of(module))
    assert module.weight.requires_grad
    assert module.weight.is_leaf
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


class Annotated(nn.Parameter):
    """As in inference engines: a parameter with a separate loader."""


class Statistic(torch.Tensor):
    pass


def test_classes_and_attributes_survive_the_meta_device() -> None:
    module = nn.Module()
    module.weight = Annotated(torch.empty(3, 3, device="meta"), requires_grad=False)
    module.weight.loader = "rows"
    module.register_buffer("mean", torch.empty(3, device="meta").as_subclass(Statistic))
    module.mean.decay = 0.9
    recipe = recipe_of(module)
    init_(module, recipe, device="cpu")
    check(module, recipe)
    assert type(module.weight) is Annotated
    assert (module.weight.loader, module.weight.requires_grad) == ("rows", False)
    assert type(module.mean) is Statistic
    assert module.mean.decay == 0.9


def test_what_stays_without_memory_is_named() -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).to("meta")
    recipe = {"tensors": {"0.weight": {"shape": [3, 3], "scheme": "normal", "std": 1.0}}}
    with pytest.warns(UserWarning, match="meta device, without values: 1.weight"):
        init_(module, recipe, strict=False, device="cpu")
    assert not module[0].weight.is_meta


def test_a_layout_is_given_where_the_distribution_depends_on_it(tmp_path: Path) -> None:
    recipe = {"shape": [1000, 10], "scheme": "he_normal"}
    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros(1000, 10))
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe))
    for spelt in (recipe, path, fanin.as_recipe(recipe), FileLayout.of(recipe), json.dumps(recipe)):
        with pytest.raises(fanin.RecipeError, match='add "layout": "torch" to the recipe') as caught:
            init_(module, spelt, seed=1)
        assert [fault.pointer for fault in caught.value.faults] == ["/tensors/weight/layout"]
    assert not module.weight.any()
    assert abs(init_(module, {**recipe, "layout": "torch"}).weight.std().item() - math.sqrt(2 / 10)) < 0.02
    keras = fanin.as_recipe({**recipe, "layout": "keras"})
    assert abs(init_(module, keras).weight.std().item() - math.sqrt(2 / 1000)) < 0.002
    init_(module, {**recipe, "scheme": "HeNormal", "dialect": "keras"})
    fanin.save(recipe, tmp_path / "weights.safetensors")
    init_(module, tmp_path / "weights.safetensors")  # its bytes are settled
    check(module, recipe)


@pytest.fixture
def other_defaults() -> Iterator[None]:
    """A default device without memory, and another default type."""
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("other_defaults")
def test_defaults_of_torch_change_nothing(tmp_path: Path) -> None:
    module = nn.Linear(300, 200, bias=False, device="cpu", dtype=torch.float32)
    recipe = recipe_of(module)
    init_(module, recipe)
    check(module, recipe)
    with seeded(7, module):
        initializers.normal_(module.weight, std=0.5)
    check(module, recipe)
    recording = record(lambda: nn.BatchNorm1d(3, device="cpu", dtype=torch.float32))
    assert recording.recipe.tensors["num_batches_tracked"].scheme == "zeros"
    save_checkpoint(recording, tmp_path / "dcp")
    save_checkpoint(recipe, tmp_path / "st", format="safetensors")
    absent = nn.Linear(300, 200, bias=False, dtype=torch.float32)
    with pytest.raises(ValueError, match="device is meta, which has no memory: pass device="):
        init_(absent, recipe)
    check(init_(absent, recipe, device="cpu"), recipe)


def test_other_names_and_axes() -> None:
    recipe = {
        "layout": "torch",
        "seed": 4,
        "tensors": {"k": {"shape": [3, 5, 2, 4], "scheme": "he_normal"}, "b": {"shape": [4], **SCHEMES[0]}},
    }
    names = {"weight": ("k", (3, 2, 0, 1)), "bias": "b"}
    for module in (nn.Conv2d(2, 4, (3, 5)), nn.Conv2d(2, 4, (3, 5)).to(memory_format=torch.channels_last)):
        assert init_(module, recipe, names=names) is module
        made = fanin.materialize(recipe)
        np.testing.assert_array_equal(module.weight.detach().numpy(), made["k"].transpose(3, 2, 0, 1))
        np.testing.assert_array_equal(module.bias.detach().numpy(), made["b"])
    with running() as server:
        fetched = init_(nn.Conv2d(2, 4, (3, 5)), recipe, names=names, service=server.url)
    assert bits(fetched.weight) == bits(module.weight)


@pytest.mark.parametrize(
    ("names", "name", "words"),
    [
        ({"weight": "absent"}, "weight", "no tensor 'absent'"),
        ({"nowhere": "w"}, "nowhere", "the module has no such tensor"),
        ({"weight": ("w", (0, 0))}, "weight", "not a permutation of the 2 axes"),
        ({"weight": ("w", (0, 1))}, "weight", "F32 [8, 4] in the module, F32 [4, 8] in the recipe"),
    ],
)
def test_wrong_names_are_refused(names: Any, name: str, words: str) -> None:
    module = nn.Linear(4, 8, bias=False)
    recipe = {"tensors": {"w": {"shape": [4, 8], **SCHEMES[0]}}}
    for strict in (True, False):
        with pytest.raises(ModuleError) as caught:
            init_(module, recipe, names=names, strict=strict)
        assert {fault.pointer: fault.detail for fault in caught.value.faults}[f"/{name}"].count(words) == 1


def test_from_a_service(tmp_path: Path) -> None:
    module = Net()
    module.head.weight = nn.Parameter(torch.empty(12, 33).t())
    recipe = recipe_of(module)
    with running() as server:
        init_(module, recipe, service=server.url)
        check(module, recipe)
        with fanin.Client(server.url, where="remote", verify="full") as client:
            init_(module, recipe, seed=9, service=client)
            check(module, {**recipe, "seed": 9})
    with pytest.raises(ValueError, match="URL"):
        init_(module, recipe, service="remote")
