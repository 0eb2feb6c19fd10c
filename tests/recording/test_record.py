"""Recipes of models of torch, recorded from their construction."""

from __future__ import annotations

import copy
import gc
import math
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fanin
import fanin.torch
from fanin.torch import RecordError, Recording, record
from fanin.torch.recorder import recording, threads
from fanin.torch.recorder.shadow_memory import Memory
from tests.recording.comparing import recorded_as_it_runs

pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")


class Block(nn.Module):
    """A residual block, as in torchvision's ResNet."""

    def __init__(self, wide: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(wide, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = nn.Sequential(nn.Conv2d(wide, out, 1, stride, bias=False), nn.BatchNorm2d(out))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.layers = nn.ModuleList([Block(32, 32, 1), Block(32, 64, 2)])
        self.fc = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, 1)
                nn.init.constant_(module.bias, 0)
        for module in self.modules():
            if isinstance(module, Block):
                nn.init.constant_(module.bn2.weight, 0)


@pytest.mark.parametrize(
    "build",
    [
        ResNet,
        lambda: nn.LSTM(40, 48, 2, bidirectional=True),
        lambda: nn.GRU(40, 48),
        lambda: nn.Transformer(48, 4, 2, 2, 96),
        lambda: nn.MultiheadAttention(64, 4, kdim=32, vdim=48, add_bias_kv=True),
        lambda: nn.Sequential(nn.Conv1d(8, 16, 5, groups=4), nn.ConvTranspose2d(16, 8, 3), nn.Bilinear(8, 9, 10)),
        lambda: nn.Sequential(nn.PReLU(5), nn.LayerNorm(6), nn.GroupNorm(2, 6), nn.RMSNorm(6), nn.EmbeddingBag(50, 20)),
        lambda: nn.Linear(64, 64, dtype=torch.bfloat16),
        lambda: nn.Linear(64, 64).to(torch.float64),
    ],
    ids=["ResNet", "LSTM", "GRU", "Transformer", "MultiheadAttention", "convolutions", "others", "BF16", "F64"],
)
def test_the_distribution_is_that_of_the_models_own_run(build: Callable[[], nn.Module]) -> None:
    recorded_as_it_runs(build)


def _initialized(initialize: Callable[[torch.Tensor], Any], shape: tuple[int, ...] = (64, 64)) -> nn.Module:
    module = nn.Module()
    module.weight = nn.Parameter(torch.empty(shape))
    with torch.no_grad():
        returned = initialize(module.weight)
        if isinstance(returned, nn.Parameter):
            module.weight = returned
    return module


def _said(initialize: Callable[[torch.Tensor], Any], shape: tuple[int, ...] = (64, 64)) -> dict[str, Any]:
    """Return the recipe's members for one tensor, without its shape, after a comparison with a run."""
    recording = recorded_as_it_runs(lambda: _initialized(initialize, shape))
    said = recording.recipe.tensors["weight"].model_dump(exclude_defaults=True)
    return {field: value for field, value in said.items() if field != "shape"}


@pytest.mark.parametrize(
    ("initialize", "expected"),
    [
        (lambda w: w.zero_(), {"scheme": "zeros"}),
        (lambda w: w.fill_(torch.tensor(1.0)), {"scheme": "ones"}),
        (lambda w: w.fill_(3).div_(4), {"scheme": "constant", "value": 0.75}),
        (lambda w: w.normal_().mul_(0.5).add_(2), {"scheme": "normal", "mean": 2.0, "std": 0.5}),
        (lambda w: w.copy_(torch.randn(64, 64) * -0.5), {"scheme": "normal", "std": 0.5}),
        (lambda w: w.copy_(1 - torch.rand_like(w) * 3), {"scheme": "uniform", "low": -2.0, "high": 1.0}),
        (lambda w: w.copy_(torch.normal(1.0, 2.0, (64, 64))), {"scheme": "normal", "mean": 1.0, "std": 2.0}),
        (lambda w: w.copy_(torch.normal(torch.zeros(64, 64), 2.0)), {"scheme": "normal", "std": 2.0}),
        (lambda w: w.copy_(torch.normal(1.0, torch.ones(64, 64))), {"scheme": "normal", "mean": 1.0, "std": 1.0}),
        (
            lambda w: w.copy_(torch.distributions.Normal(1, 2).sample(w.shape)),
            {"scheme": "normal", "mean": 1, "std": 2},
        ),
        (
            lambda w: w.copy_(torch.distributions.Normal(torch.ones(64), torch.tensor(2.0)).sample((64,))),
            {"scheme": "normal", "mean": 1.0, "std": 2.0},
        ),
        (lambda w: w.copy_(torch.randn(64, 64).mul(1e4).half()), {"scheme": "normal", "std": 1e4}),
        (lambda w: nn.Parameter(torch.rand(64, 64) / torch.tensor(4.0)), {"scheme": "uniform", "low": 0, "high": 0.25}),
        (lambda w: w.t().uniform_(-2, 4), {"scheme": "uniform", "low": -2.0, "high": 4.0}),
        (lambda w: w.uniform_(-1, 1).clamp_(-2, 2), {"scheme": "uniform", "low": -1.0, "high": 1.0}),
        (lambda w: (w[:32].normal_(0, 2), w[32:].normal_().mul_(2)), {"scheme": "normal", "std": 2.0}),
        (lambda w: [w[:, i].normal_() for i in range(64)], {"scheme": "normal", "std": 1.0}),
        (lambda w: w.copy_(torch.cat([torch.randn(32, 64), torch.randn(32, 64)])), {"scheme": "normal", "std": 1.0}),
        (lambda w: w.copy_(torch.stack(list(torch.randn(64, 64)), 1)), {"scheme": "normal", "std": 1.0}),
        (
            lambda w: nn.init.trunc_normal_(w, std=0.5, a=-1, b=0.5),
            {"scheme": "truncated_normal", "std": 0.5, "low": -1.0, "high": 0.5, "bounds": "absolute"},
        ),
        (
            lambda w: nn.init.trunc_normal_(w).mul_(-0.1).add_(1),
            {"scheme": "truncated_normal", "mean": 1.0, "std": 0.1, "low": 0.8, "high": 1.2, "bounds": "absolute"},
        ),
        (lambda w: nn.init.orthogonal_(w, gain=3).div_(-2), {"scheme": "orthogonal", "gain": 1.5, "layout": "torch"}),
        (lambda w: nn.init.eye_(w).mul_(-2), {"scheme": "eye", "gain": -2.0}),
        (lambda w: nn.init.sparse_(w, 0.3, 0.5).mul_(-2), {"scheme": "sparse", "sparsity": 0.3, "std": 1.0}),
        (lambda w: nn.init.sparse_(w.t(), 0.3), {"scheme": "sparse", "sparsity": 0.3, "std": 0.01, "axis": 1}),
        (lambda w: w.uniform_(0.01, 16).log_(), {"scheme": "log_of_uniform", "low": 0.01}),
        (lambda w: w.copy_((lambda u: u + u)(torch.rand(64, 64))), {"scheme": "uniform", "low": 0.0, "high": 2.0}),
        (lambda w: w.copy_((lambda u: u - (1 - u))(torch.rand(64, 64))), {"scheme": "uniform", "low": -1, "high": 1}),
        (lambda w: w.copy_((lambda u: u + (1 - u))(torch.rand(64, 64))), {"scheme": "constant", "value": 1.0}),
        (
            lambda w: w.copy_((lambda dt: dt + (-torch.expm1(-dt)).log())(torch.empty(64, 64).uniform_(-6, -2).exp())),
            {"scheme": "dt_bias", "dt_min": math.exp(-6), "dt_max": math.exp(-2)},
        ),
        (
            lambda w: w.uniform_(0.64, 0.98).log_().mul_(0.5).neg_().exp_().sub_(1.0).log_(),
            {"scheme": "rg_lru", "min_radius": 0.8, "max_radius": math.sqrt(0.98)},
        ),
        (
            lambda w: w.uniform_(0.8, 0.99).log_().div_(-8).exp_().sub_(1.0).log_(),
            {"scheme": "rg_lru", "variant": "griffin", "min_radius": 0.8, "max_radius": 0.99},
        ),
        (
            lambda w: w.uniform_().mul_(0.96 - 0.25).add_(0.25).log_().mul_(-0.5).log_(),
            {"scheme": "lru_nu", "min_radius": 0.5, "max_radius": math.sqrt(0.96)},
        ),
        (
            lambda w: w.uniform_().log_().mul_(-0.5).log_(),
            {"scheme": "lru_nu", "min_radius": 2**-16.5, "max_radius": math.sqrt(1 - 2**-33)},
        ),
        (
            lambda w: w.copy_(torch.logit(w.uniform_(1 / 64, 63 / 64))),
            {"scheme": "logit_of_uniform", "low": 1 / 64, "high": 63 / 64},
        ),
        (
            lambda w: w.copy_((lambda u: u.log() - (1 - u).log())(torch.rand(64, 64))),
            {"scheme": "logit_of_uniform", "low": 2.0**-33, "high": 1 - 2.0**-33},
        ),
    ],
)
def test_arithmetic_is_followed(initialize: Callable[[torch.Tensor], Any], expected: dict[str, Any]) -> None:
    assert _said(initialize) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("initialize", "shape", "expected"),
    [
        (lambda w: nn.init.orthogonal_(w), (32, 8, 3, 3), {"layout": "torch"}),
        (lambda w: nn.init.orthogonal_(w, 0.01), (1, 64), {"layout": "torch", "gain": 0.01}),
        (lambda w: nn.init.orthogonal_(w), (64, 1), {"layout": "torch"}),
        (lambda w: nn.init.orthogonal_(w.t()), (64, 8), {"layout": "torch"}),
        (lambda w: nn.Parameter(nn.init.orthogonal_(torch.empty(8, 64)).t()), (64, 8), {"layout": "torch"}),
        (lambda w: w.copy_(nn.init.orthogonal_(torch.empty(64, 8)).view(8, 8, 8)), (8, 8, 8), {}),
        (
            lambda w: w.copy_(
                (lambda q, r: q * torch.diagonal(r).sign().unsqueeze(0))(*torch.linalg.qr(w.normal_(0, 3)))
            ),
            (64, 20),
            {"layout": "torch"},
        ),
    ],
)
def test_orthogonal_matrices(
    initialize: Callable[[torch.Tensor], Any], shape: tuple[int, ...], expected: dict[str, Any]
) -> None:
    assert _said(initialize, shape) == {"scheme": "orthogonal", **expected}


