"""Models with planted faults, which are all found, and sound models, about which the inspection is quiet."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import fanin
from fanin import models
from fanin.inspection.results import Inspection
from fanin.inspection.rules import signals
from tests.inspection.faulty_models import FAULTS, Block, mlp
from tests.inspection.sound_models import CONFIGURATIONS, MODULES, transformer

ALWAYS = ("llama", "gemma2", "gpt2", "bert", "t5", "vit", "mamba", "resnet", "whisper")
"""Configurations that every run inspects; the soak inspects all."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small models are slower on several threads, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def loud(found: Inspection) -> list[tuple[str, str, str]]:
    """Return the findings that a quiet inspection does not have."""
    return [(each.kind, each.where, each.measured) for each in found.findings if each.level != "note"]


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_found(name: str) -> None:
    planted = FAULTS[name]
    found = fanin.inspect(planted.build)
    assert not found.is_quiet
    assert [
        each
        for each in found.findings
        if each.level != "note"
        and each.kind == planted.kind
        and each.where.startswith(planted.where)
        and planted.expected in each.measured + each.expected
    ], found.findings
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("name", MODULES)
def test_sound_modules_cause_no_alarm(name: str) -> None:
    torch.manual_seed(3)
    found = fanin.inspect(MODULES[name])
    assert found.is_quiet, loud(found)
    assert any(each.output for each in found.layers), found.remarks


@pytest.mark.parametrize("name", ALWAYS)
def test_sound_transformers_cause_no_alarm(name: str) -> None:
    torch.manual_seed(3)
    found = fanin.inspect(lambda: transformer(name))
    assert found.is_quiet, loud(found)
    assert any(each.gradient for each in found.layers), found.remarks


@pytest.mark.soak("inspect")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_alarm_at_any_seed(name: str, dtype: torch.dtype) -> None:
    for seed in range(10):
        torch.manual_seed(seed)
        found = fanin.inspect(lambda: transformer(name, dtype))
        assert found.is_quiet, (seed, loud(found))


@pytest.mark.soak("inspect")
@pytest.mark.parametrize("name", MODULES)
def test_no_alarm_of_a_module_at_any_seed(name: str) -> None:
    for seed in range(100):
        torch.manual_seed(seed)
        found = fanin.inspect(MODULES[name])
        assert found.is_quiet, (seed, loud(found))


@pytest.mark.soak("inspect")
@pytest.mark.parametrize("name", [name for name, planted in FAULTS.items() if planted.where])
def test_faults_are_found_again(name: str) -> None:
    for _ in range(10):
        assert FAULTS[name].kind in [each.kind for each in fanin.inspect(FAULTS[name].build).findings]


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.soak("inspect")) for part in range(1, 8))])
def test_the_catalogue_causes_no_alarm(part: int) -> None:
    tiny = [name for name in models.names() if name.startswith("tiny-")]
    assert len(tiny) > 40
    for name in tiny[part::8]:
        found = fanin.inspect(models.get(name).recipe(seed=5))
        assert found.is_quiet, (name, loud(found))


