"""The initializers of `mlx.nn.init`, with their parameters and distributions, and with the numbers of a recipe.

    weight = fanin.mlx.initializers.he_normal(seed=42, name="fc.weight")(mx.zeros((256, 128)))

MLX gives an initializer an array, but no name and no key. So each random one takes the `seed` and the `name` of a
tensor, and returns that tensor of a recipe. Two calls with the same seed and name return the same numbers. The fans are
those of MLX, for shapes (out, \\*k, in). As in MLX, the result has the type of the initializer, not that of the array.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

import mlx.core as mx

from fanin.dtypes import FLOATING_NAMES
from fanin.mlx.arrays import array, name_of
from fanin.recipe import ONLY_TENSOR

__all__ = [
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "normal",
    "orthogonal",
    "uniform",
]

Fan = Literal["fan_in", "fan_out"]


def constant(value: float, dtype: mx.Dtype = mx.float32) -> Callable[[mx.array], mx.array]:
    """Return a function that returns an array of this value."""
    return lambda a: _made(a, dtype, 0, ONLY_TENSOR, scheme="constant", value=value)


def normal(
    mean: float = 0.0, std: float = 1.0, dtype: mx.Dtype = mx.float32, *, seed: int, name: str = ONLY_TENSOR
) -> Callable[[mx.array], mx.array]:
    """Return a function that returns normal numbers."""
    return lambda a: _made(a, dtype, seed, name, scheme="normal", mean=mean, std=std)


def uniform(
    low: float = 0.0, high: float = 1.0, dtype: mx.Dtype = mx.float32, *, seed: int, name: str = ONLY_TENSOR
) -> Callable[[mx.array], mx.array]:
    """Return a function that returns uniform numbers on [low, high]."""
    return lambda a: _made(a, dtype, seed, name, scheme="uniform", low=low, high=high)


def identity(dtype: mx.Dtype = mx.float32) -> Callable[[mx.array], mx.array]:
    """Return a function that returns an identity matrix. It refuses what is not a square matrix, as MLX does."""

    def initializer(a: mx.array) -> mx.array:
        if a.ndim != 2 or a.shape[0] != a.shape[1]:
            raise ValueError(f"an identity needs a square matrix, not an array of shape {tuple(a.shape)}")
        return _made(a, dtype, 0, ONLY_TENSOR, scheme="eye")

    return initializer


def glorot_normal(dtype: mx.Dtype = mx.float32, *, seed: int, name: str = ONLY_TENSOR) -> Callable[..., mx.array]:
    """Return a function of an array and a `gain` (1): N(0, gain^2 2 / (fan_in + fan_out))."""
    return lambda a, gain=1.0: _scaled(a, dtype, seed, name, gain, "fan_avg", "normal")


def glorot_uniform(dtype: mx.Dtype = mx.float32, *, seed: int, name: str = ONLY_TENSOR) -> Callable[..., mx.array]:
    """Return a function of an array and a `gain` (1): U(+-gain sqrt(6 / (fan_in + fan_out)))."""
    return lambda a, gain=1.0: _scaled(a, dtype, seed, name, gain, "fan_avg", "uniform")


def he_normal(dtype: mx.Dtype = mx.float32, *, seed: int, name: str = ONLY_TENSOR) -> Callable[..., mx.array]:
    """Return a function of an array, a `mode` (`fan_in`) and a `gain` (1): N(0, gain^2 / fan).

    As in MLX, the gain of a ReLU is not included. Other libraries multiply by sqrt(2).
    """
    return lambda a, mode="fan_in", gain=1.0: _scaled(a, dtype, seed, name, gain, _fan(mode), "normal")


def he_uniform(dtype: mx.Dtype = mx.float32, *, seed: int, name: str = ONLY_TENSOR) -> Callable[..., mx.array]:
    """Return a function of an array, a `mode` (`fan_in`) and a `gain` (1): U(+-gain sqrt(3 / fan)).

    As in MLX, the gain of a ReLU is not included. Other libraries multiply by sqrt(2).
    """
    return lambda a, mode="fan_in", gain=1.0: _scaled(a, dtype, seed, name, gain, _fan(mode), "uniform")


def orthogonal(
    gain: float = 1.0, dtype: mx.Dtype = mx.float32, *, seed: int, name: str = ONLY_TENSOR
) -> Callable[[mx.array], mx.array]:
    """Return a function that returns a Haar-distributed orthogonal matrix times `gain`. It refuses other shapes."""

    def initializer(a: mx.array) -> mx.array:
        if a.ndim != 2:
            raise ValueError(f"an orthogonal matrix needs 2 axes, not {a.ndim}")
        return _made(a, dtype, seed, name, scheme="orthogonal", gain=gain, layout="torch")

    return initializer


def _fan(mode: str) -> str:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode: {mode!r} is neither 'fan_in' nor 'fan_out'")
    return mode


def _scaled(a: mx.array, dtype: mx.Dtype, seed: int, name: str, gain: float, mode: str, distribution: str) -> mx.array:
    if a.ndim < 2:
        raise ValueError(f"fans need an array of 2 axes or more, not {a.ndim}")
    scale = float(Fraction(gain) ** 2)
    members = {"scheme": "variance_scaling", "scale": scale, "mode": mode, "distribution": distribution}
    return _made(a, dtype, seed, name, in_axes=[-1], out_axes=[0], **members)


def _made(a: mx.array, dtype: mx.Dtype, seed: int, name: str, **members: Any) -> mx.array:
    """Return the tensor of a recipe with the shape of `a`.

    Raises:
        RecipeError: the seed, the name or a parameter is not one that a recipe has.
        TypeError: no recipe has this type.
    """
    storage = FLOATING_NAMES.get(name_of(dtype))
    if storage is None:
        raise TypeError(f"dtype {name_of(dtype)}: the storage type must be one of {', '.join(FLOATING_NAMES)}")
    tensor = {"shape": list(a.shape), "dtype": storage, **members}
    return array({"seed": seed, "tensors": {name: tensor}}, name)