def _each(tensors: Iterable[torch.Tensor]) -> None:
    for tensor in tensors:
        nn.init.orthogonal_(tensor)


def _scheme(part: Mapping[str, Any]) -> Any:
    """Return the scheme of a part, its size and number, and those of the parts within it."""
    inner = [_scheme(each) for each in part.get("parts", ())]
    return (part["scheme"], part.get("size"), part.get("number"), *([part.get("axis", 0), inner] if inner else []))


@pytest.mark.parametrize(
    ("initialize", "shape", "axis", "parts"),
    [
        (lambda w: _each(w.chunk(4)), (256, 64), 0, [("orthogonal", 64, n) for n in (1, 2, 3, 4)]),
        (lambda w: _each(w.chunk(3, 1)), (48, 144), 1, [("orthogonal", 48, n) for n in (1, 2, 3)]),
        (lambda w: (w.zero_(), nn.init.orthogonal_(w[16:])), (64, 64), 0, [("zeros", 16, None), ("orthogonal", 48, 1)]),
        (
            lambda w: _each(part for expert in w for part in expert.chunk(2)),
            (8, 32, 16),
            1,
            [("orthogonal", 16, 1), ("orthogonal", 16, 9)],
        ),
        (
            lambda w: (nn.init.orthogonal_(w[:32]), nn.init.eye_(w[32:64]), w[64:].normal_()),
            (96, 32),
            0,
            [("orthogonal", 32, 1), ("eye", 32, None), ("normal", 32, None)],
        ),
        (
            lambda w: w.copy_(torch.block_diag(*(nn.init.orthogonal_(torch.empty(8, 8)) for _ in range(2)))),
            (16, 16),
            0,
            [
                ("blocks", 8, None, 1, [("orthogonal", 8, 1), ("zeros", 8, None)]),
                ("blocks", 8, None, 1, [("zeros", 8, None), ("orthogonal", 8, 2)]),
            ],
        ),
        (
            lambda w: (w.normal_(), w[:5, 2:9].zero_()),
            (64, 64),
            0,
            [
                ("blocks", 5, None, 1, [("normal", 2, None), ("zeros", 7, None), ("normal", 55, None)]),
                ("normal", 59, None),
            ],
        ),
    ],
    ids=["gates", "columns", "rest", "experts", "kinds", "block-diagonal", "corner"],
)
def test_matrices_and_parts_within_a_tensor(
    initialize: Callable[[torch.Tensor], Any], shape: tuple[int, ...], axis: int, parts: list[Any]
) -> None:
    recipe = record(lambda: _initialized(initialize, shape)).recipe
    said = recipe.tensors["weight"].given()
    assert (said["scheme"], said["axis"], [_scheme(part) for part in said["parts"]]) == ("blocks", axis, parts)
    (made,) = fanin.materialize(recipe).values()
    run = _initialized(initialize, shape).weight.detach().numpy()
    for each in (made, run):
        _check_parts(each, said)