def test_a_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5)).eval()
    model[0].weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    assert fanin.inspect(model).layers
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert not model[0].weight.requires_grad
    assert all(each.grad is None for each in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_buffer_that_the_model_replaces_is_left_as_it_was() -> None:
    class Average(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)
            self.register_buffer("average", torch.zeros(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.average = 0.9 * self.average + 1
            return torch.as_tensor(self.fc(x))

    model = Average()
    before = model.average
    assert fanin.inspect(model).layers
    assert model.average is before
    assert not model.average.any()


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU])
def test_dead_units_of_activations_also_in_place(activation: type[nn.Module]) -> None:
    given = [{}] if activation is nn.GELU else [{}, {"inplace": True}]
    for arguments in given:
        model = nn.Sequential(nn.Linear(8, 16), activation(**arguments))
        with torch.no_grad():
            model[0].bias.fill_(10)  # by chance, a unit is negative for all 8 random examples
            model[0].bias[:3] = -1000
        (counted,) = [each for each in fanin.inspect(model).layers if each.units]
        assert (counted.units, counted.dead) == (16, 3)


def test_the_signal_is_that_of_the_model() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    x = torch.randn(50, 16)
    found = {each.name: each for each in fanin.inspect(model, inputs=x).layers if each.type == "Linear"}

    def rms(tensor: torch.Tensor) -> float:
        return float(tensor.square().mean().sqrt())

    with torch.no_grad():
        first, output = model[0](x), model(x)
    assert found["0"].input == pytest.approx(rms(x))
    assert found["0"].output == pytest.approx(rms(first), rel=1e-6)
    assert found["2"].gain == pytest.approx(rms(output) / rms(first.relu()), rel=1e-6)
    # The projection of the output is a standard normal vector: the gradient behind the last layer is N(0, W W^T).
    last = model[2].weight.detach()
    expected = float((last.square().sum() / 32).sqrt()) * rms((first > 0).float())
    assert found["0"].gradient == pytest.approx(expected, rel=0.3)
    assert found["2"].gradient == pytest.approx(1, rel=0.2)


def test_inputs_are_a_tensor_arguments_names_or_a_function_of_them() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.fc(x) * scale)

    x, scale = torch.ones(2, 8), torch.ones(1)
    for inputs in ((x, scale), {"x": x, "scale": scale}, lambda: (x, scale)):
        assert [each.input for each in fanin.inspect(Two(), inputs=inputs).layers if each.name == "fc"] == [1.0]
    found = fanin.inspect(Two())
    assert not found.layers
    assert any("TypeError" in remark and "scale" in remark for remark in found.remarks)


def test_tied_parameters_are_not_equal_tensors() -> None:
    model = MODULES["tied"]()
    assert fanin.inspect(model).is_quiet
    assert len([each for each in fanin.inspect(model).tensors if each.shape == (200, 64)]) == 1
    model.head.weight = nn.Parameter(model.embedding.weight.detach().clone())
    assert ("equal-tensors", "head.weight") in [each[:2] for each in loud(fanin.inspect(model))]


def test_a_meta_model_runs_nothing() -> None:
    with torch.device("meta"):
        model = mlp()
    found = fanin.inspect(model)
    assert {each.kind for each in found.findings} == {"meta"}
    assert not found.layers


def test_equal_layers_share_a_finding() -> None:
    model = nn.Sequential(*(Block() for _ in range(4)))
    with torch.no_grad():
        for block in model:
            block.up.weight.fill_(0.5)
    (finding,) = [each for each in fanin.inspect(model).findings if each.kind == "constant-weight"]
    assert (finding.where, finding.more) == ("0.up.weight", ("1.up.weight", "2.up.weight", "3.up.weight"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float64"])
def test_tensors_of_every_type_are_read(dtype: str) -> None:
    values = torch.linspace(-1, 1, 96).reshape(8, 12).to(getattr(torch, dtype))
    module = nn.Module()
    module.register_parameter("w", nn.Parameter(values, requires_grad=False))
    (tensor,) = fanin.inspect(module).tensors
    exact = values.double().numpy()
    assert (tensor.low, tensor.high, tensor.distinct) == (-1, 1, len(np.unique(exact)))
    assert tensor.std == pytest.approx(exact.std(), rel=1e-12)


def test_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="not int"):
        fanin.inspect(3)

    def build() -> Any:
        return len

    with pytest.raises(TypeError, match="which is not a model or arrays"):
        fanin.inspect(build)


def test_a_trained_model_causes_no_alarm() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), *(Block() for _ in range(4)), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    x = torch.randn(256, 32)
    target = (x @ torch.randn(32, 10)).argmax(1)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.5
    found = fanin.inspect(model)
    assert found.is_quiet, loud(found)


