"""Comparison of a recorded recipe with a run of the model's initialization."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn

import fanin
from fanin.torch import Recording, record

MIN_P = 1e-6


def recorded_as_it_runs(build: Callable[[], torch.nn.Module]) -> Recording:
    """Return the recording, after a check that each tensor has the distribution of a run of the model."""
    recording = record(build)
    torch.manual_seed(7)
    run = build().state_dict()
    assert {*recording.recipe.tensors, *recording.literals, *recording.tied} == set(run)
    for name, other in recording.tied.items():
        assert run[name].data_ptr() == run[other].data_ptr()
    for name, literal in recording.literals.items():
        assert literal.dtype == run[name].dtype
        if name in recording.norms:
            assert_one_distribution(name, literal.double().numpy(), run[name].double().numpy())
        else:
            assert torch.equal(literal, run[name]), name
    drawn = {name: run[name] for name in recording.recipe.tensors}
    assert {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in drawn.items()} == {
        name: str(tensor.dtype) for name, tensor in fanin.materialize(recording.recipe).items()
    }
    assert_one_distribution_each(recording.recipe, {name: numbers(tensor) for name, tensor in drawn.items()})
    return recording


def assert_one_distribution_each(recipe: fanin.Recipe, run: Mapping[str, np.ndarray]) -> None:
    """Compare a recipe's tensors with those of a run. Tensors that are not random must be equal."""
    made, again = (fanin.materialize(recipe.model_copy(update={"seed": seed})) for seed in (1, 2))
    for name, theirs in run.items():
        ours = numbers(made[name])
        assert ours.shape == theirs.shape
        if (made[name] == again[name]).all():
            # The model computes position times frequency in its type; the sines have that error.
            is_turned = recipe.tensors[name].scheme == "sinusoidal"
            near = 16 * np.finfo(np.float32).eps * theirs.shape[-2] if is_turned else 0.0
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=near, err_msg=name)
        else:
            assert_one_distribution(name, ours, theirs)


def numbers(values: torch.Tensor | np.ndarray) -> np.ndarray:
    """Return the values in float64. The parts of complex values are along an additional last axis."""
    tensor = values.detach() if isinstance(values, torch.Tensor) else None
    if tensor is None:
        array = np.asarray(values)
        array = np.stack([array.real, array.imag], -1) if np.iscomplexobj(array) else array
        return array.astype(np.float64)
    real: np.ndarray = (torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor).double().numpy()
    return real


def assert_one_distribution(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Compare the distributions of two tensors. Constant rows, such as padding rows and gates, are compared apart."""
    flat = ours.ndim < 2
    ours, theirs = (values.reshape(1 if flat else len(values), -1) for values in (ours, theirs))
    same = (ours == theirs).all(axis=1)
    constant = np.ptp(theirs, axis=1) == 0 if theirs.shape[1] > 1 else same
    assert (same == constant).all() or flat, name
    sample, other = (values[~same].ravel()[: 1 << 16] for values in (ours, theirs))
    assert stats.ks_2samp(sample, other).pvalue > MIN_P, name


def initialized(initialize: Callable[[torch.Tensor], Any], shape: tuple[int, ...] = (64, 64)) -> nn.Module:
    """Return a module with one parameter, to which `initialize` was applied."""
    module = nn.Module()
    module.weight = nn.Parameter(torch.empty(shape))
    with torch.no_grad():
        returned = initialize(module.weight)
        if isinstance(returned, nn.Parameter):
            module.weight = returned
    return module


def members_of(initialize: Callable[[torch.Tensor], Any], shape: tuple[int, ...] = (64, 64)) -> dict[str, Any]:
    """Return the recipe's members for one tensor, without its shape, after a comparison with a run."""
    recording = recorded_as_it_runs(lambda: initialized(initialize, shape))
    said = recording.recipe.tensors["weight"].model_dump(exclude_defaults=True)
    return {field: value for field, value in said.items() if field != "shape"}
