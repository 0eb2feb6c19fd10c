"""A model's own run beside its recorded recipe."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats

import fanin
from fanin.torch import Recording, record

MIN_P = 1e-6


def recorded_as_it_runs(build: Callable[[], torch.nn.Module]) -> Recording:
    """The recording, each tensor of which was found to follow the law that the model's own run gives it."""
    recording = record(build)
    torch.manual_seed(7)
    run = build().state_dict()
    made = fanin.materialize(recording.recipe)
    assert {*made, *recording.literals, *recording.tied} == set(run)
    for name, other in recording.tied.items():
        assert run[name].data_ptr() == run[other].data_ptr()
    for name, literal in recording.literals.items():
        assert literal.dtype == run[name].dtype
        assert torch.equal(literal, run[name]), name
    for name, ours in made.items():
        theirs = run[name]
        assert tuple(ours.shape) == tuple(theirs.shape)
        assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch."), name
        _assert_one_law(name, np.asarray(ours, np.float64), theirs.double().numpy())
    return recording


def _assert_one_law(name: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Rows apart, as far as they are told apart by being constant: padding rows, gates."""
    flat = ours.ndim < 2
    ours, theirs = (values.reshape(1 if flat else len(values), -1) for values in (ours, theirs))
    same = (ours == theirs).all(axis=1)
    constant = np.ptp(theirs, axis=1) == 0 if theirs.shape[1] > 1 else same
    assert (same == constant).all() or flat, name
    if not same.all():
        sample, other = (values[~same].ravel()[: 1 << 16] for values in (ours, theirs))
        assert stats.ks_2samp(sample, other).pvalue > MIN_P, name
