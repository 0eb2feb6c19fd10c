"""Compare the recipe of one model with a run of the model."""

from __future__ import annotations

import resource
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy import stats

import fanin
from fanin.recipe import Recipe
from fanin.torch import RecordError, Recording, record
from tests.recording.comparing import numbers

MOST_BUILT = 12_000_000
"""Maximum number of parameters of a model that is run and compared. Larger models are only recorded."""
SECONDS = 120
"""Maximum CPU time for one model, in seconds."""
MOST_MEMORY = 12 << 30
"""Maximum memory of the process, in bytes. Above it torch refuses to allocate, so no other process is killed."""
SAMPLE = 1 << 14
MIN_P = 1e-6
"""Minimum p-value of each of two runs. A right distribution fails both for one of 10^12 tensors."""

Said = Literal["compared", "recorded", "refused", "wrong", "crashed", "not built"]


@dataclass(frozen=True)
class Case:
    """A model that can be built."""

    name: str
    build: Callable[[], torch.nn.Module]


@dataclass(frozen=True)
class Verdict:
    """The result of a case."""

    name: str
    said: Said
    """Compared: its distributions are those of a run. Recorded: too large to run. Not built: the model's code fails."""
    detail: str = ""
    tensors: int = 0
    """Number of tensors that were compared."""


def judged(case: Case) -> Verdict:
    """Record a model, run it, compare both, and return the verdict."""
    with warnings.catch_warnings(), _limited():
        warnings.simplefilter("ignore")
        try:
            recording = record(case.build)
        except RecordError as refusal:
            # Building the model can fail with any exception. If it succeeds, the recorder has refused the model.
            return _unless_broken(case, Verdict(case.name, "refused", str(refusal)))
        except TimeoutError as error:
            return Verdict(case.name, "not built", str(error))
        except Exception as error:
            return _unless_broken(case, Verdict(case.name, "crashed", f"{type(error).__name__}: {error}"))
        if sum(torch.Size(each.shape).numel() for each in recording.recipe.tensors.values()) > MOST_BUILT:
            return Verdict(case.name, "recorded")
        try:
            found = _differences(recording, case, 1)
            wrong = found.keys() & _differences(recording, case, 2).keys() if found else set()
        except Exception as error:
            return Verdict(case.name, "not built", f"{type(error).__name__}: {error}")
    if wrong:
        return Verdict(case.name, "wrong", "; ".join(f"{name}: {found[name]}" for name in sorted(wrong)[:3]))
    return Verdict(case.name, "compared", tensors=len(recording.recipe.tensors) + len(recording.literals))


def _unless_broken(case: Case, verdict: Verdict) -> Verdict:
    if "random values" not in verdict.detail and verdict.said == "refused" and "\n/" in "\n" + verdict.detail:
        return verdict
    # Models of tens of billions of parameters fail on the meta device too, if their own code fails.
    for device in ("meta", "cpu"):
        try:
            with torch.device(device):
                _run(case, 1)
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            if detail == verdict.detail or (device == "cpu" and "can't allocate memory" not in detail):
                return Verdict(case.name, "not built", detail)
    return verdict


def _run(case: Case, seed: int) -> Mapping[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = case.build().state_dict()
    return {name.replace("_orig_mod.", ""): tensor for name, tensor in state.items()}


def _differences(recording: Recording, case: Case, seed: int) -> dict[str, str]:
    """Return the differences between the recording and a run of the model, by name."""
    run = {name: each for name, each in _run(case, seed).items() if isinstance(each, torch.Tensor)}
    found = dict.fromkeys({*recording.recipe.tensors, *recording.literals, *recording.tied} ^ set(run), "not in both")
    for name, other in recording.tied.items():
        if run[name].untyped_storage().data_ptr() != run[other].untyped_storage().data_ptr():
            found[name] = f"not tied to {other}"
    for name, literal in recording.literals.items():
        ours, theirs = numbers(literal), numbers(run[name])
        if name in recording.norms:
            found |= _other_distribution(name, ours, theirs)
        elif literal.dtype != run[name].dtype or not np.allclose(ours, theirs, 1e-5, 1e-6, equal_nan=True):
            found[name] = "other values"
    names = [name for name in recording.recipe.tensors if name in run]
    for name in names:
        found |= _other_tensor(recording.recipe, name, run[name], seed)
    return found


def _other_tensor(recipe: Recipe, name: str, theirs: torch.Tensor, seed: int) -> dict[str, str]:
    tensor = recipe.tensors[name]
    # Some rows are enough for a tensor of one distribution. Blocks and matrices need all rows.
    rows = len(theirs) if theirs.dim() else 0
    if tensor.scheme not in ("blocks", "orthogonal", "sparse") and theirs.numel() > 4 * SAMPLE:
        rows = max(4 * SAMPLE * rows // theirs.numel(), 2)
    made, again = (
        numbers(fanin.slice({"seed": each, "tensors": {name: tensor}}, name, slice(0, rows) if theirs.dim() else ()))
        for each in (seed, seed + 10)
    )
    run = numbers(theirs[:rows] if theirs.dim() else theirs)
    if tuple(tensor.shape) != tuple(theirs.shape):
        return {name: f"{tensor.shape} for {tuple(theirs.shape)}"}
    if np.array_equal(made, again):
        near = 1e-3 if tensor.scheme == "sinusoidal" else 1e-5
        return (
            {} if np.allclose(made, run, near, near if tensor.scheme == "sinusoidal" else 0) else {name: "other values"}
        )
    return _other_distribution(name, made, run)


def _other_distribution(name: str, ours: np.ndarray, theirs: np.ndarray) -> dict[str, str]:
    """Return the difference of two tensors: constant rows must be equal, and other rows have one distribution."""
    if ours.ndim > 1:
        still = [np.ptp(each.reshape(len(each), -1), 1) == 0 for each in (ours, theirs)]
        if ours[0].size > 1 and not np.array_equal(*still):
            return {name: "other rows are constant"}
        rows = ~still[0] if ours[0].size > 1 else slice(None)
        ours, theirs = ours[rows], theirs[rows]
    generator = np.random.default_rng(0)
    sample, other = (generator.permutation(each.ravel())[:SAMPLE] for each in (ours, theirs))
    if not len(sample):
        return {}
    p = stats.ks_2samp(sample, other).pvalue
    return {} if p > MIN_P else {name: f"p = {p:.1e}, std {sample.std():.4g} for {other.std():.4g}"}


@contextmanager
def _limited() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    allowed, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, most))
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