def _check_parts(values: np.ndarray, said: Mapping[str, Any]) -> None:
    """Check that the parts of a tensor are orthogonal matrices, identities or zeros, as its scheme says."""
    ends = np.cumsum([part["size"] for part in said["parts"]])[:-1]
    for block, part in zip(np.split(values, ends, said.get("axis", 0)), said["parts"], strict=True):
        stack = block.reshape(-1, *block.shape[-2:])
        match part["scheme"]:
            case "blocks":
                _check_parts(block, part)
            case "orthogonal":
                unit = np.broadcast_to(np.eye(block.shape[-1]), (len(stack), block.shape[-1], block.shape[-1]))
                wide = stack if block.shape[-2] >= block.shape[-1] else stack.transpose(0, 2, 1)
                np.testing.assert_allclose(
                    wide.transpose(0, 2, 1) @ wide, unit[:, : wide.shape[-1], : wide.shape[-1]], atol=1e-5
                )
            case "eye" | "zeros":
                assert (block == (np.eye(*block.shape) if part["scheme"] == "eye" else 0)).all()


@pytest.mark.parametrize(("shape", "axes"), [((6, 16, 8), (0,)), ((2, 3, 8, 16), (0, 1))])
def test_experts_are_a_stack_of_matrices(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    build = lambda: _initialized(lambda w: _each(w.view(-1, *w.shape[-2:])), shape)  # noqa: E731
    recipe = record(build).recipe
    tensor = recipe.tensors["weight"]
    assert tensor.given() == {
        "shape": shape,
        "dtype": "F32",
        "scheme": "orthogonal",
        "gain": 1.0,
        "layout": "torch",
        "batch_axes": axes,
    }
    (made,) = fanin.materialize(recipe).values()
    stack = made.reshape(-1, *shape[-2:])
    tall = stack if shape[-2] >= shape[-1] else stack.transpose(0, 2, 1)
    np.testing.assert_allclose(tall.transpose(0, 2, 1) @ tall, np.broadcast_to(np.eye(8), (6, 8, 8)), atol=1e-6)
    assert len({matrix.tobytes() for matrix in stack}) == 6


def test_a_draw_and_an_identity_are_blocks_of_a_small_matrix() -> None:
    build = lambda size: _initialized(lambda w: w.copy_(torch.eye(size) + w.normal_(0, 0.01)), (size, size))  # noqa: E731
    (made,) = fanin.materialize(record(lambda: build(60)).recipe).values()
    assert abs(made - np.eye(60)).max() < 0.05 < 0.9 < made.diagonal().min()
    assert made.std() > 0.009
    with pytest.raises(RecordError, match="more than 256"):
        record(lambda: build(128))


def _positions(rows: int, size: int, base: float = 10000.0) -> torch.Tensor:
    table = torch.zeros(rows, size)
    turns = torch.arange(rows)[:, None] * torch.exp(torch.arange(0, size, 2) * (-math.log(base) / size))
    table[:, 0::2], table[:, 1::2] = turns.sin(), turns.cos()
    return table


def _halves(table: torch.Tensor) -> torch.Tensor:
    return torch.cat([table[:, 0::2], table[:, 1::2]], 1)


def _whisper(rows: int, size: int) -> torch.Tensor:
    rates = torch.exp(-math.log(10000) / (size // 2 - 1) * torch.arange(size // 2))
    turns = torch.arange(rows)[:, None] * rates
    return torch.cat([turns.sin(), turns.cos()], 1)


@pytest.mark.parametrize(
    ("initialize", "shape", "expected"),
    [
        (lambda w: nn.init.dirac_(w), (10, 12, 3, 4), {"scheme": "dirac", "layout": "torch"}),
        (
            lambda w: nn.init.dirac_(w, 4).mul_(0.5),
            (16, 3, 5),
            {"scheme": "dirac", "groups": 4, "gain": 0.5, "layout": "torch"},
        ),
        (lambda w: w.copy_(torch.arange(3, 19).log()), (5, 16), {"scheme": "log_range", "start": 3}),
        (lambda w: w.copy_(_positions(3000, 64)), (3000, 64), {"scheme": "sinusoidal"}),
        (lambda w: w.copy_(_positions(50, 64, 500.0)[None]), (2, 50, 64), {"scheme": "sinusoidal", "base": 500.0}),
        (
            lambda w: (w.copy_(_halves(_positions(50, 64))), w[1].zero_()),
            (50, 64),
            {"scheme": "sinusoidal", "variant": "marian", "padding": 1},
        ),
        (
            lambda w: w.copy_(_whisper(1500, 64)),
            (1500, 64),
            {"scheme": "sinusoidal", "variant": "fairseq"},
        ),
    ],
)
def test_tables_that_are_schemes(
    initialize: Callable[[torch.Tensor], Any], shape: tuple[int, ...], expected: dict[str, Any]
) -> None:
    assert _said(initialize, shape) == expected


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_values_near_a_table_of_a_narrow_type_are_kept(dtype: torch.dtype) -> None:
    """The values differ from the table by less than four units in the last place of their type."""
    unit = torch.finfo(dtype).eps
    values = [torch.tensor([0.0, math.log(2) * (1 + 2 * unit)]), torch.diag(torch.tensor([1.0, 1.0 + 2 * unit]))]
    tables = [torch.arange(3, 19).log(), _positions(50, 64), torch.eye(3) * 0.7]

    def build() -> nn.Module:
        module = nn.Module()
        for place, value in enumerate(values + tables):
            module.register_buffer(f"{place}", value.to(dtype))
        return module

    recording = recorded_as_it_runs(build)
    assert list(recording.literals) == ["0", "1"]
    assert [tensor.scheme for tensor in recording.recipe.tensors.values()] == ["log_range", "sinusoidal", "eye"]


FLOAT8 = [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]


@pytest.mark.parametrize("dtype", FLOAT8)
def test_fixed_values_in_8_bits_are_recorded(dtype: torch.dtype) -> None:
    values = {
        "eye": torch.eye(6) * 0.7,
        "dirac": nn.init.dirac_(torch.empty(4, 4, 3)),
        "sinusoidal": _positions(50, 64),
        "literal": torch.arange(64.0).reshape(8, 8).sin(),
        "kernel": torch.arange(50.0).reshape(2, 5, 5),
    }
    recording = _filled_as_built({name: lambda value=value: value.to(dtype) for name, value in values.items()})
    assert set(recording.literals) == {"literal", "kernel"}
    for name in ("eye", "dirac", "sinusoidal"):
        assert recording.recipe.tensors[name].scheme == name


def test_scales_of_powers_of_two_are_recorded() -> None:
    scale = torch.float8_e8m0fnu
    recording = _filled_as_built(
        {
            "eighth": lambda: torch.full((3,), 0.125).to(scale),
            "smallest": lambda: torch.zeros(3, dtype=torch.uint8).view(scale),
            "largest": lambda: torch.full((3,), 2.0**127).to(scale),
            "nan": lambda: torch.full((3,), float("nan")).to(scale),
            "mixed": lambda: torch.tensor([[1.0, 2.0, 0.25], [4.0, 8.0, float("nan")]]).to(scale),
        }
    )
    assert set(recording.literals) == {"nan", "mixed"}


def _filled_as_built(make: Mapping[str, Callable[[], torch.Tensor]]) -> Recording:
    """Return the recording of these buffers, after a check that `init_` gives a module the bytes of the builder."""

    def build() -> nn.Module:
        module = nn.Module()
        for name, each in make.items():
            module.register_buffer(name, each())
        return module

    recording = record(build)
    module = build()
    for tensor in module.state_dict().values():
        tensor.view(torch.uint8).fill_(9)
    fanin.torch.init_(module, recording)
    for name, tensor in build().state_dict().items():
        assert torch.equal(module.state_dict()[name].view(torch.uint8), tensor.view(torch.uint8)), name
    return recording


@pytest.mark.parametrize("name", ["bits8", "uint4", "int4", "float4_e2m1fn_x2"])
def test_types_that_torch_cannot_fill_are_refused(name: str) -> None:
    def build() -> nn.Module:
        module = nn.Module()
        module.register_buffer("codes", torch.zeros(4, dtype=torch.uint8).view(getattr(torch, name)))
        module.register_buffer("other", torch.zeros(4, dtype=torch.uint8).view(getattr(torch, name)), persistent=False)
        return module

    with pytest.raises(RecordError, match=f"/codes: torch.{name} is not a type of single numbers"):
        record(build)


@pytest.mark.parametrize("smallest", [1e-2, 1e-30, 5e-324])
@pytest.mark.parametrize("width", [4, 6, 1025, 1026])
def test_tables_whose_frequency_would_overflow_are_kept(smallest: float, width: int) -> None:
    """A filter bank resembles a sinusoidal table at first: zeros, then small positive numbers."""
    values = torch.zeros(5, width, dtype=torch.float64)
    values[0, 1], values[1, 1:3], values[2, 1:3] = 0.5, smallest, smallest

    def build() -> nn.Module:
        module = nn.Module()
        module.register_buffer("bank", values.clone())
        return module

    assert list(recorded_as_it_runs(build).literals) == ["bank"]


@pytest.mark.parametrize(
    ("initialize", "axis", "sizes"),
    [
        (lambda w: (w.normal_(), w[7].zero_()), 0, [("normal", 7), ("zeros", 1), ("normal", 56)]),
        (lambda w: (w[:, :16].normal_(), w[:, 16:].fill_(1)), 1, [("normal", 16), ("ones", 48)]),
        (lambda w: [part.uniform_(-n - 1, 1) for n, part in enumerate(w.chunk(4))], 0, [("uniform", 16)] * 4),
        (lambda w: (w.zero_(), w[16:32].fill_(1)), 0, [("zeros", 16), ("ones", 16), ("zeros", 32)]),
        (
            lambda w: w.copy_(torch.cat([torch.zeros(64, 8), torch.randn(64, 56) / 8], 1)),
            1,
            [("zeros", 8), ("normal", 56)],
        ),
    ],
)
def test_parts_with_distributions_of_their_own_are_blocks(
    initialize: Callable[[torch.Tensor], Any], axis: int, sizes: list[tuple[str, int]]
) -> None:
    said = _said(initialize)
    assert (said["scheme"], said.get("axis", 0)) == ("blocks", axis)
    assert [(part["scheme"], part["size"]) for part in said["parts"]] == sizes


@pytest.mark.parametrize(
    ("initialize", "sizes"),
    [
        (
            lambda w: w.copy_(w.normal_().index_fill(0, torch.arange(8), 0).masked_fill(_rows(w) == 4, 0.5)),
            [4, 1, 3, 56],
        ),
        (lambda w: w.copy_(torch.where(_rows(w) < 4, 0.5, w.normal_().index_fill(0, torch.arange(8), 0))), [4, 4, 56]),
        (lambda w: w.copy_(nn.functional.pad(w[:60].normal_().mul(_rows(w)[:60] > 8), (0, 0, 0, 4), value=0.5)), None),
    ],
)
def test_a_number_between_zeros_is_not_lost(initialize: Callable[[torch.Tensor], Any], sizes: list[int] | None) -> None:
    said = _said(initialize)
    assert sizes is None or [part["size"] for part in said["parts"]] == sizes
    assert [part["value"] for part in said["parts"] if part["scheme"] == "constant"] == [0.5]


def _rows(w: torch.Tensor) -> torch.Tensor:
    return torch.arange(len(w))[:, None]


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: torch.full((3,), 0.7).bfloat16().float(), 0.69921875),
        (lambda: torch.full((3,), 0.7).to(torch.float8_e4m3fn).float(), 0.6875),
        (lambda: torch.zeros(3).copy_(torch.full((3,), 0.7, dtype=torch.float16)), 0.7001953125),
        (lambda: torch.full((3,), 0.1).double(), 0.10000000149011612),
        (lambda: torch.cat([torch.full((3,), 0.7, dtype=torch.bfloat16), torch.full((3,), 0.69921875)]), 0.69921875),
        (
            lambda: torch.where(torch.arange(3) < 5, torch.full((3,), 0.7, dtype=torch.bfloat16), 0.0).float(),
            0.69921875,
        ),
        (lambda: torch.full((3,), 0.7).bfloat16(), 0.7),
        (lambda: torch.full((3, 1 << 23), 0.7, device="meta").bfloat16().float()[:, :3], 0.69921875),
    ],
)
def test_a_cast_constant_is_rounded(make: Callable[[], torch.Tensor], value: float) -> None:
    def build() -> nn.Module:
        module = nn.Module()
        module.register_buffer("weight", make())
        return module

    assert record(build).recipe.tensors["weight"].value == value  # type: ignore[attr-defined]


