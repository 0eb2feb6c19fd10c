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
meta device stays as it is. Constants of types that no recipe has (integers, booleans) are torch's own.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec

import torch
from torch import nn
from torch.nn.init import _calculate_correct_fan as _calculate_correct_fan
from torch.nn.init import _calculate_fan_in_and_fan_out as _calculate_fan_in_and_fan_out
from torch.nn.init import calculate_gain

from fanin.dialects.torch import Nonlinearity, TorchMode
from fanin.file_layout import FileLayout
from fanin.recipe import as_recipe
from fanin.torch.filling import fill
from fanin.torch.modules import named
from fanin.torch.recorder.recording import DTYPES
from fanin.torch.recorder.shadow_memory import current
from fanin.torch.writable import check_eager, held, local, memory_of, obstacle, plainly

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


# The functions below are written out, not generated from the signatures of torch: editors and type checkers read them,
# and some handle further cases, such as infinite bounds and types that no recipe has.


class _Names:
    """Names of the tensors of a module, also of those that it gets meanwhile, as by `to_empty` and `half`."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._look()

    def of(self, tensor: torch.Tensor) -> str | None:
        """The first name of the tensor's memory in the module; none if it has no such memory."""
        memory = memory_of(tensor)
        if memory not in self._names:
            self._look()
        return self._names.get(memory)

    def _look(self) -> None:
        found = list(named(self._module))
        self._names: dict[object, str] = {}
        for each in found:
            self._names.setdefault(each.memory, each.name)
        # While these are here, no other memory gets the address, and with it the name, of one that was freed.
        self._held = [held(each.tensor) for each in found]


_seeded: ContextVar[tuple[int, _Names] | None] = ContextVar("fanin_seeded", default=None)


@contextmanager
def seeded(seed: int, module: nn.Module) -> Iterator[None]:
    """Give the functions of `fanin.torch.initializers` a seed and names while the context lasts.

    For a parameter or buffer of `module` the name is that in `state_dict()`; of several names of one memory, the first.

        >>> with fanin.torch.seeded(42, model):
        ...     fanin.torch.initializers.kaiming_normal_(model.fc.weight)

    Args:
        seed: 0 to 2^64 - 1.
        module: The module whose tensors are initialized.
    """
    with plainly():
        names = _Names(module)
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
    if math.isinf(a) or math.isinf(b):  # JSON, and so a recipe, has no such numbers: the side is open
        open_ = {"low": None if a == -math.inf else a, "high": None if b == math.inf else b, "bounds": "absolute"}
        return _fill(tensor, stream, dialect="fanin", scheme="truncated_normal", mean=mean, std=std, **open_)
    return _fill(tensor, stream, scheme="trunc_normal_", mean=mean, std=std, a=a, b=b)


def constant_(tensor: torch.Tensor, val: float) -> torch.Tensor:
    """`val` everywhere."""
    if tensor.dtype in DTYPES and not isinstance(val, complex) and math.isfinite(val):
        return _fill(tensor, scheme="constant_", val=val)
    return nn.init.constant_(tensor, val)


def ones_(tensor: torch.Tensor) -> torch.Tensor:
    """1 everywhere."""
    return _fill(tensor, scheme="ones_") if tensor.dtype in DTYPES else nn.init.ones_(tensor)


def zeros_(tensor: torch.Tensor) -> torch.Tensor:
    """0 everywhere."""
    return _fill(tensor, scheme="zeros_") if tensor.dtype in DTYPES else nn.init.zeros_(tensor)


def eye_(tensor: torch.Tensor) -> torch.Tensor:
    """The identity matrix, for 2 axes."""
    return _fill(tensor, scheme="eye_") if tensor.dtype in DTYPES else nn.init.eye_(tensor)


def dirac_(tensor: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """The convolution that keeps its input, for 3 to 5 axes."""
    return _fill(tensor, scheme="dirac_", groups=groups) if tensor.dtype in DTYPES else nn.init.dirac_(tensor, groups)


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
    if _is_empty(tensor):
        return tensor
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
    if _is_empty(tensor):
        return tensor
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
        ValueError: they are not known, a generator was given, or the tensor may be a part of one.
    """
    if getattr(tensor, "_fsdp_flattened", False) and tensor.dim() == 1:
        raise ValueError("a rank of FullyShardedDataParallel may have any part of it: fill the module before")
    if generator is not None:
        raise ValueError("a generator has no place here: the random numbers are those of a seed and the tensor's name")
    if seed is not None and name is not None:
        return seed, name
    if seed is not None or name is not None:
        raise ValueError("seed and name are given together, or not at all within fanin.torch.seeded(seed, module)")
    within = _seeded.get()
    if within is None:
        raise ValueError("no seed: give seed= and name=, or call it within fanin.torch.seeded(seed, module)")
    if not tensor.numel():
        return within[0], "nothing"
    with plainly():
        found = within[1].of(tensor)
    if found is None:
        kind = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        raise ValueError(f"this tensor ({kind}) is no whole parameter or buffer of the module: give seed= and name=")
    return within[0], found


def _is_empty(tensor: torch.Tensor) -> bool:
    """Whether there is nothing to fill, of which torch warns.

    Raises:
        ValueError: values cannot be written to it.
    """
    if 0 not in tensor.shape:
        return False
    _check(tensor)
    warnings.warn("Initializing zero-element tensors is a no-op", UserWarning, stacklevel=3)  # torch's words
    return True


def _check(tensor: torch.Tensor) -> None:
    with plainly():
        reason = obstacle(tensor) or _computed(tensor)
    if reason:
        raise ValueError(f"the tensor cannot be filled: {reason}")


def _computed(tensor: torch.Tensor) -> str:
    """Return why values would be lost, as those of a parametrized weight, which torch computes at each access."""
    whole = tensor if tensor._base is None else tensor._base
    if whole.is_leaf:
        return ""
    operation = type(whole.grad_fn).__name__.rstrip("0123456789").removesuffix("Backward")
    return f"{operation} has computed it from other tensors, which would not change: fill those"


def _fill(
    tensor: torch.Tensor, stream: tuple[int, str] = (0, "constant"), dialect: str = "torch", **members: Any
) -> torch.Tensor:
    """Fill it with a tensor of the torch dialect, or of another.

    Raises:
        ValueError: its type is no storage type, or values cannot be written to it.
        RecipeError: torch has no such law either.
        RuntimeError: a tracer or a transform of torch.func runs.
    """
    check_eager()
    _check(tensor)
    if tensor.dtype not in DTYPES:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise ValueError(f"a tensor of {tensor.dtype} cannot be filled; those of {known} can")
    seed, name = stream
    described = {"shape": list(tensor.shape), "dtype": DTYPES[tensor.dtype], "dialect": dialect}
    layout = FileLayout.of(as_recipe({"seed": seed, "tensors": {name: {**described, **members}}}))
    with plainly(), torch.no_grad():
        if current() is not None or not local(tensor).is_meta:
            fill(layout, name, tensor)
    return tensor


_Parameters = ParamSpec("_Parameters")


def _deprecated(function: Callable[_Parameters, torch.Tensor]) -> Callable[_Parameters, torch.Tensor]:
    """The function under the name that torch had for it before, which warns."""
    new = function.__name__
    old = new.removesuffix("_")

    @functools.wraps(function)
    def renamed(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> torch.Tensor:
        warnings.warn(f"`{old}` is deprecated, as in torch: use `{new}`", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    renamed.__name__ = renamed.__qualname__ = old
    return renamed


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
