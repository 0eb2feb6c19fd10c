"""Random programs that initialize a tensor: the recording of each is compared with many runs of the program.

Each element of the recipe has the distribution of the program's element, constants are equal, and no two random
elements depend on each other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import fanin
from fanin.torch import RecordError, record

RUNS = 200
MIN_P = 1e-8
CORRELATED = 0.45
"""Correlation of two elements over `RUNS` runs that independent ones do not reach: 6 standard deviations."""
RECORDED_WRONGLY = (1025, 1070, 1110, 1149)
"""Programs with a number between zeros, and with constants of another type, that were recorded with other values."""
MOST = 24
"""Maximum number of elements that are compared."""
TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
SHAPES = ((4, 5), (6,), (3, 3), (2, 3, 2), (5, 4))
NUMBERS = (0.5, -1.0, 2.0, 0.1, 3.0, -0.25, 0.0)
Tensor = torch.Tensor


class Choices:
    """Choices of one step of a program, the same in each run."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def of(self, values: Any) -> Any:
        return self._random.choice(values)

    def number(self) -> float:
        return self.of(NUMBERS)

    def place(self, size: int) -> int:
        return self._random.randrange(size)

    def drawn(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Random numbers or constants."""
        empty = torch.empty(shape, dtype=dtype)
        return self.of(
            [
                lambda: empty.uniform_(-1, 2),
                lambda: empty.normal_(0.5, 2),
                lambda: empty.fill_(0.7),
                lambda: empty.zero_(),
                lambda: torch.randn(shape, dtype=dtype),
                lambda: torch.rand(shape, dtype=dtype),
                lambda: nn.init.trunc_normal_(torch.empty(shape), std=1.0, a=-1.5, b=2.0).to(dtype),
            ]
        )()


def _set(w: Tensor, index: Any, value: Any) -> Tensor:
    w[index] = value
    return w


def _columns(w: Tensor, c: Choices) -> Tensor:
    return torch.arange(w.shape[-1]) > c.place(w.shape[-1])


OPERATIONS: tuple[Callable[[Tensor, Choices], Tensor], ...] = (
    lambda w, c: w.mul_(c.number()),
    lambda w, c: w + c.number(),
    lambda w, c: c.number() - w,
    lambda w, _: w.neg_(),
    lambda w, _: w / 3,
    lambda w, c: w * torch.tensor(c.number(), dtype=c.of(TYPES)),
    lambda w, c: w * torch.full(w.shape[-1:], c.number()).to(w.dtype),
    lambda w, _: w + torch.arange(w.shape[-1]).to(w.dtype),
    lambda w, c: torch.add(w, torch.full_like(w, c.number()), alpha=3),
    lambda w, c: w.to(c.of(TYPES)),
    lambda w, c: torch.empty_like(w, dtype=c.of(TYPES)).copy_(w),
    lambda w, c: w.copy_(c.drawn(tuple(w.shape), c.of(TYPES))),
    lambda w, c: _set(w, c.place(len(w)), c.number()),
    lambda w, c: _set(w, (..., c.place(w.shape[-1])), c.number()),
    lambda w, c: _set(w, slice(c.place(len(w)), None), c.number()),
    lambda w, c: _set(w, torch.arange(len(w)) > c.place(len(w)), c.number()),
    lambda w, c: w.masked_fill(_columns(w, c), c.number()),
    lambda w, c: w.index_fill(0, torch.tensor([0, len(w) - 1]), c.number()),
    lambda w, c: torch.where(_columns(w, c), c.number(), w),
    lambda w, c: torch.where(_columns(w, c), w, c.drawn(tuple(w.shape), c.of(TYPES))),
    lambda w, c: nn.functional.pad(w, (0, 1), value=c.number()),
    lambda w, _: nn.functional.pad(w, (1, 0)),
    lambda w, c: torch.cat([w, c.drawn(tuple(w.shape), c.of(TYPES))], c.of([0, -1])),
    lambda w, c: torch.cat([w, w * c.number()], -1),
    lambda w, c: torch.stack([w, c.drawn(tuple(w.shape), w.dtype)], -1),
    lambda w, c: _set(w, slice(None, None, 2), c.drawn((len(w[::2]), *w.shape[1:]), w.dtype)),
    lambda w, c: _set(w, [0, -1], c.drawn((2, *w.shape[1:]), w.dtype)),
    lambda w, _: _set(w, (..., slice(1, None)), w[..., :-1].clone()),
    lambda w, c: w.roll(c.place(len(w)), 0),
    lambda w, _: w.flip(-1),
    lambda w, _: w[::2],
    lambda w, _: w.transpose(0, -1).reshape(w.shape),
    lambda w, _: w.movedim(0, -1),
    lambda w, _: torch.tril(w) if w.dim() == 2 else w,
    lambda w, c: w.fill_diagonal_(c.number()) if w.dim() == 2 else w,
    lambda w, _: nn.init.xavier_normal_(w) if w.dim() > 1 else w,
    lambda w, _: nn.init.trunc_normal_(w[: len(w) // 2], std=0.5) if len(w) > 1 else w,
    lambda w, _: w.clamp(-60, 60),
    lambda w, c: w.clamp(min=c.number()),
    lambda w, _: w + w,
    lambda w, _: w - w.roll(1, 0),
    lambda w, _: (torch.rand(w.shape) * 3 + 1).log(),
    lambda w, _: torch.erfinv(torch.rand(w.shape) * 1.9 - 0.95),
)


def run(program: int) -> nn.Module:
    """Run a program with torch's generator."""
    choices = Choices(f"{program}")
    steps = [choices.of(OPERATIONS) for _ in range(choices.of(range(2, 8)))]
    with torch.no_grad():
        w = choices.drawn(choices.of(SHAPES), choices.of(TYPES))
        for place, step in enumerate(steps):
            w = step(w, Choices(f"{program}, step {place}"))
            w = w.reshape(-1)[:MOST] if w.numel() > 60 else w
    module = nn.Module()
    module.register_buffer("w", w)
    return module


def differences(program: int) -> list[str] | None:
    """Return what differs between a program and its recipe; None if it cannot run or is refused."""
    try:
        torch.manual_seed(program)
        shape, dtype = (run(program).w.shape, run(program).w.dtype)
    except (IndexError, RuntimeError):
        return None
    try:
        recording = record(lambda: run(program))
    except RecordError:
        return None
    found = np.stack([_numbers(run(program).w) for _ in range(RUNS)])
    if "w" in recording.literals:
        literal = recording.literals["w"]
        if (literal.shape, literal.dtype) != (shape, dtype):
            return [f"{literal.shape} {literal.dtype} for {shape} {dtype}"]
        wanted = np.repeat(_numbers(literal)[None], RUNS, 0)
    else:
        made = [fanin.materialize(recording.recipe.seeded(seed))["w"] for seed in range(RUNS)]
        if made[0].shape != tuple(shape) or str(made[0].dtype) != str(dtype).removeprefix("torch."):
            return [f"{made[0].shape} {made[0].dtype} for {shape} {dtype}"]
        wanted = np.stack([each.astype(np.float64).ravel() for each in made])
    columns = [_difference(*pair) for pair in zip(found.T, wanted.T, strict=True)]
    return [*filter(None, columns), *_dependent("the program", found), *_dependent("the recipe", wanted)]


def _numbers(tensor: Tensor) -> np.ndarray:
    numbers: np.ndarray = tensor.double().numpy().ravel()
    return numbers


def _difference(found: np.ndarray, wanted: np.ndarray) -> str:
    """Compare the values of one element over all runs."""
    if not np.isfinite(found).all() or min(np.ptp(found), np.ptp(wanted)) < 1e-12:
        is_same = np.allclose(found, wanted, rtol=2e-6, atol=1e-7, equal_nan=True)
    else:
        is_same = stats.ks_2samp(found, wanted).pvalue > MIN_P
    return "" if is_same else f"{found[:3]} in the program, {wanted[:3]} in the recipe"


def _dependent(which: str, values: np.ndarray) -> list[str]:
    """Find two elements that depend on each other."""
    moving = values[:, np.isfinite(values).all(0) & (np.ptp(values, 0) > 1e-12)]
    if moving.shape[1] < 2:
        return []
    most = np.abs(np.corrcoef(moving.T) - np.eye(moving.shape[1])).max()
    return [f"a correlation of {most} in {which}"] if most > CORRELATED else []


def check(programs: Sequence[int]) -> None:
    verdicts = {program: differences(program) for program in programs}
    compared = [program for program, verdict in verdicts.items() if verdict is not None]
    print(f"{len(compared)} of {len(programs)} programs were recorded and compared")
    assert len(compared) > len(programs) / 3
    assert {program: verdicts[program] for program in compared if verdicts[program]} == {}


def test_a_few_programs() -> None:
    check([*range(16), *RECORDED_WRONGLY])


@pytest.mark.soak("models")
def test_many_programs() -> None:
    check(range(1000, 4000))