def test_constants_among_random_numbers_are_rounded() -> None:
    def initialize(w: torch.Tensor) -> nn.Parameter:
        w.normal_()[7] = 0.7
        return nn.Parameter(w.bfloat16().mul(3).float())

    parts = _said(initialize)["parts"]
    assert parts[1] == {"size": 1, "scheme": "constant", "value": 2.09375}


def test_the_truncated_normal_of_timm_and_tensorflow() -> None:
    """Both apply the inverse distribution function to a uniform draw, and then shift, scale and clamp it."""

    def initialize(w: torch.Tensor) -> None:
        tail = math.erf(2 / math.sqrt(2))
        w.uniform_(-tail, tail).erfinv_().mul_(0.02 * math.sqrt(2)).add_(0.5).clamp_(0.46, 0.54)

    said = _said(initialize)
    assert said.pop("scheme") == "truncated_normal"
    assert said.pop("bounds") == "absolute"
    assert said == pytest.approx({"mean": 0.5, "std": 0.02, "low": 0.46, "high": 0.54})


@pytest.mark.parametrize(
    ("initialize", "operation"),
    [
        (lambda w: w.copy_(torch.linalg.qr(torch.randn(64, 64))[0]), "aten.linalg_qr"),
        (lambda w: w.copy_(torch.linalg.qr(torch.randn(64, 64))[1]), "aten.linalg_qr"),
        (
            lambda w: w.copy_(torch.cat([nn.init.orthogonal_(torch.empty(64, 64))[:32], torch.randn(32, 64)])),
            "a part of",
        ),
        (
            lambda w: w.copy_(torch.cat([torch.randn(32, 64), nn.init.sparse_(torch.empty(32, 64), 0.5)])),
            "one of several",
        ),
        (lambda w: w.copy_(nn.init.orthogonal_(torch.empty(32, 128)).view(64, 64)), "in another shape"),
        (lambda w: w.copy_(nn.init.orthogonal_(torch.empty(128, 64))[::2]), "a part of a matrix"),
        (lambda w: w.copy_((lambda u: (u + u.t()).log())(torch.rand(64, 64))), "aten.add"),
        (lambda w: w.uniform_(1, 2).sqrt_(), "aten.sqrt_"),
        (lambda w: w.uniform_(1, 16).log_().clamp_(min=1), "aten.log_"),
        (lambda w: w.copy_(nn.init.sparse_(torch.empty(32, 128), 0.5).view(64, 64)), "in another shape"),
        (lambda w: w.normal_().exp_(), "aten.exp_"),
        (lambda w: w.copy_(torch.randn(64, 64) + torch.arange(4096.0).view(64, 64)), "more than 256"),
        (lambda w: w.copy_((torch.rand(64, 64) + torch.eye(64)).sqrt()), "aten.sqrt"),
        (lambda w: w.exponential_(), "aten.exponential_"),
        (lambda w: w.cauchy_(), "aten.cauchy_"),
        (lambda w: w.normal_().clamp_(-1, 1), "aten.clamp_"),
        (lambda w: w.copy_(torch.randn(64, 64) + torch.randn(64, 64)), "aten.add"),
        (lambda w: w.copy_(torch.randn(64).expand(64, 64)), "expand"),
        (lambda w: w.copy_(torch.randn(32, 64).repeat(2, 1)), "twice"),
        (lambda w: w.copy_(torch.cat([torch.randn(32, 64)] * 2)), "twice"),
        (lambda w: w.copy_(torch.normal(torch.zeros(64), torch.arange(64.0)).expand(64, 64)), "aten.normal"),
        (lambda w: w.copy_(torch.randn(64, 64).mul(1e6).half()), "torch.float16 cannot hold"),
        (lambda w: w.copy_(torch.randn(64, 64).mul(1e-9).half().mul(1e9)), "torch.float16 cannot hold"),
        (lambda w: w.copy_(torch.rand(64, 64).half().mul(1e-6).float().mul(1e6)), "torch.float16 cannot hold"),
        (lambda w: w.copy_(nn.init.orthogonal_(torch.empty(64, 64)).mul(1e5).half()), "torch.float16 cannot hold"),
        (lambda w: w.copy_(torch.randn(64, 64).mul(300).to(torch.float8_e4m3fn)), "torch.float8_e4m3fn cannot hold"),
        (lambda w: w.bernoulli_(0.5), "aten.bernoulli_"),
        (lambda w: w.copy_(torch.rand(64, 64) > 0.5), "aten.gt"),
        (lambda w: w[torch.rand(64, 64) > 0.5], "aten.index"),
        (lambda w: w[:32].normal_(), "aten.empty"),
        (lambda w: w.normal_().mul_(torch.rand(64)), "aten.mul_"),
        (lambda w: w.copy_((lambda u: torch.maximum(u, 1 - u))(torch.rand(64, 64))), "aten.maximum"),
        (lambda w: w.copy_((lambda u: torch.cat([u[:32], 1 - u[32:]]) + u)(torch.rand(64, 64))), "aten.add"),
    ],
)
def test_what_no_scheme_says_is_refused_by_name(initialize: Callable[[torch.Tensor], Any], operation: str) -> None:
    with pytest.raises(RecordError) as caught:
        record(lambda: _initialized(initialize))
    assert operation in str(caught.value)


