"""`fanin.torch.initializers`: torch's functions with a stream for each tensor."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

import fanin
import fanin.torch
from fanin import single
from fanin.torch import initializers as init
from fanin.torch import seeded
from fanin.torch.recorder.recording import FLOATING as DTYPES
from fanin.torch.writable import is_ready
from tests.torch import ranks

RANDOM = [name for name in init.__all__ if "generator" in inspect.signature(getattr(init, name)).parameters]


def test_names_and_parameters_are_those_of_torch() -> None:
    for name in init.__all__:
        if name == "seeded":
            continue
        ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (init, nn.init))
        shared = {key: value.default for key, value in ours.items() if key not in ("seed", "name")}
        assert shared == {key: value.default for key, value in theirs.items()}, name
    own = {name for name in nn.init.__all__ if name.endswith("_")}
    assert own <= set(init.__all__)


@pytest.mark.parametrize(
    ("call", "members"),
    [
        (lambda t: init.uniform_(t, -1.0, 2.0, seed=3, name="w"), {"scheme": "uniform_", "a": -1.0, "b": 2.0}),
        (lambda t: init.normal_(t, 1.0, 0.5, seed=3, name="w"), {"scheme": "normal_", "mean": 1.0, "std": 0.5}),
        (
            lambda t: init.trunc_normal_(t, std=0.5, b=1.0, seed=3, name="w"),
            {"scheme": "trunc_normal_", "std": 0.5, "b": 1.0},
        ),
        (lambda t: init.xavier_uniform_(t, 2.0, seed=3, name="w"), {"scheme": "xavier_uniform_", "gain": 2.0}),
        (lambda t: init.xavier_normal_(t, seed=3, name="w"), {"scheme": "xavier_normal_"}),
        (lambda t: init.kaiming_uniform_(t, 0.2, seed=3, name="w"), {"scheme": "kaiming_uniform_", "a": 0.2}),
        (
            lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu", seed=3, name="w"),
            {"scheme": "kaiming_normal_", "mode": "fan_out", "nonlinearity": "relu"},
        ),
        (
            lambda t: init.orthogonal_(t, gain=2.0, seed=3, name="w"),
            {"scheme": "orthogonal_", "gain": 2.0},
        ),
        (lambda t: init.sparse_(t, 0.3, seed=3, name="w"), {"scheme": "sparse_", "sparsity": 0.3}),
        (lambda t: init.constant_(t, 3.5), {"scheme": "constant_", "val": 3.5}),
        (init.ones_, {"scheme": "ones_"}),
        (init.zeros_, {"scheme": "zeros_"}),
        (init.eye_, {"scheme": "eye_"}),
    ],
)
def test_the_elements_are_those_of_the_dialect(
    call: Callable[[torch.Tensor], torch.Tensor], members: dict[str, Any]
) -> None:
    tensor = torch.empty(7, 9)
    assert call(tensor) is tensor
    recipe = {"seed": 3, "dialect": "torch", "tensors": {"w": {"shape": [7, 9], **members}}}
    assert tensor.numpy().tobytes() == fanin.materialize(recipe)["w"].tobytes()


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature:UserWarning")
@pytest.mark.parametrize("dtype", list(DTYPES))
def test_memory_does_not_change_the_elements(dtype: torch.dtype) -> None:
    """Dense tensors are written by their address, the others through a layout, constants by torch."""
    calls: list[Callable[[torch.Tensor, str], torch.Tensor]] = [
        lambda t, name: init.normal_(t, std=0.5, seed=3, name=name),
        lambda t, name: init.constant_(t, 0.3),
        lambda t, name: init.constant_(t, -0.0),
        lambda t, name: init.ones_(t),
        lambda t, name: init.zeros_(t),
        lambda t, name: init.eye_(t),
    ]
    if not dtype.is_complex:
        calls += [
            lambda t, name: init.uniform_(t, -0.7, 0.3, seed=3, name=name),
            lambda t, name: init.trunc_normal_(t, std=0.5, seed=3, name=name),
            lambda t, name: init.sparse_(t, 0.3, seed=3, name=name),
        ]
    for call in calls:
        for name in ("a", "b"):
            dense, apart = torch.empty(17, 40, dtype=dtype), torch.empty(17, 80, dtype=dtype)[:, ::2]
            parameter = nn.Parameter(torch.empty(17, 40, dtype=dtype))
            assert is_ready(dense)
            assert is_ready(parameter)
            assert not is_ready(apart)
            wanted = call(apart, name).contiguous().view(torch.uint8)
            for tensor in (dense, parameter):
                version = tensor._version
                call(tensor, name)
                assert torch.equal(tensor.detach().view(torch.uint8), wanted)
                assert tensor._version > version


def test_equal_members_are_validated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later calls with other seeds, names and modules create no recipe, layout or header."""
    init.normal_(torch.empty(5, 3), std=0.125, seed=1, name="a")
    wanted = init.normal_(torch.empty(5, 3), std=0.125, seed=2, name="b")
    fanin.he_normal((5, 3), negative_slope=0.5)
    module = nn.Linear(3, 5)
    monkeypatch.setattr(single, "FileLayout", None)
    assert torch.equal(init.normal_(torch.empty(5, 3), std=0.125, seed=2, name="b"), wanted)
    with seeded(2, module):
        init.normal_(module.weight, std=0.125)
    fanin.he_normal((5, 3), negative_slope=0.5, seed=4, name="c")


