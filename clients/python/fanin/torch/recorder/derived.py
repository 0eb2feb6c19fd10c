"""Literals that a recording computes under its seed: norms of a random tensor, and vectors of `spectral_norm`.

They depend on all elements of a tensor, so no scheme has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from fanin.arrays import materialize
from fanin.recipe import Recipe
from fanin.recording.distributions import Direction, Norms, Random, Singular, Statistic
from fanin.recording.to_scheme import RefusedError

MOST_NORMED = 1 << 25
"""Maximum number of elements of a tensor of which a statistic is computed."""


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
    eps: float
    """Least number by which the vector is divided."""
    rounds: int
    """Iterations of the power method, from a random vector."""
    what: str = field(default="a vector of the power method", repr=False)

    def values(self, recipe: Recipe, like: torch.Tensor) -> torch.Tensor:
        """Return the vector of the tensor that a recipe defines, with the shape and type of another tensor."""
        matrix = _drawn(recipe.part([self.of])).movedim(self.axis, 0).flatten(1)
        v, u = _unit(f"{self.of}:power_method", matrix.shape[1], recipe.seed), matrix[:, 0]
        for _ in range(self.rounds):
            u = torch.nn.functional.normalize(matrix @ v, dim=0, eps=self.eps)
            v = torch.nn.functional.normalize(matrix.T @ u, dim=0, eps=self.eps)
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
    return SingularVector(of, statistic.axis, statistic.is_left, statistic.eps, statistic.rounds)
