"""Recording of torch: computed and fixed values, as schemes or literals, in every type."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fanin
import fanin.torch
from fanin.torch import RecordError, Recording, record
from tests.recording.comparing import members_of, recorded_as_it_runs


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
    assert members_of(initialize, shape) == expected


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