def test_what_was_valid_before_excuses_no_other_call() -> None:
    tensor = torch.empty(4, 4)
    init.normal_(tensor, mean=1.0, std=1, seed=1, name="w")
    init.dirac_(torch.empty(4, 4, 3), groups=1)
    fanin.he_normal((4, 1), in_axes=(0,), out_axes=(1,))
    fanin.he_normal((4, 1))
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: init.normal_(tensor, mean=1.0, std=True, seed=1, name="w"), "/tensors/w/std"),  # type: ignore[arg-type]
        (lambda: init.normal_(tensor, mean=1.0, std=1, seed=1, name="a\nb"), "/tensors/a\nb"),
        (lambda: init.normal_(tensor, mean=1.0, std=1, seed=1, name=""), "/tensors/"),
        (lambda: init.normal_(tensor, mean=1.0, std=1, seed=1, name="__metadata__"), "/tensors/__metadata__"),
        (lambda: init.normal_(tensor, mean=1.0, std=1, seed=-1, name="w"), "/seed"),
        (lambda: init.normal_(tensor, mean=1.0, std=1, seed=2**64, name="w"), "/seed"),
        (lambda: init.normal_(tensor, mean=1.0, std=[1.0], seed=1, name="w"), "/tensors/w/std"),  # type: ignore[arg-type]
        (lambda: init.dirac_(torch.empty(4, 4, 3), groups=1.0), "/tensors/constant/groups"),  # type: ignore[arg-type]
        (lambda: fanin.he_normal((4, True), in_axes=(0,), out_axes=(1,)), "/tensors/weight/shape/1"),
        (lambda: fanin.he_normal((4, True)), "/tensors/weight/shape/1"),
        (lambda: fanin.he_normal((4, 1.0)), "/tensors/weight/shape/1"),  # type: ignore[arg-type]
        (lambda: fanin.he_normal((4, 1), in_axes=(False,), out_axes=(1,)), "/tensors/weight/in_axes/0"),
    ]
    for call, pointer in wrong:
        with pytest.raises(fanin.RecipeError) as caught:
            call()
        assert pointer in {fault.pointer for fault in caught.value.faults}


def test_the_environment_chooses_the_backend_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.empty(4)
    init.normal_(tensor, seed=1, name="w")
    monkeypatch.setenv("FANIN_BACKEND", "none")
    with pytest.raises(fanin.BackendError, match="'none'"):
        init.normal_(tensor, seed=1, name="w")
    monkeypatch.setenv("FANIN_BACKEND", "")
    init.normal_(tensor, seed=1, name="w")
    monkeypatch.setenv("FANIN_BACKEND", "reference")
    assert torch.equal(init.normal_(torch.empty(4), seed=1, name="w"), tensor)


def test_convolutions_and_matrices() -> None:
    kernel, expected = torch.empty(6, 3, 3, 3), torch.empty(6, 3, 3, 3)
    assert torch.equal(init.dirac_(kernel, groups=2), nn.init.dirac_(expected, groups=2))
    q = init.orthogonal_(torch.empty(8, 2, 3), gain=2, seed=1, name="q").reshape(8, 6)
    torch.testing.assert_close(q.T @ q, 4 * torch.eye(6))


