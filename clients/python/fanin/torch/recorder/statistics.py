"""Vectors that depend on all elements of a random tensor: norms, and the vectors of `spectral_norm`.

No scheme has them. A recording computes them under its seed, and stores them as literals.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn.utils.parametrizations import _SpectralNorm

from fanin.arrays import materialize
from fanin.recipe import Recipe
from fanin.recording.distributions import Direction, Distribution, Normal, Norms, Random, Singular, Statistic, Uniform
from fanin.recording.patching import Function, Replaced
from fanin.recording.to_scheme import RefusedError
from fanin.torch.recorder.shadow_memory import Memory, current
from fanin.torch.writable import plainly

MOST_NORMED = 1 << 25
"""Maximum number of elements of a tensor of which a statistic is computed."""
FIRST_ROUNDS = 15
"""Iterations of the power method when `spectral_norm` is applied, in torch 2.13."""


@dataclass(frozen=True)
class Norm:
    """A literal that depends on a tensor of the recipe: norms of its slices, the magnitudes of `weight_norm`."""

    of: str
    """The name of the tensor in the recipe."""
    power: int
    axis: int
    """Axis that has one norm for each index; -1 for one norm of all elements."""
    what: str = field(default="norms", repr=False)

    def values(self, recipe: Recipe, like: torch.Tensor) -> torch.Tensor:
        """Return the norms of the tensor that a recipe defines, with the shape and type of another tensor."""
        taken: torch.Tensor = torch.norm_except_dim(_drawn(recipe.part([self.of])), self.power, self.axis)
        return taken.to(like.dtype).reshape(like.shape)


@dataclass(frozen=True)
class SingularVector:
    """A literal that depends on a tensor of the recipe: a vector of `torch.nn.utils.parametrizations.spectral_norm`."""

    of: str
    """The name of the tensor in the recipe."""
    axis: int
    """Axis of the rows of the matrix. The others are its columns."""
    is_left: bool
    """True for `_u`, which has an element for each row; False for `_v`."""
    rounds: int
    """Iterations of the power method, from a random vector."""
    what: str = field(default="a vector of the power method", repr=False)

    def values(self, recipe: Recipe, like: torch.Tensor) -> torch.Tensor:
        """Return the vector of the tensor that a recipe defines, with the shape and type of another tensor."""
        matrix = _drawn(recipe.part([self.of])).movedim(self.axis, 0).flatten(1)
        v, u = _unit(f"{self.of}:power_method", matrix.shape[1], recipe.seed), matrix[:, 0]
        for _ in range(self.rounds):
            u = torch.nn.functional.normalize(matrix @ v, dim=0)
            v = torch.nn.functional.normalize(matrix.T @ u, dim=0)
        return (u if self.is_left else v).to(like.dtype).reshape(like.shape)


@dataclass(frozen=True)
class UnitVector:
    """A literal that is random, uniform on the sphere: a vector of the older `torch.nn.utils.spectral_norm`."""

    of: str
    """Its own name. It depends on the seed and on no tensor of the recipe."""
    what: str = field(default="random numbers of norm 1", repr=False)

    def values(self, recipe: Recipe, like: torch.Tensor) -> torch.Tensor:
        """Return the vector under the seed of a recipe, with the shape and type of another tensor."""
        return _unit(self.of, like.numel(), recipe.seed).to(like.dtype).reshape(like.shape)


Derived = Norm | SingularVector | UnitVector


def _drawn(recipe: Recipe) -> torch.Tensor:
    """Return the only tensor of a recipe in float64."""
    (drawn,) = materialize(recipe).values()
    return torch.from_numpy(drawn.astype(np.float64))


def _unit(name: str, size: int, seed: int) -> torch.Tensor:
    document = {"seed": seed, "tensors": {name: {"shape": [size], "dtype": "F64", "scheme": "normal", "std": 1.0}}}
    (drawn,) = materialize(document).values()
    return torch.nn.functional.normalize(torch.from_numpy(drawn), dim=0)


def derived(name: str, statistic: Statistic, drawn: Mapping[int, tuple[str, Random, torch.Size]]) -> Derived:
    """Return what computes a statistic, the tensor `name`.

    Args:
        name: The tensor's name.
        statistic: Its content.
        drawn: Name, distribution and shape of each complete random tensor of the model, by its draw.

    Raises:
        RefusedError: the random tensor is not in the model, was changed, or is too large.
    """
    if isinstance(statistic, Direction):
        return UnitVector(name)
    assert isinstance(statistic, Norms | Singular)
    of, dist, shape = drawn.get(statistic.draw, ("", None, ()))
    if dist != statistic.dist or dist.place or dist.order or shape != statistic.shape:
        raise RefusedError("norms of a random tensor that is not in the model, or was changed afterwards")
    if math.prod(shape) > MOST_NORMED:
        raise RefusedError(f"norms of {math.prod(shape)} values; at most {MOST_NORMED} are computed")
    if isinstance(statistic, Norms):
        return Norm(of, statistic.power, statistic.axis)
    return SingularVector(of, statistic.axis, statistic.is_left, statistic.rounds)


# ---- noticed while a model is built ---------------------------------------------------------------------------------


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
    eps: float = 1e-12,  # noqa: ARG001
    out: Any = None,
) -> Distribution | None:
    """Return the content of a normalized vector of independent normals."""
    match memory.read(input):
        case [(count, Normal(0, _, low, high) as dist)] if math.isinf(low) and math.isinf(high):
            if out is None and p == 2 and input.shape == (count,) and dim in (0, -1):
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
                    case [(_, Random() as dist)] if not dist.place and not dist.order:
                        for vector, is_left in ((self._u, True), (self._v, False)):
                            made = Singular(dist.draw, dist, tuple(weight.shape), self.dim, is_left, FIRST_ROUNDS)
                            memory.write(vector, [(vector.numel(), made)])

    return either


def _continued(plain: Function) -> Function:
    @functools.wraps(plain)
    def either(self: Any, weight_mat: torch.Tensor, n_power_iterations: int) -> None:
        if (memory := current()) is not None:
            with plainly():
                match memory.read(self._u), memory.read(self._v), memory.read(weight_mat):
                    case [(_, Singular() as u)], [(_, Singular() as v)], [(_, Random() as dist)]:
                        if dist == u.dist and dist.draw == u.draw == v.draw:
                            for vector, was in ((self._u, u), (self._v, v)):
                                made = Singular(
                                    was.draw,
                                    was.dist,
                                    was.shape,
                                    was.axis,
                                    was.is_left,
                                    was.rounds + n_power_iterations,
                                )
                                memory.write(vector, [(vector.numel(), made)])
                            return
        plain(self, weight_mat, n_power_iterations)

    return either


_SPECTRAL_NORM = Replaced({"__init__": _started, "_power_method": _continued})


def noticing_spectral_norm() -> Any:
    """Return a context in which the vectors of `torch.nn.utils.parametrizations.spectral_norm` are followed."""
    return _SPECTRAL_NORM.within(_SpectralNorm)
