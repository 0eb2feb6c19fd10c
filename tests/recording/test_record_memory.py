"""Recordings of memory that is written in parts, or by code outside of torch."""

from __future__ import annotations

import ctypes
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fanin.torch import RecordError, record
from fanin.torch.recorder import recording
from tests.recording.comparing import recorded_as_it_runs


def _holding(make: Callable[[], torch.Tensor]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        module = nn.Module()
        module.register_buffer("weight", make())
        return module

    return build


def _written_by(write: Callable[[torch.Tensor], Any], start: float = 0.0) -> Callable[[], torch.Tensor]:
    def make() -> torch.Tensor:
        tensor = torch.full((4, 6), start)
        write(tensor)
        return tensor

    return make


def _from_numpy() -> torch.Tensor:
    array = np.zeros(6, np.float32)
    tensor = torch.from_numpy(array)
    array[1:] = [1, 2, 3, 4, 5]
    return tensor


def _after_an_operation() -> torch.Tensor:
    array = np.zeros(6, np.float32)
    tensor = torch.from_numpy(array).add_(1)
    array[2] = 7
    return tensor


def _in_turn() -> torch.Tensor:
    tensor = torch.ones(4)
    array = tensor.numpy()
    array.fill(2)
    tensor.mul_(3)
    array[0] = array[1] + 1
    return tensor


def _bits(dtype: torch.dtype) -> Callable[[], torch.Tensor]:
    return lambda: torch.linspace(-1, 1, 12).view(dtype)


def _real_parts() -> torch.Tensor:
    tensor = torch.zeros(6, dtype=torch.complex64)
    torch.view_as_real(tensor)[:, 1] = 3
    tensor.real.copy_(torch.arange(6.0))
    return tensor


@pytest.mark.parametrize(
    "make",
    [
        _written_by(lambda t: t.numpy().__setitem__(2, 5)),
        _written_by(lambda t: t.t().numpy().__setitem__((slice(None), 1), np.arange(6))),
        _written_by(lambda t: np.asarray(t).fill(3)),
        _written_by(lambda t: np.from_dlpack(t).fill(3)),
        _written_by(lambda t: t.cpu().fill_(3)),
        _written_by(lambda t: t.to("cpu").fill_(3)),
        _written_by(lambda t: t.to(torch.device("cpu"), torch.float32).numpy().fill(3)),
        _written_by(lambda t: ctypes.memset(t.data_ptr(), 1, 20)),
        _written_by(lambda t: ctypes.memset(t.untyped_storage().data_ptr(), 1, 20)),
        _in_turn,
        lambda: (lambda t: (t.numpy().fill(3), t)[1])(torch.empty(5, 3)),
        _from_numpy,
        _after_an_operation,
        _bits(torch.int32),
        _bits(torch.uint8),
        _real_parts,
        lambda: torch.polar(torch.ones(5), torch.arange(5.0)).conj(),
        lambda: torch.polar(torch.ones(5), torch.arange(5.0)).conj().imag,
        lambda: torch.full((3,), 1j),
        lambda: torch.full((3,), 2 + 0j),
        lambda: torch.complex(torch.zeros(3), torch.ones(3)),
        lambda: torch.zeros(0, 3) * 2 + 1,
        lambda: torch.eye(3).to_sparse().to_dense() * 2,
    ],
)  # fmt: skip
def test_values_are_those_of_the_models_own_run(make: Callable[[], torch.Tensor]) -> None:
    recording = recorded_as_it_runs(_holding(make))
    assert {*recording.literals, *recording.recipe.tensors} == {"weight"}


@pytest.mark.parametrize(
    ("make", "std"),
    [
        (lambda: torch.randn(3000, dtype=torch.complex64), 1.0),
        (lambda: torch.empty(3000, dtype=torch.complex64).normal_(0, 3).div_(-2), 1.5),
        (lambda: torch.complex(torch.randn(3000), torch.randn(3000)), math.sqrt(2)),
        (lambda: torch.view_as_complex(torch.randn(3000, 2) * 0.5), math.sqrt(0.5)),
        (lambda: torch.randn(3000, dtype=torch.complex64).conj(), 1.0),
    ],
)
def test_complex_draws(make: Callable[[], torch.Tensor], std: float) -> None:
    said = record(_holding(make)).recipe.tensors["weight"].model_dump(exclude_defaults=True)
    assert {**said, "std": pytest.approx(std)} == {
        "shape": (3000,),
        "scheme": "normal",
        "std": std,
        "dtype": "C64",
    }
    assert (make().abs() ** 2).mean().sqrt().item() == pytest.approx(std, rel=0.1)


@pytest.mark.parametrize(
    ("place", "sizes"),
    [
        (lambda w: w.__setitem__([0, 2], 1), [("ones", 1), ("normal", 1), ("ones", 1), ("normal", 5)]),
        (lambda w: w.__setitem__(range(2), 1), [("ones", 2), ("normal", 6)]),
        (lambda w: w.__setitem__(torch.tensor([0, 7]), 0), [("zeros", 1), ("normal", 6), ("zeros", 1)]),
        (lambda w: w.__setitem__(slice(0, 2), torch.rand(2, 9)), [("uniform", 2), ("normal", 6)]),
        (lambda w: w.__setitem__([6, 7], torch.rand(2, 9)), [("normal", 6), ("uniform", 2)]),
        (lambda w: w.index_fill_(0, torch.tensor([1]), 2.0), [("normal", 1), ("constant", 1), ("normal", 6)]),
        (lambda w: w.masked_fill_(torch.arange(8)[:, None] < 3, 0), [("zeros", 3), ("normal", 5)]),
        (lambda w: w.mul_(torch.tensor([2.0, 3.0]).repeat_interleave(4)[:, None]), [("normal", 4), ("normal", 4)]),
        (lambda w: w.copy_(torch.tensor([2.0, 3.0]).repeat_interleave(4)[:, None] - w), [("normal", 4), ("normal", 4)]),
        (lambda w: w.copy_(w.flip(0).roll(1, 0)), None),
        (lambda w: w.copy_(w[torch.tensor([7, 6, 5, 4, 0, 1, 2, 3])]), None),
        (lambda w: w.copy_(torch.nn.functional.pad(w[:7], (0, 0, 1, 0))), [("zeros", 1), ("normal", 7)]),
        (lambda w: w.copy_(torch.where(torch.arange(8)[:, None] > 3, w, 1.0)), [("ones", 4), ("normal", 4)]),
    ],
)
def test_elements_are_followed_to_other_places(place: Callable[[torch.Tensor], Any], sizes: Any) -> None:
    def make() -> torch.Tensor:
        weight = torch.randn(8, 9)
        place(weight)
        return weight

    said = recorded_as_it_runs(_holding(make)).recipe.tensors["weight"]
    if sizes is None:
        assert said.scheme == "normal"
    else:
        assert [(part["scheme"], part["size"]) for part in said.parts] == sizes  # type: ignore[union-attr]


def test_columns_are_written_in_turn_over_a_large_draw() -> None:
    """Positions overwrite a table that was an embedding. The stretches exceed the number that is followed."""

    def make() -> torch.Tensor:
        weight = torch.randn(300, 512)
        weight[:, 0::2] = torch.arange(300 * 256.0).view(300, 256).sin()
        weight[:, 1::2] = torch.arange(300 * 256.0).view(300, 256).cos()
        return weight

    assert set(recorded_as_it_runs(_holding(make)).literals) == {"weight"}


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(6, momentum=0.5), nn.InstanceNorm1d(6, track_running_stats=True)])
def test_running_statistics_of_a_forward_in_the_constructor(norm: nn.Module) -> None:
    def build(batch: Callable[[], torch.Tensor]) -> nn.Module:
        module = type(norm)(6, momentum=0.5, track_running_stats=True)
        module(batch())
        return module

    recorded_as_it_runs(lambda: build(lambda: torch.arange(96.0).view(4, 6, 4)))
    with pytest.raises(RecordError) as caught:
        record(lambda: build(lambda: torch.randn(4, 6, 4)))
    assert [fault.pointer for fault in caught.value.faults] == ["/running_mean", "/running_var"]
    assert f"{__file__}:" in caught.value.faults[0].detail


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: torch.from_numpy(torch.randn(3).numpy() + 1), "numpy reads values that come from random numbers"),
        (lambda: pickle.loads(pickle.dumps(torch.ones(3))), "pickle or torch.save reads the values"),
        (lambda: torch.save(torch.randn(3), io.BytesIO(), _use_new_zipfile_serialization=False), "torch.save reads"),
        (lambda: torch.eye(3).to_sparse(), "torch.sparse_coo"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "nested"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8), "quantized"),
        (lambda: torch.randn(5, 5).to_sparse(), "aten._to_sparse"),
        (lambda: torch.ones(3) @ torch.ones(4), "RuntimeError"),
        (lambda: (lambda t: (t.untyped_storage().fill_(1), t)[1])(torch.zeros(3)), "aten.set_"),
        (lambda: torch.empty(3), "nothing initializes it (aten.empty at "),
        (lambda: torch.empty(8).uniform_(0, 1e-300), "/weight"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_every_refusal_names_the_line_or_the_tensor(make: Callable[[], torch.Tensor], words: str) -> None:
    with pytest.raises(RecordError) as caught:
        record(_holding(make))
    assert words in str(caught.value)
    assert f"{__file__}:" in str(caught.value) or caught.value.faults[0].pointer.startswith("/weight")


def test_an_error_of_the_models_own_code_stays_what_it_is() -> None:
    def build() -> nn.Module:
        try:
            torch.ones(3) @ torch.ones(4)
        except RuntimeError:
            return nn.Linear(1, {}["missing"])
        return nn.Linear(1, 1)

    with pytest.raises(KeyError):
        record(build)


def test_extra_state_is_no_tensor_of_the_model() -> None:
    class Scaled(nn.Linear):
        def get_extra_state(self) -> Any:
            return {"scale": self.weight.max().item()}

        def set_extra_state(self, state: Any) -> None:
            pass

    module = Scaled(3, 3)
    assert set(record(lambda: Scaled(3, 3)).recipe.tensors) == {"weight", "bias"}
    assert "_extra_state" in module.state_dict()


@pytest.mark.filterwarnings("ignore")
def test_compiled_modules_have_the_names_that_init_knows() -> None:
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        model[0] = torch.compile(model[0])
        return torch.compile(model)

    recording, plain = record(build), nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    assert {*recording.recipe.tensors, *recording.literals} == {*plain.state_dict()}


def test_a_truncated_normal_with_bounds_beyond_its_last_place() -> None:
    """timm and others use a uniform draw, erfinv, and a clamp at 100 standard deviations."""

    def make(mean: float, std: float, a: float, b: float) -> torch.Tensor:
        below, above = (0.5 * (1 + math.erf((end - mean) / std / math.sqrt(2))) for end in (a, b))
        drawn = torch.empty(4000).uniform_(2 * below - 1, 2 * above - 1).erfinv_()
        return drawn.mul_(std * math.sqrt(2)).add_(mean).clamp_(min=a, max=b)

    for arguments, expected in (
        ((0.0, 0.02, -2.0, 2.0), (-math.inf, math.inf)),
        ((0.0, 0.5, -2.0, math.inf), (-2.0, math.inf)),
        ((0.0, 0.25, -2.0, 2.0), (-2.0, 2.0)),
        ((0.1, 0.02, 0.06, 0.14), (0.06, 0.14)),
        ((1.0, 1.0, 0.0, 20.0), (0.0, math.inf)),
    ):
        said = record(_holding(lambda arguments=arguments: make(*arguments))).recipe.tensors["weight"]  # type: ignore[misc]
        ends = [getattr(said, end, None) for end in ("low", "high")]
        found = tuple(sign * math.inf if end is None else end for end, sign in zip(ends, (-1, 1), strict=True))
        if said.scheme == "truncated_normal":
            assert found == pytest.approx(expected, rel=1e-2)
        else:
            assert expected == (-math.inf, math.inf)
    with pytest.raises(RecordError, match=r"aten\.clamp_"):
        record(_holding(lambda: torch.randn(9).clamp_(-6, 6)))


def test_logarithms_of_a_uniform_distribution_from_zero() -> None:
    said = record(_holding(lambda: torch.empty(3000).uniform_(0, 16).log_())).recipe.tensors["weight"]
    assert said.scheme == "log_of_uniform"
    assert 0 < said.low < 16 * 2.0**-32  # type: ignore[union-attr]
    assert said.high == 16  # type: ignore[union-attr]


def test_equal_integers_are_recorded_at_any_size() -> None:
    """Without their memory."""

    def build() -> nn.Module:
        model = nn.Linear(3, 3)
        model.register_buffer("mask", torch.ones(2**13, 2**12, dtype=torch.bool))
        model.register_buffer("codes", torch.full((2**25,), -7, dtype=torch.int16))
        model.register_buffer("few", torch.full((5,), -7, dtype=torch.int16))
        return model

    recording = record(build)
    assert not recording.literals
    said = {name: recording.recipe.tensors[name].canonical() for name in ("mask", "codes", "few")}
    assert said["mask"] == {"shape": [2**13, 2**12], "dtype": "BOOL", "scheme": "ones"}
    assert said["codes"] == {"shape": [2**25], "dtype": "I16", "scheme": "constant", "value": -7}
    assert said["few"] == {"shape": [5], "dtype": "I16", "scheme": "constant", "value": -7}


@pytest.mark.parametrize(
    ("make", "scheme"),
    [
        (lambda: torch.arange(10).expand(1, -1), {"scheme": "arange"}),
        (lambda: torch.arange(6, dtype=torch.int32).expand(2, 3, 6), {"scheme": "arange"}),
        (lambda: torch.arange(5, -9, -3, dtype=torch.int16), {"scheme": "arange", "start": 5, "step": -3}),
        (lambda: torch.tensor([0, 1]), {"scheme": "arange"}),
        (lambda: torch.tensor([3, 7]), None),
        (lambda: torch.tensor([254, 255, 0], dtype=torch.uint8), None),
        (lambda: torch.arange(6).view(2, 3), None),
        (lambda: torch.tensor([-(2**63), 0, 2**63 - 1]), None),
        (
            lambda: torch.tensor([-(2**63), -1, 2**63 - 2]),
            {"scheme": "arange", "start": f"{-(2**63)}", "step": f"{2**63 - 1}"},
        ),
        (lambda: torch.tensor([[0, 1, 2], [0, 1, 3]]), None),
        (lambda: torch.tensor(7), {"scheme": "constant", "value": 7}),
        (lambda: torch.full((2,), 2**62 + 1), {"scheme": "constant", "value": f"{2**62 + 1}"}),
        (lambda: torch.full((2,), 2**64 - 1, dtype=torch.uint64), {"scheme": "constant", "value": f"{2**64 - 1}"}),
        (lambda: torch.zeros(0, 3, dtype=torch.int64), {"scheme": "zeros"}),
        (lambda: torch.ones(3, 3, dtype=torch.bool), {"scheme": "ones"}),
        (lambda: torch.tensor([False, True]), None),
        (lambda: torch.ones(3, 3, dtype=torch.bool).tril(), None),
    ],
)
def test_integers_are_in_the_recipe(make: Callable[[], torch.Tensor], scheme: dict[str, Any] | None) -> None:
    """Equal ones, and evenly spaced ones along the last axis; others are literals."""

    def build() -> nn.Module:
        model = nn.Module()
        model.register_buffer("codes", make())
        return model

    recording = recorded_as_it_runs(build)
    assert (scheme is None) == ("codes" in recording.literals)
    if scheme is not None:
        said = recording.recipe.tensors["codes"].canonical()
        assert {name: value for name, value in said.items() if name not in ("shape", "dtype")} == scheme


def test_literals_have_at_most_the_bytes_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(rows: int) -> nn.Module:
        module = nn.Linear(64, rows)
        module.register_buffer("mask", torch.ones(2048, 2048, dtype=torch.bool).tril())
        return module

    assert record(lambda: build(1)).literals["mask"].sum() == 2048 * 2049 // 2
    monkeypatch.setattr(recording, "MOST_LITERALS", 1 << 20)
    assert set(record(lambda: build(1 << 14)).literals) == {"mask"}  # 4.26 MB of weights, 4.19 MB of mask
    with pytest.raises(RecordError, match="more bytes than the rest of the model") as caught:
        record(lambda: build(1))
    assert [fault.pointer for fault in caught.value.faults] == ["/mask"]