def test_within_seeded_a_tensor_has_its_name_in_the_module() -> None:
    module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))
    with seeded(42, module):
        init.normal_(module[0].weight.data)
        init.uniform_(module[1].running_mean)
        init.zeros_(module[0].bias)
    recipe = {
        "seed": 42,
        "tensors": {
            "0.weight": {"shape": [5, 6], "scheme": "normal", "std": 1.0},
            "1.running_mean": {"shape": [5], "scheme": "uniform", "low": 0.0, "high": 1.0},
        },
    }
    for name, made in fanin.materialize(recipe).items():
        assert module.state_dict()[name].numpy().tobytes() == made.tobytes()
    assert not module[0].bias.any()
    assert module[0].weight.requires_grad


def test_the_order_of_calls_and_contexts_within_one_another_change_nothing() -> None:
    one, two = (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2))
    with seeded(1, one):
        for layer in one:
            init.normal_(layer.weight)
        with seeded(2, two):
            init.normal_(two[0].weight)
        init.normal_(one[0].weight)
    with seeded(1, two):
        for layer in reversed(two):
            init.normal_(layer.weight)
    assert torch.equal(one[0].weight, two[0].weight)
    assert torch.equal(one[1].weight, two[1].weight)
    assert not torch.equal(one[0].weight, one[1].weight)


@pytest.mark.parametrize(
    ("device", "move"),
    [
        ("cpu", lambda model: model.half().float()),
        ("cpu", lambda model: model.to_empty(device="cpu")),
        ("meta", lambda model: model.to_empty(device="cpu")),
    ],
)
def test_within_seeded_a_module_may_get_other_memory(device: str, move: Callable[[nn.Module], nn.Module]) -> None:
    # Some of many tensors of one size get memory at an address that another one had before.
    model = nn.Sequential(*(nn.Linear(8, 8, bias=False, device=device) for _ in range(24)))
    with seeded(42, model):
        move(model)
        for layer in model:
            init.normal_(layer.weight)
    tensors = {f"{n}.weight": {"shape": [8, 8], "scheme": "normal", "std": 1.0} for n in range(24)}
    for name, made in fanin.materialize({"seed": 42, "tensors": tensors}).items():
        assert model.state_dict()[name].numpy().tobytes() == made.tobytes(), name


def test_misuse_is_an_error() -> None:
    module = nn.Linear(4, 4)
    with pytest.raises(ValueError, match="no seed"):
        init.normal_(module.weight)
    with pytest.raises(ValueError, match="both seed and name"):
        init.normal_(module.weight, seed=1)
    with pytest.raises(ValueError, match="both seed and name"):
        init.normal_(module.weight, name="weight")
    with seeded(1, module):
        with pytest.raises(ValueError, match=r"\(float32 \[2, 4\]\) is not a full parameter"):
            init.normal_(module.weight[:2])
        with pytest.raises(ValueError, match="generator"):
            init.normal_(module.weight, generator=torch.Generator())
    with pytest.raises(ValueError, match="int64 cannot be filled"):
        init.normal_(torch.zeros(3, dtype=torch.int64), seed=1, name="w")
    with pytest.raises(fanin.RecipeError, match="/tensors/w"):
        init.kaiming_normal_(torch.zeros(3), seed=1, name="w")
    assert RANDOM
    for name in RANDOM:
        with pytest.raises(ValueError, match="no seed"):
            getattr(init, name)(module.weight, **({"sparsity": 0.5} if name == "sparse_" else {}))


WITHOUT_WIDTH: list[tuple[str, tuple[float, ...]]] = [
    ("normal_", (1.5, 0.0)),
    ("uniform_", (0.1, 0.1)),
    ("trunc_normal_", (0.0, 1.0, 0.3, 0.3)),
    ("xavier_uniform_", (0.0,)),
    ("xavier_normal_", (0.0,)),
    ("orthogonal_", (0.0,)),
    ("sparse_", (0.5, 0.0)),
]


