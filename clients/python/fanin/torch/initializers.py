"""The initializers of `torch.nn.init`, by their names and parameters, with a stream for each tensor.

    from fanin.torch import initializers as init, seeded

    with seeded(42, model):
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                init.kaiming_normal_(layer.weight, nonlinearity="relu")
                init.zeros_(layer.bias)

The law is torch's, the elements are those of a recipe with this seed and the tensor's name: neither the order of the
calls nor what else the model has changes them. Without `seeded`, `seed` and `name` are given together. DTensors get
this rank's shard of the one tensor that all make together, with the fans of the whole. As in torch, a tensor on the
meta device stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.nn.init import calculate_gain

from fanin.dialects.torch import Nonlinearity, TorchMode
from fanin.layout import Layout
from fanin.recipe import as_recipe
from fanin.torch.modules import Named, named
from fanin.torch.recording import DTYPES
from fanin.torch.shards import local, memory_of
from fanin.torch.tensors import fill

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "seeded",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_Names = dict[object, Named]
_seeded: ContextVar[tuple[int, _Names] | None] = ContextVar("fanin_seeded", default=None)


@contextmanager
def seeded(seed: int, module: nn.Module) -> Iterator[None]:
    """Within it, initializers take this seed, and for a parameter or buffer of `module` its name in `state_dict()`.

    Of several names of one memory it is the first.
    """
    names: _Names = {}
    for each in named(module):
        names.setdefault(each.memory, each)
    token = _seeded.set((seed, names))
    try:
        yield
    finally:
        _seeded.reset(token)


def uniform_(
    tensor: torch.Tensor,
    a: float = 0.0,
    b: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Uniform on [a, b]."""
    return _fill(tensor, _stream(tensor, seed, name, generator), scheme="uniform_", a=a, b=b)


def normal_(
    tensor: torch.Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Normal."""
    return _fill(tensor, _stream(tensor, seed, name, generator), scheme="normal_", mean=mean, std=std)


def trunc_normal_(
    tensor: torch.Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Normal, restricted to [a, b], which are values and not standard deviations."""
    stream = _stream(tensor, seed, name, generator)
    return _fill(tensor, stream, scheme="trunc_normal_", mean=mean, std=std, a=a, b=b)


def constant_(tensor: torch.Tensor, val: float) -> torch.Tensor:
    """`val` everywhere."""
    return _fill(tensor, scheme="constant_", val=val)


def ones_(tensor: torch.Tensor) -> torch.Tensor:
    """1 everywhere."""
    return _fill(tensor, scheme="ones_")


def zeros_(tensor: torch.Tensor) -> torch.Tensor:
    """0 everywhere."""
    return _fill(tensor, scheme="zeros_")


def eye_(tensor: torch.Tensor) -> torch.Tensor:
    """The identity matrix, for 2 axes."""
    return _fill(tensor, scheme="eye_")


def dirac_(tensor: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """The convolution that keeps its input, for 3 to 5 axes."""
    return _fill(tensor, scheme="dirac_", groups=groups)


def xavier_uniform_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Uniform, of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return _fill(tensor, _stream(tensor, seed, name, generator), scheme="xavier_uniform_", gain=gain)


def xavier_normal_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Normal, of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return _fill(tensor, _stream(tensor, seed, name, generator), scheme="xavier_normal_", gain=gain)


def kaiming_uniform_(
    tensor: torch.Tensor,
    a: float = 0,
    mode: TorchMode = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu",
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Uniform, of variance gain^2 / fan (He et al. 2015)."""
    stream = _stream(tensor, seed, name, generator)
    return _fill(tensor, stream, scheme="kaiming_uniform_", a=a, mode=mode, nonlinearity=nonlinearity)


def kaiming_normal_(
    tensor: torch.Tensor,
    a: float = 0,
    mode: TorchMode = "fan_in",
    nonlinearity: Nonlinearity = "leaky_relu",
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Normal, of variance gain^2 / fan (He et al. 2015)."""
    stream = _stream(tensor, seed, name, generator)
    return _fill(tensor, stream, scheme="kaiming_normal_", a=a, mode=mode, nonlinearity=nonlinearity)


def orthogonal_(
    tensor: torch.Tensor,
    gain: float = 1,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Orthonormal rows, or columns where these are fewer, times `gain`. A rank makes all of it for its shard."""
    stream = _stream(tensor, seed, name, generator)
    return _fill(tensor, stream, scheme="orthogonal_", gain=gain)


def sparse_(
    tensor: torch.Tensor,
    sparsity: float,
    std: float = 0.01,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Normal, and in each column of a matrix a share `sparsity` of the rows, rounded up, is 0 (Martens 2010)."""
    return _fill(tensor, _stream(tensor, seed, name, generator), scheme="sparse_", sparsity=sparsity, std=std)


def _stream(
    tensor: torch.Tensor, seed: int | None, name: str | None, generator: torch.Generator | None
) -> tuple[int, str]:
    """Seed and name of the tensor's random numbers.

    Raises:
        ValueError: they are not known, or a generator was given.
    """
    if generator is not None:
        raise ValueError("a generator has no place here: the random numbers are those of a seed and the tensor's name")
    if seed is not None and name is not None:
        return seed, name
    if seed is not None or name is not None:
        raise ValueError("seed and name are given together, or not at all within fanin.torch.seeded(seed, module)")
    current = _seeded.get()
    if current is None:
        raise ValueError("no seed: give seed= and name=, or call it within fanin.torch.seeded(seed, module)")
    found = current[1].get(memory_of(tensor))
    if found is None:
        kind = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        raise ValueError(f"this tensor ({kind}) is no whole parameter or buffer of the module: give seed= and name=")
    return current[0], found.name


def _fill(tensor: torch.Tensor, stream: tuple[int, str] = (0, "constant"), **members: Any) -> torch.Tensor:
    """Fill it with a tensor of the torch dialect.

    Raises:
        ValueError: its type is no storage type.
        RecipeError: torch has no such law either.
    """
    if tensor.dtype not in DTYPES:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise ValueError(f"a tensor of {tensor.dtype} cannot be filled; those of {known} can")
    seed, name = stream
    described = {"shape": list(tensor.shape), "dtype": DTYPES[tensor.dtype], "dialect": "torch"}
    layout = Layout.of(as_recipe({"seed": seed, "tensors": {name: {**described, **members}}}))
    if not local(tensor).is_meta:
        with torch.no_grad():
            fill(layout, name, tensor)
    return tensor
