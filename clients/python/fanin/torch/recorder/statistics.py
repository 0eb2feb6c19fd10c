"""Statistics of random tensors that a model computes while it is built: norms, and vectors of `spectral_norm`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.nn.utils.parametrizations import _SpectralNorm

from fanin.recording.distributions import Direction, Distribution, Normal, Norms, Random, Singular, Uniform
from fanin.recording.patching import Function, Replaced
from fanin.torch.recorder.shadow_memory import Memory, current
from fanin.torch.writable import plainly

MOST_SHORT = 1e-6
"""Probability of a vector that is too short to get the norm 1, above which its direction is not recorded."""
FIRST_ROUNDS = 15
"""Iterations of the power method when `spectral_norm` is applied, in torch 2.13."""


def note(memory: Memory, func: Any, result: torch.Tensor, args: Any, kwargs: Any) -> None:
    """Record the content of the result of a function of torch, if it is a statistic."""
    found = _NOTED[func](memory, *args, **kwargs) if func in _NOTED else None
    if found is not None:
        memory.write(result, [(result.numel(), found)])


def _norms(memory: Memory, v: torch.Tensor, pow: int = 2, dim: int = 0) -> Distribution | None:
    """Return the norms of a tensor whose elements have the order in which they were drawn."""
    match memory.read(v):
        case [(_, Uniform() | Normal() as dist)] if not dist.place and not dist.order:
            return Norms(dist.draw, dist, tuple(v.shape), pow, dim)
    return None


def _direction(
    memory: Memory,
    input: torch.Tensor,
    p: float = 2.0,
    dim: int = 1,
    eps: float = 1e-12,
    out: Any = None,
) -> Distribution | None:
    """Return the content of a normalized vector of independent normals.

    None if its norm can be less than `eps`, which happens with a probability of at most eps^count.
    """
    match memory.read(input):
        case [(count, Normal(0, _, low, high) as dist)] if math.isinf(low) and math.isinf(high):
            is_vector = input.shape == (count,) and dim in (0, -1)
            if out is None and p == 2 and is_vector and max(eps, 0) ** count < MOST_SHORT:
                return Direction(dist.draw, count)
    return None


_NOTED: Mapping[Any, Callable[..., Distribution | None]] = {
    torch.norm_except_dim: _norms,
    torch.nn.functional.normalize: _direction,
}
NOTED = _NOTED.keys()
"""Functions whose results `note` can describe."""


def _started(plain: Function) -> Function:
    @functools.wraps(plain)
    def either(self: Any, weight: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        plain(self, weight, *args, **kwargs)
        if (memory := current()) is not None and weight.dim() > 1:
            with plainly():
                match memory.read(weight):
                    case [(_, Random() as dist)] if not dist.place and not dist.order and not weight.is_complex():
                        shape = tuple(weight.shape)
                        for vector, is_left in ((self._u, True), (self._v, False)):
                            made = Singular(dist.draw, dist, shape, self.dim, is_left, self.eps, FIRST_ROUNDS)
                            memory.write(vector, [(vector.numel(), made)])

    return either


def _continued(plain: Function) -> Function:
    @functools.wraps(plain)
    def either(self: Any, weight_mat: torch.Tensor, n_power_iterations: int) -> None:
        if (memory := current()) is not None:
            with plainly():
                match memory.read(self._u), memory.read(self._v), memory.read(weight_mat):
                    case [(_, Singular() as u)], [(_, Singular() as v)], [(_, Random() as dist)]:
                        if dist == u.dist and dist.draw == u.draw == v.draw and self.eps == u.eps == v.eps:
                            for vector, was in ((self._u, u), (self._v, v)):
                                made = replace(was, rounds=was.rounds + n_power_iterations)
                                memory.write(vector, [(vector.numel(), made)])
                            return
        plain(self, weight_mat, n_power_iterations)

    return either


_SPECTRAL_NORM = Replaced({"__init__": _started, "_power_method": _continued})


def noticing_spectral_norm() -> Any:
    """Return a context in which the vectors of `torch.nn.utils.parametrizations.spectral_norm` are followed."""
    return _SPECTRAL_NORM.within(_SpectralNorm)