def test_all_refusals_are_told_at_once() -> None:
    def build() -> nn.Module:
        return nn.Sequential(*[_initialized(lambda w: w.normal_().exp_()) for _ in range(3)])

    with pytest.raises(RecordError) as caught:
        record(build)
    assert [fault.pointer for fault in caught.value.faults] == [f"/{layer}.weight" for layer in range(3)]


@pytest.mark.parametrize("dim", [0, 2, None])
def test_magnitudes_of_weight_norm_are_those_of_the_recipe(dim: int | None) -> None:
    def build() -> nn.Module:
        return nn.utils.parametrizations.weight_norm(nn.Conv1d(16, 24, 40, groups=2), dim=dim)

    recording = recorded_as_it_runs(build)
    g, v = (f"parametrizations.weight.original{n}" for n in (0, 1))
    assert {name: norm.of for name, norm in recording.norms.items()} == {g: v}
    for each in (recording, recording.with_seed(3)):
        made = torch.from_numpy(fanin.materialize(each.recipe)[v])
        norms = torch.norm_except_dim(made, 2, -1 if dim is None else dim)
        assert torch.allclose(each.literals[g], norms, rtol=1e-6)
    with pytest.raises(RecordError, match="norms of a random tensor"):
        record(
            lambda: _initialized(
                lambda w: w.copy_(torch.norm_except_dim(torch.rand(64, 9), 2, 0).expand(64, 64)), (64, 64)
            )
        )