def test_masks_and_caches_are_notes() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)
            self.register_buffer("bias", torch.full((8, 8), -torch.inf).triu(1))
            self.register_buffer("cache", torch.empty(4, 8), persistent=False)
            self.register_buffer("scale", torch.Tensor(4, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.fc(x))

    levels = {each.where: (each.kind, each.level) for each in fanin.inspect(Masked).findings}
    assert levels == {
        "bias": ("nonfinite", "note"),
        "cache": ("uninitialized", "note"),
        "scale": ("uninitialized", "error"),
    }


def test_a_state_dict_is_read_in_every_type() -> None:
    model = nn.Sequential(nn.Linear(32, 16), nn.BatchNorm1d(16)).bfloat16()
    for state in (model.state_dict(), dict(model.named_parameters())):
        found = fanin.inspect(state)
        assert [each.name for each in found.tensors] == list(state)
        assert found.tensors[0].low == float(model[0].weight.detach().min())


def test_inputs_that_fail_are_an_error() -> None:
    with pytest.raises(ValueError, match="RuntimeError: mat1 and mat2 shapes"):
        fanin.inspect(mlp(), inputs=torch.ones(2, 7))
    for source in ({"shape": [8, 8], "scheme": "ones"}, {"w": np.ones((8, 8), np.float32)}, lambda: {"w": np.ones(8)}):
        with pytest.raises(ValueError, match="inputs are for"):
            fanin.inspect(source, inputs=torch.ones(2, 7))


def test_every_distributed_tensor_is_read() -> None:
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        mesh = init_device_mesh("cpu", (2,))
        weights = {f"{place}.weight": torch.randn(16, 8) for place in range(3)}
        found = fanin.inspect({name: distribute_tensor(each, mesh, [Shard(0)]) for name, each in weights.items()})
    finally:
        distributed.destroy_process_group()
    assert {each.name: each.high for each in found.tensors} == {
        name: float(each[:8].max()) for name, each in weights.items()
    }
    assert "3 distributed tensors were read in part: that of this rank" in found.remarks


@pytest.mark.parametrize(
    ("make", "layout"),
    [
        (lambda: torch.eye(8).to_sparse(), "the layout sparse_coo"),
        (lambda: torch.eye(8).to_sparse_csr(), "the layout sparse_csr"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "the layout nested"),
        (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged), "the layout nested"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "the type torch.qint8"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_without_an_element_for_each_place_are_remarked(make: Any, layout: str) -> None:
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(8, 8))
        model.odd = nn.Parameter(make(), requires_grad=False)
        return model

    for source in (build, build()):
        found = fanin.inspect(source, inputs=torch.randn(4, 8))
        assert f"odd has {layout}, which cannot be inspected" in found.remarks
        assert "0" in [layer.name for layer in found.layers]
    found = fanin.inspect({"plain": torch.randn(8, 8), "odd": make()})
    assert [each.name for each in found.tensors] == ["plain"]


def test_a_function_that_imports_torch_itself_is_remarked() -> None:
    program = """if True:
        import fanin
        def build():
            import torch
            return torch.nn.Linear(8, 8)
        print(fanin.inspect(build).remarks)
        print(fanin.inspect(build).remarks)
    """
    first, second = subprocess.check_output([sys.executable, "-c", program], text=True).splitlines()
    assert "import torch before" in first
    assert second == "()"


@pytest.mark.parametrize(("units", "dead"), [(8, 8), (101, 70), (16_384, 8_400), (16_384, 16_384)])
def test_the_tail_of_dead_units_is_that_of_fair_coins(units: int, dead: int) -> None:
    assert signals._tail(units, dead) == pytest.approx(stats.binom.sf(dead - 1, units, 0.5), rel=1e-9, abs=1e-300)
    assert signals._tail(units, units // 2) == 1  # an upper bound, which is not computed