@pytest.mark.parametrize(("name", "parameters"), WITHOUT_WIDTH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distributions_without_width_are_one_value(
    name: str, parameters: tuple[float, ...], dtype: torch.dtype
) -> None:
    ours, theirs = torch.full((4, 3), 7, dtype=dtype), torch.full((4, 3), 7, dtype=dtype)
    getattr(init, name)(ours, *parameters, seed=1, name="w")
    assert torch.equal(ours, getattr(nn.init, name)(theirs, *parameters))


@pytest.mark.parametrize(
    "call",
    [
        lambda module: module.constant_(torch.zeros(3), math.inf),
        lambda module: module.constant_(torch.zeros(3), -math.inf),
        lambda module: module.constant_(torch.zeros(3, dtype=torch.complex64), 1 + 2j),
        lambda module: module.constant_(torch.zeros(3, dtype=torch.int64), 4),
        lambda module: module.constant_(torch.zeros(3, dtype=torch.complex128), 0.1),
        lambda module: module.ones_(torch.zeros(3, dtype=torch.bool)),
        lambda module: module.zeros_(torch.ones(3, dtype=torch.uint8)),
        lambda module: module.eye_(torch.ones(3, 2, dtype=torch.int32)),
        lambda module: module.dirac_(torch.ones(4, 2, 3, dtype=torch.int32), 2),
    ],
)
def test_constants_that_no_recipe_has_are_torchs(call: Callable[[Any], torch.Tensor]) -> None:
    assert torch.equal(call(init), call(nn.init))


def test_bounds_without_end_and_a_negative_gain() -> None:
    members = {"shape": [50], "scheme": "truncated_normal", "std": 1.0, "bounds": "absolute"}
    for low, high in ((-math.inf, 0.5), (0.5, math.inf), (-math.inf, math.inf)):
        tensor = init.trunc_normal_(torch.empty(50), a=low, b=high, seed=3, name="weight")
        ends = {"low": None if math.isinf(low) else low, "high": None if math.isinf(high) else high}
        assert tensor.numpy().tobytes() == fanin.materialize({"seed": 3, **members, **ends})["weight"].tobytes()
        assert low <= tensor.min() <= tensor.max() <= high
    q = init.orthogonal_(torch.empty(5, 3), gain=-2, seed=1, name="q")
    torch.testing.assert_close(q.T @ q, 4 * torch.eye(3))
    for call in (init.xavier_uniform_, init.xavier_normal_):
        with pytest.raises(fanin.RecipeError, match="gain"):  # torch's distributions have no such width either
            call(torch.empty(5, 3), gain=-1.0, seed=1, name="w")


def test_tensors_without_elements() -> None:
    module = nn.Module()
    module.weight = nn.Parameter(torch.empty(0, 4))
    with seeded(1, module):
        for name in RANDOM:
            parameters = {"sparsity": 0.5} if name == "sparse_" else {}
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                assert getattr(init, name)(module.weight.data, **parameters).shape == (0, 4)
            assert [str(each.message) for each in caught] == ["Initializing zero-element tensors is a no-op"] * (
                "kaiming" in name
            )


def test_parameters_that_deepspeed_has_partitioned_are_refused() -> None:
    layer = nn.Linear(4, 4)
    layer.weight.ds_shape = layer.weight.shape  # type: ignore[assignment]  # as DeepSpeed keeps it
    init.normal_(layer.weight, seed=3, name="w")  # gathered
    layer.weight.data = torch.empty(0)
    for call in (
        lambda: init.normal_(layer.weight, seed=3, name="w"),
        lambda: init.kaiming_normal_(layer.weight, seed=3, name="w"),
        lambda: init.zeros_(layer.weight),
    ):
        with pytest.raises(ValueError, match=r"partitioned: fill it within deepspeed\.zero\.GatheredParameters"):
            call()
    recipe = {"tensors": {"weight": {"shape": [4, 4], "scheme": "ones"}, "bias": {"shape": [4], "scheme": "ones"}}}
    with pytest.raises(fanin.torch.ModuleError, match="weight: a parameter that DeepSpeed has partitioned"):
        fanin.torch.init_(layer, recipe)


@pytest.mark.parametrize(
    "computed",
    [
        lambda layer: nn.utils.parametrizations.weight_norm(layer).weight,
        lambda layer: nn.utils.parametrizations.weight_norm(layer).weight[:2],
        lambda layer: layer.weight.double(),
    ],
)
def test_values_that_torch_has_computed_are_refused(computed: Callable[[nn.Linear], torch.Tensor]) -> None:
    tensor = computed(nn.Linear(4, 4))
    for call in (lambda: init.normal_(tensor, seed=3, name="w"), lambda: init.zeros_(tensor)):
        with pytest.raises(ValueError, match="has computed it from other tensors"):
            call()


def test_views_of_parameters_are_filled() -> None:
    layer = nn.Linear(4, 4)
    init.ones_(layer.weight[:2])
    init.normal_(layer.weight.T, seed=3, name="w")
    expected = init.normal_(torch.empty(4, 4), seed=3, name="w")
    assert torch.equal(layer.weight.T, expected)


def test_shards_of_fully_sharded_data_parallel_are_refused() -> None:
    layer = nn.Linear(4, 4)
    for parameter in layer.parameters():
        parameter._fsdp_flattened = True  # type: ignore[attr-defined]  # as it marks them
    init.kaiming_normal_(layer.weight, seed=3, name="w")  # within summon_full_params
    layer.weight.data = torch.zeros(7)  # a rank's own part of several
    with pytest.raises(ValueError, match="FullyShardedDataParallel may have any part of it"):
        init.normal_(layer.weight, seed=3, name="w")
    init.zeros_(layer.weight)


def unevenly() -> list[str]:
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (2,))
    rank = torch.distributed.get_rank()
    found = []
    for rows in (2 * rank + 1, 3):
        part = DTensor.from_local(torch.zeros(rows, 2), mesh, [Shard(0)], run_check=False, shape=(4, 2), stride=(2, 1))
        module = nn.Module()
        module.weight = nn.Parameter(part)
        recipe = {"tensors": {"weight": {"shape": [4, 2], "scheme": "normal", "std": 1}}}
        for fill in (partial(init.normal_, part, seed=1, name="w"), partial(fanin.torch.init_, module, recipe)):
            try:
                fill()
            except ValueError as error:
                found.append(str(error))
        found.append(str(part.to_local().any().item()))
    return found