@pytest.mark.parametrize(
    "layer",
    [
        lambda norm: norm(nn.Linear(40, 24)),
        lambda norm: norm(nn.ConvTranspose2d(8, 6, 3)),
        lambda norm: (layer := norm(nn.Conv1d(8, 6, 3)))(torch.zeros(1, 8, 5)) is None or layer,
    ],
    ids=["linear", "transposed", "forward"],
)
def test_vectors_of_spectral_norm_are_those_of_the_recipe(layer: Callable[[Any], nn.Module]) -> None:
    recording = recorded_as_it_runs(lambda: layer(nn.utils.parametrizations.spectral_norm))
    names = {f"parametrizations.weight.0._{side}" for side in "uv"}
    assert set(recording.norms) == names
    for each in (recording, recording.with_seed(3)):
        module = fanin.torch.init_(layer(nn.utils.parametrizations.spectral_norm), each).eval()
        # W = weight / u^T original v, so the largest singular value of W is near 1. A wrong vector gives a larger one.
        weight = module.weight.detach().movedim(module.parametrizations.weight[0].dim, 0).flatten(1)
        assert 0.98 < torch.linalg.matrix_norm(weight, 2) < 1.25
        assert all(abs(each.literals[name].norm() - 1) < 1e-5 for name in names)


def test_vectors_of_the_older_spectral_norm_are_random_and_have_norm_1() -> None:
    recording = recorded_as_it_runs(lambda: nn.utils.spectral_norm(nn.Linear(400, 300)))
    assert set(recording.norms) == {"weight_u", "weight_v"}
    other = recording.with_seed(1)
    for name in recording.norms:
        assert abs(recording.literals[name].norm() - 1) < 1e-5
        assert abs(recording.literals[name] @ other.literals[name]) < 0.3


def test_vectors_of_spectral_norm_of_a_weight_that_was_drawn_again_are_refused() -> None:
    def build() -> nn.Module:
        layer = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 6))
        nn.init.normal_(layer.parametrizations.weight.original)
        return layer

    with pytest.raises(RecordError, match=r"_u: .* not in the model, or was changed"):
        record(build)


def test_equal_tables_are_stored_once() -> None:
    class Layer(nn.Module):
        def __init__(self, base: float) -> None:
            super().__init__()
            rates = base ** -torch.linspace(0, 1, 32)
            self.register_buffer("turns", torch.arange(1000)[:, None] * rates, persistent=False)

    recording = record(lambda: nn.Sequential(*[Layer(base) for base in (1e4, 1e4, 5e5, 1e4)]))
    places = [recording.buffers[f"{n}.turns"].data_ptr() for n in range(4)]
    assert places[0] == places[1] == places[3] != places[2]
    with torch.device("meta"):
        model = nn.Sequential(*[Layer(1.0) for _ in range(4)])
    fanin.torch.init_(model, recording, device="cpu")
    model[0].turns.zero_()
    assert model[1].turns[1, 0] == 1


