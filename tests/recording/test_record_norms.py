"""Recording of torch: magnitudes of weight norm and vectors of spectral norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import fanin
import fanin.torch
from fanin.torch import RecordError, record
from tests.recording.comparing import initialized, recorded_as_it_runs


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
            lambda: initialized(
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


def test_vectors_of_spectral_norm_have_its_least_divisor() -> None:
    """Their norm is less than 1 if the product of the matrix and a vector is shorter than `eps`."""
    recording = record(lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(30, 20), eps=10.0))
    for each in (recording, recording.with_seed(3)):
        weight = torch.from_numpy(fanin.materialize(each.recipe)["parametrizations.weight.original"])
        u, v = (each.literals[f"parametrizations.weight.0._{side}"] for side in "uv")
        assert torch.allclose(v, weight.T @ u / 10, rtol=1e-4, atol=0)
        assert v.norm() < 1e-6


def test_vectors_of_spectral_norm_of_a_complex_weight_are_refused() -> None:
    class Complex(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 5, dtype=torch.complex64))

    with pytest.raises(RecordError, match=r"_u: no scheme describes"):
        record(lambda: nn.utils.parametrizations.spectral_norm(Complex()))


def test_vectors_of_the_older_spectral_norm_are_random_and_have_norm_1() -> None:
    recording = recorded_as_it_runs(lambda: nn.utils.spectral_norm(nn.Linear(400, 300)))
    assert set(recording.norms) == {"weight_u", "weight_v"}
    other = recording.with_seed(1)
    for name in recording.norms:
        assert abs(recording.literals[name].norm() - 1) < 1e-5
        assert abs(recording.literals[name] @ other.literals[name]) < 0.3


@pytest.mark.parametrize("eps", [1e-12, 1e-4, 1.0, 100.0])
def test_vectors_of_the_older_spectral_norm_that_may_be_shorter_are_refused(eps: float) -> None:
    def build() -> nn.Module:
        return nn.utils.spectral_norm(nn.Linear(40, 30), eps=eps)

    if eps < 1:
        assert set(record(build).norms) == {"weight_u", "weight_v"}
        return
    with pytest.raises(RecordError, match="/weight_u: no scheme describes"):
        record(build)


def test_vectors_of_spectral_norm_of_a_weight_that_was_drawn_again_are_refused() -> None:
    def build() -> nn.Module:
        layer = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 6))
        nn.init.normal_(layer.parametrizations.weight.original)
        return layer

    with pytest.raises(RecordError, match=r"_u: .* not in the model, or was changed"):
        record(build)


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
