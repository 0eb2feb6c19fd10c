"""Recording of torch: distributions of elements, after arithmetic, and in parts of a tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from fanin.torch import RecordError, record
from tests.recording.comparing import initialized, members_of


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
    assert members_of(initialize) == pytest.approx(expected)


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
    said = members_of(initialize)
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
    said = members_of(initialize)
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

    parts = members_of(initialize)["parts"]
    assert parts[1] == {"size": 1, "scheme": "constant", "value": 2.09375}


def test_the_truncated_normal_of_timm_and_tensorflow() -> None:
    """Both apply the inverse distribution function to a uniform draw, and then shift, scale and clamp it."""

    def initialize(w: torch.Tensor) -> None:
        tail = math.erf(2 / math.sqrt(2))
        w.uniform_(-tail, tail).erfinv_().mul_(0.02 * math.sqrt(2)).add_(0.5).clamp_(0.46, 0.54)

    said = members_of(initialize)
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
        # Steps and periods that meet a straight line at multiples of 1/16.
        (lambda w: w.uniform_(0, 16).floor_(), "aten.floor_"),
        (lambda w: w.copy_(torch.rand(64, 64).mul(32).trunc().div(32)), "aten.trunc"),
        (lambda w: w.uniform_(0, 48).round_().add_(1).log_(), "aten.round_"),
        (lambda w: w.uniform_(0, 16).frac_(), "aten.frac_"),
        (lambda w: w.uniform_(0, 16).remainder_(1), "aten.remainder_"),
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
        (lambda w: w.copy_(torch.rand(64, 64).mul(1e-3).add(1).bfloat16()), "torch.bfloat16 cannot hold"),
        (lambda w: w.copy_(torch.ones(64, 64).half().normal_(1, 1e-4)), "torch.float16 cannot hold"),
        (lambda w: w.copy_(torch.randn(64, 64) + 1e8 - 1e8), "torch.float32 cannot hold"),
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
        record(lambda: initialized(initialize))
    assert operation in str(caught.value)