def _magnitudes(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], nn.Module]:
    """Return a builder of a layer with weight_norm, and of a buffer that is computed from its magnitudes."""

    def build() -> nn.Module:
        layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 6))
        with torch.no_grad():
            layer.register_buffer("made", change(layer.parametrizations.weight.original0))
        return layer

    return build


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g[-1].fill_(1.0).clone(),
        lambda g: g[:3].clone(),
        lambda g: g[::2].clone(),
        lambda g: g.expand(6, 2).contiguous(),
        lambda g: g.view(2, 3).t().contiguous(),
        lambda g: torch.cat([g[3:], g[:3]]),
        lambda g: torch.cat([g, g]),
        lambda g: torch.cat([g, torch.zeros(2, 1)]),
        lambda g: torch.zeros(6, 2)[:, :1].copy_(g)._base,  # type: ignore[return-value]
    ],
    ids=["changed", "part", "step", "expanded", "transposed", "exchanged", "twice", "joined", "column"],
)
def test_magnitudes_in_other_places_are_refused(change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(RecordError, match=r"/(made|parametrizations.*original0): "):
        record(_magnitudes(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.mul_(2),
        lambda w: w.t(),
        lambda w: w.view(4, 16),
        lambda w: torch.cat([w[4:], w[:4]]),
        lambda w: torch.cat([w, w]),
        lambda w: w[:4],
        lambda w: torch.rand(8, 8),
    ],
    ids=["multiplied", "transposed", "shape", "exchanged", "twice", "part", "other"],
)
def test_magnitudes_of_a_tensor_that_was_changed_are_refused(change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    def build() -> nn.Module:
        module, w = nn.Module(), torch.rand(8, 8)
        module.register_buffer("g", torch.norm_except_dim(w, 2, 0))
        module.register_buffer("v", change(w).clone(memory_format=torch.contiguous_format))
        return module

    with pytest.raises(RecordError, match="/g: norms of a random tensor that is not in the model, or was changed"):
        record(build)


@pytest.mark.parametrize("change", [torch.Tensor.t, torch.Tensor.flatten, torch.Tensor.half])
def test_magnitudes_keep_shape_and_type(change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    build = _magnitudes(lambda g: change(g).clone())
    first = record(build)
    made, again = (each.literals["made"] for each in (first, first.with_seed(1)))
    run = build().get_buffer("made")
    assert (made.shape, made.dtype) == (again.shape, again.dtype) == (run.shape, run.dtype)
    assert not torch.equal(made, again)


def test_a_branch_on_a_random_value_is_refused() -> None:
    with pytest.raises(RecordError, match="_local_scalar_dense"):
        record(lambda: _initialized(lambda w: w.fill_(float(torch.rand(())))))
    with pytest.raises(RecordError, match="tolist"):
        record(lambda: _initialized(lambda w: w.fill_(torch.rand(3).tolist()[0])))


def test_tables_are_computed_and_kept() -> None:
    class Tables(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("positions", torch.arange(10).expand((1, -1)).clone())
            self.register_buffer("frequencies", 1 / 10000 ** (torch.arange(0, 16, 2) / 16))
            self.register_buffer("mask", torch.ones(5, 5).tril_().bool().view(1, 1, 5, 5))
            self.register_buffer("given", torch.from_numpy(np.arange(6.0)).view(2, 3))
            self.register_buffer("transposed", torch.arange(6.0).view(2, 3).t().contiguous())
            self.register_buffer("scattered", torch.zeros(4).index_fill_(0, torch.tensor([1, 3]), 2.0))
            self.register_buffer("forgotten", torch.ones(3), persistent=False)
            self.rates = torch.linspace(0, 1, 5).tolist()
            self.depth = nn.Parameter(torch.full((3,), torch.linspace(0, 1, 5)[1].item()))
            self.table = nn.Parameter(torch.empty(4, 6), requires_grad=False)
            with torch.no_grad():
                self.table[:, 0::2] = torch.arange(12.0).view(4, 3).sin()
                self.table[:, 1::2] = torch.arange(12.0).view(4, 3).cos()
            self.identity = nn.Parameter(nn.init.eye_(torch.empty(4, 4)))
            self.kernel = nn.Parameter(nn.init.dirac_(torch.empty(4, 2, 3), groups=2))

    recording = recorded_as_it_runs(Tables)
    assert set(recording.recipe.tensors) == {"positions", "depth", "identity", "kernel"}
    assert recording.recipe.tensors["depth"].value == 0.25  # type: ignore[union-attr]


def test_tied_weights_stay_tied() -> None:
    def build() -> nn.Module:
        model = nn.ModuleDict({"embedding": nn.Embedding(50, 20), "head": nn.Linear(20, 50, bias=False)})
        model["head"].weight = model["embedding"].weight
        return model

    recording = recorded_as_it_runs(build)
    assert recording.tied == {"head.weight": "embedding.weight"}
    assert list(recording.recipe.tensors) == ["embedding.weight"]


def test_copies_of_random_numbers_are_told() -> None:
    def build() -> nn.Module:
        one = nn.Linear(20, 30)
        return nn.ModuleList([one, copy.deepcopy(one), nn.Linear(20, 30)])

    recording = recorded_as_it_runs(build)
    assert recording.copies == {"1.weight": "0.weight", "1.bias": "0.bias"}


def test_a_split_of_random_numbers_is_no_copy() -> None:
    def build() -> nn.Module:
        return nn.ParameterList([part.clone() for part in torch.randn(60, 20).chunk(3)])

    assert recorded_as_it_runs(build).copies == {}


def test_nothing_large_is_allocated_and_nothing_drawn() -> None:
    """A layer of 4 TB."""
    state = torch.random.get_rng_state()
    recording = record(lambda: nn.Linear(1 << 20, 1 << 20), seed="18446744073709551615")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert recording.recipe.tensors["weight"].shape == (1 << 20, 1 << 20)
    assert recording.recipe.seed == 2**64 - 1


def test_torch_is_as_before_afterwards() -> None:
    trunc_normal = nn.init._no_grad_trunc_normal_
    with pytest.raises(ZeroDivisionError):
        record(lambda: nn.Linear(3, 1 // 0))
    assert nn.init._no_grad_trunc_normal_ is trunc_normal
    assert torch.ones(3).sum().item() == 3.0


def test_a_builder_is_a_function_that_builds_a_module() -> None:
    with pytest.raises(RecordError, match=r"takes a function that creates the model.* not a Linear"):
        record(nn.Linear(3, 3))  # type: ignore[arg-type]
    with pytest.raises(RecordError, match="not dict"):
        record(dict)  # type: ignore[arg-type]


def test_data_of_a_tensor_of_other_memory_is_refused() -> None:
    def given() -> nn.Module:
        module = nn.Linear(2, 3)
        module.bias.data = torch.tensor([1.0, 0.0, 2.0])
        return module

    def replaced() -> nn.Module:
        module = nn.Linear(2, 3)
        module.bias = nn.Parameter(torch.tensor([1.0, 0.0, 2.0]))
        module.bias.data = torch.randn(3)
        return module

    for build in (given, replaced):
        with pytest.raises(RecordError, match=r"test_record.py:\d+: .data = .* use .data.copy_"):
            record(build)


def test_lazy_and_foreign_types_are_refused() -> None:
    with pytest.raises(RecordError, match="lazy"):
        record(lambda: nn.LazyLinear(3))
    with pytest.raises(RecordError, match="complex128"):
        record(lambda: _initialized(lambda w: nn.Parameter(torch.randn(3, dtype=torch.complex128))))


def test_a_literal_has_a_name_that_its_file_can_hold() -> None:
    def build() -> nn.Module:
        module = nn.Linear(2, 2)
        module.register_buffer("__metadata__", torch.arange(3))
        return module

    with pytest.raises(RecordError, match="/__metadata__: __metadata__ is reserved by the safetensors format"):
        record(build)


def test_a_recipe_of_a_recording_is_a_recipe() -> None:
    recording = record(ResNet, seed=5)
    assert fanin.as_recipe(recording.recipe.canonical) == recording.recipe


# ---- threads --------------------------------------------------------------------------------------------------------


def test_recordings_in_threads_leave_torch_as_it_is() -> None:
    """Two recordings overlap in two threads, while a third thread creates a model."""
    own = nn.init._no_grad_trunc_normal_, nn.init.sparse_
    began, both, ended = threading.Event(), threading.Event(), threading.Event()
    made: dict[str, Any] = {}

    def initialized() -> nn.Module:
        layer = nn.Linear(64, 64)
        nn.init.trunc_normal_(layer.weight, std=0.5, a=-0.75, b=0.75)
        return layer

    def first() -> nn.Module:
        began.set()
        assert both.wait(60)
        return initialized()

    def second() -> nn.Module:
        assert began.wait(60)
        both.set()
        assert ended.wait(60)
        return initialized()

    def record_first() -> None:
        made["first"] = record(first).recipe
        ended.set()

    def make() -> None:
        assert both.wait(60)
        made["truncated"] = nn.init.trunc_normal_(torch.full((64, 64), 7.0))
        made["sparse"] = nn.init.sparse_(torch.full((64, 64), 7.0), 0.25)

    def record_second() -> None:
        made["second"] = record(second).recipe

    threads = [threading.Thread(target=target) for target in (record_first, record_second, make)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (nn.init._no_grad_trunc_normal_, nn.init.sparse_) == own
    assert made["truncated"].abs().max() <= 2
    assert made["truncated"].std() > 0.5
    assert (made["sparse"] == 0).sum() == 16 * 64
    assert made["sparse"].abs().max() < 1
    assert made["first"] == made["second"]
    assert made["first"].tensors["weight"].scheme == "truncated_normal"


def _in_a_thread(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _in_a_pool(work: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def _with_workers(give: Callable[[Any, Callable[..., Any]], Any], kind: type = ThreadPool) -> Callable[..., None]:
    """Return a function that gives work to a pool whose threads run already."""
    pool = kind(1)
    give(pool, lambda *_: None)

    def beside(work: Callable[[], Any]) -> None:
        give(pool, lambda *_: (work(), None)[1])

    return beside


@pytest.mark.parametrize(
    "beside",
    [
        _in_a_thread,
        _in_a_pool,
        _with_workers(lambda pool, work: pool.submit(work).result(), ThreadPoolExecutor),
        _with_workers(lambda pool, work: list(pool.map(work, [0])), ThreadPoolExecutor),
        _with_workers(lambda pool, work: pool.apply(work)),
        _with_workers(lambda pool, work: pool.map(work, [0])),
        _with_workers(lambda pool, work: list(pool.imap(work, [0]))),
        _with_workers(lambda pool, work: list(pool.imap_unordered(work, [0]))),
        _with_workers(lambda pool, work: pool.apply(lambda: _in_a_thread(work))),
    ],
    ids=["thread", "new pool", "submit", "map", "apply", "pool.map", "imap", "imap_unordered", "thread of a pool"],
)
def test_a_builder_that_initializes_in_threads_is_refused(beside: Callable[[Callable[[], Any]], None]) -> None:
    def build() -> nn.Module:
        layer = nn.Linear(4, 4)
        beside(lambda: nn.init.constant_(layer.weight, 7.0))
        return layer

    words = r"test_record\.py:\d+: aten\.fill_.* in a thread that works for the builder"
    with pytest.raises(RecordError, match=words):
        record(build)


def test_a_pool_works_as_before_after_a_recording() -> None:
    own = ThreadPoolExecutor.submit, ThreadPool.apply_async, ThreadPool.imap
    with ThreadPoolExecutor(1) as pool:
        pool.submit(abs, 1).result()  # starts its thread, which is then not a thread of the builder
        record(lambda: (pool.submit(abs, 1).result(), nn.Linear(2, 2))[1])
        assert torch.equal(pool.submit(torch.full, (2,), 7.0).result(), torch.full((2,), 7.0))
        assert pool.submit(threads._beside.get).result() is None
    assert (ThreadPoolExecutor.submit, ThreadPool.apply_async, ThreadPool.imap) == own


def test_a_thread_that_fails_without_values_is_blamed() -> None:
    def build() -> nn.Module:
        layer = nn.Linear(4, 4)
        _in_a_pool(lambda: layer.weight.sum().item())
        return layer

    with pytest.raises(RecordError, match="in a thread that works for the builder"):
        record(build)


def test_a_builder_may_start_threads_for_other_work() -> None:
    done: list[int] = []

    def build() -> nn.Module:
        _in_a_thread(lambda: done.append(1))
        return nn.Linear(4, 4)

    start = threading.Thread.start
    assert set(record(build).recipe.tensors) == {"weight", "bias"}
    assert done == [1]
    assert threading.Thread.start is start


def test_a_thread_that_goes_on_keeps_nothing_of_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Memory]] = []
    own = recording.Memory

    def memory() -> Memory:
        created = own()
        made.append(weakref.ref(created))
        return created

    monkeypatch.setattr(recording, "Memory", memory)
    done = threading.Event()

    def build() -> nn.Module:
        threading.Thread(target=done.wait, daemon=True).start()
        return nn.Linear(4, 4)

    record(build)
    gc.collect()
    assert [each() for each in made] == [None]
    done.set()