def test_shards_that_torch_does_not_split_so_are_refused() -> None:
    words = "this rank has a shard of shape ({}, 2), where torch splits (4, 2) into one of (2, 2)"
    for rank, answer in enumerate(ranks.run(2, unevenly)):
        for rows in (2 * rank + 1, 3):
            one, other, is_filled, *answer = answer
            assert one == words.format(rows)
            assert other.endswith(words.format(rows))
            assert is_filled == "False"


def test_old_names_and_what_user_code_imports() -> None:
    own = {name for name, value in vars(nn.init).items() if hasattr(nn.init, f"{name}_") and callable(value)}
    assert len(own) == 11
    for name in sorted(own):
        old, new = getattr(init, name), getattr(init, f"{name}_")
        assert inspect.signature(old) == inspect.signature(new)
        shape = (4, 2, 3) if name == "dirac" else (4, 3)
        parameters = {"constant": {"val": 2.0}, "sparse": {"sparsity": 0.5}}.get(name, {})
        stream = {"seed": 1, "name": "w"} if f"{name}_" in RANDOM else {}
        with pytest.warns(FutureWarning, match=f"`{name}` is deprecated"):
            made = old(torch.empty(shape), **parameters, **stream)
        assert torch.equal(made, new(torch.empty(shape), **parameters, **stream))
    for name in ("calculate_gain", "_calculate_fan_in_and_fan_out", "_calculate_correct_fan"):
        assert getattr(init, name) is getattr(nn.init, name)


def test_on_the_meta_device_nothing_happens() -> None:
    module = nn.Linear(4, 4, device="meta")
    with seeded(1, module):
        assert init.normal_(module.weight).is_meta


def sharded() -> str:
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (2,))
    module = nn.Module()
    module.weight = nn.Parameter(distribute_tensor(torch.zeros(9, 7), mesh, [Shard(0)]))
    module.other = nn.Parameter(distribute_tensor(torch.zeros(9, 7), mesh, [Shard(1)]))
    with seeded(5, module):
        init.xavier_normal_(module.weight)
        init.orthogonal_(module.other)
    assert isinstance(module.weight, DTensor)
    return ranks.digest(module.state_dict())


def test_dtensors_are_filled_with_the_fans_of_the_whole() -> None:
    module = nn.Module()
    module.weight, module.other = (nn.Parameter(torch.zeros(9, 7)) for _ in range(2))
    with seeded(5, module):
        init.xavier_normal_(module.weight)
        init.orthogonal_(module.other)
    assert ranks.run(2, sharded) == [ranks.digest(module.state_dict())] * 2


def test_importing_the_package_is_light() -> None:
    code = "import fanin.torch, sys; assert 'torch' not in sys.modules and 'numpy' not in sys.modules; dir(fanin.torch)"
    subprocess.run([sys.executable, "-c", code], check=True)
