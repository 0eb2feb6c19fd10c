"""Recipes of models of torch, recorded from their construction."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

import fanin
import fanin.torch
from fanin.torch import RecordError, record
from tests.recording.comparing import initialized, recorded_as_it_runs

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


def test_all_refusals_are_told_at_once() -> None:
    def build() -> nn.Module:
        return nn.Sequential(*[initialized(lambda w: w.normal_().exp_()) for _ in range(3)])

    with pytest.raises(RecordError) as caught:
        record(build)
    assert [fault.pointer for fault in caught.value.faults] == [f"/{layer}.weight" for layer in range(3)]


def test_a_branch_on_a_random_value_is_refused() -> None:
    with pytest.raises(RecordError, match="_local_scalar_dense"):
        record(lambda: initialized(lambda w: w.fill_(float(torch.rand(())))))
    with pytest.raises(RecordError, match="tolist"):
        record(lambda: initialized(lambda w: w.fill_(torch.rand(3).tolist()[0])))


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
        record(lambda: initialized(lambda w: nn.Parameter(torch.randn(3, dtype=torch.complex128))))


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
