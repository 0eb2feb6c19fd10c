"""The initializers of `torch.nn.init`, with the same names and parameters, and a stream for each tensor.

    from fanin.torch import initializers as init, seeded

    with seeded(42, model):
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                init.kaiming_normal_(layer.weight, nonlinearity="relu")
                init.zeros_(layer.bias)

Each has the distribution that it has in torch. The elements are those of a recipe with this seed and the tensor's name.
They depend neither on the order of the calls nor on the rest of the model. Without `seeded`, pass `seed` and `name`
together. A DTensor gets this rank's shard of the full tensor, whose shape determines the fans. As in torch, a tensor on
the meta device stays unchanged. Torch itself fills constants of tensors of integers and booleans.

The module is long because it writes out torch's signatures: editors and type checkers read them.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any, ParamSpec

import torch
from torch import nn
from torch.nn.init import _calculate_correct_fan as _calculate_correct_fan
from torch.nn.init import _calculate_fan_in_and_fan_out as _calculate_fan_in_and_fan_out
from torch.nn.init import calculate_gain

from fanin.dialects.torch import Nonlinearity, TorchMode
from fanin.draws import Fill
from fanin.dtypes import DTypeName
from fanin.float_mode import is_flushed
from fanin.single import layout_of, single
from fanin.torch.filling import SMALLEST_NORMAL, fill, fill_ready
from fanin.torch.recorder.recording import FLOATING
from fanin.torch.recorder.shadow_memory import current
from fanin.torch.seeding import seeded, stream_of
from fanin.torch.writable import check_eager, is_ready, local, obstacle, plainly

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


def uniform_(
    tensor: torch.Tensor,
    a: float = 0.0,
    b: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Fill the tensor with uniform numbers on [a, b]."""
    return _fill(tensor, stream_of(tensor, seed, name, generator), scheme="uniform_", a=a, b=b)


def normal_(
    tensor: torch.Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Fill the tensor with normal numbers."""
    return _fill(tensor, stream_of(tensor, seed, name, generator), scheme="normal_", mean=mean, std=std)


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
    """Fill the tensor with normal numbers restricted to [a, b]. The bounds are values, not standard deviations."""
    stream = stream_of(tensor, seed, name, generator)
    if math.isinf(a) or math.isinf(b):  # JSON, and so a recipe, has no infinity: the side is open
        open_ = {"low": None if a == -math.inf else a, "high": None if b == math.inf else b, "bounds": "absolute"}
        return _fill(tensor, stream, dialect="fanin", scheme="truncated_normal", mean=mean, std=std, **open_)
    return _fill(tensor, stream, scheme="trunc_normal_", mean=mean, std=std, a=a, b=b)


def constant_(tensor: torch.Tensor, val: float) -> torch.Tensor:
    """Fill the tensor with `val`."""
    if tensor.dtype not in FLOATING or isinstance(val, complex) or not math.isfinite(val):
        return nn.init.constant_(tensor, val)
    if type(val) is float and (abs(val) >= SMALLEST_NORMAL or not is_flushed(val)) and _is_usual(tensor):
        tensor.detach().fill_(_stored(val, FLOATING[tensor.dtype]))
        return tensor
    return _fill(tensor, scheme="constant_", val=val)


def ones_(tensor: torch.Tensor) -> torch.Tensor:
    """Fill the tensor with 1."""
    if tensor.dtype not in FLOATING:
        return nn.init.ones_(tensor)
    if _is_usual(tensor):  # a third faster than constant_(tensor, 1.0), which has to look at the value
        tensor.detach().fill_(1.0)
        return tensor
    return _fill(tensor, scheme="ones_")


def zeros_(tensor: torch.Tensor) -> torch.Tensor:
    """Fill the tensor with 0."""
    if tensor.dtype not in FLOATING:
        return nn.init.zeros_(tensor)
    if _is_usual(tensor):  # as in ones_
        tensor.detach().zero_()
        return tensor
    return _fill(tensor, scheme="zeros_")


def eye_(tensor: torch.Tensor) -> torch.Tensor:
    """Fill a tensor of 2 axes with the identity matrix."""
    return _fill(tensor, scheme="eye_") if tensor.dtype in FLOATING else nn.init.eye_(tensor)


def dirac_(tensor: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """Fill a tensor of 3 to 5 axes with the kernel of a convolution that returns its input."""
    return _fill(tensor, scheme="dirac_", groups=groups) if tensor.dtype in FLOATING else nn.init.dirac_(tensor, groups)


def xavier_uniform_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Fill the tensor with uniform numbers of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return _fill(tensor, stream_of(tensor, seed, name, generator), scheme="xavier_uniform_", gain=gain)


def xavier_normal_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Fill the tensor with normal numbers of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return _fill(tensor, stream_of(tensor, seed, name, generator), scheme="xavier_normal_", gain=gain)


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
    """Fill the tensor with uniform numbers of variance gain^2 / fan (He et al. 2015)."""
    stream = stream_of(tensor, seed, name, generator)
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
    """Fill the tensor with normal numbers of variance gain^2 / fan (He et al. 2015)."""
    stream = stream_of(tensor, seed, name, generator)
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
    """Fill the tensor with orthonormal rows, or columns if these are fewer, times `gain`.

    To fill its shard of a DTensor, a rank generates the full matrix.
    """
    stream = stream_of(tensor, seed, name, generator)
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
    """Fill a matrix with normal numbers, and a share `sparsity` of each column, rounded up, with 0 (Martens 2010)."""
    return _fill(tensor, stream_of(tensor, seed, name, generator), scheme="sparse_", sparsity=sparsity, std=std)


@lru_cache(maxsize=1024)
def _stored(value: float, dtype: DTypeName) -> float:
    """Return a constant as a tensor of this type stores it.

    Raises:
        RecipeError: the type has no such number.
    """
    made, _ = single(0, "constant", (), dtype, dialect="torch", scheme="constant_", val=value)
    assert isinstance(made.draw, Fill)
    return made.draw.value


def _is_empty(tensor: torch.Tensor) -> bool:
    """Return whether the tensor has no elements, and warn in that case, as torch does.

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


def _is_usual(tensor: torch.Tensor) -> bool:
    """Return whether elements can be written to the tensor at once. If not, it can still be filled in another way."""
    return is_ready(tensor) and current() is None and not _computed(tensor)


def _computed(tensor: torch.Tensor) -> str:
    """Return why written values would be lost; empty if not. Torch computes a parametrized weight at each access."""
    whole = tensor if tensor._base is None else tensor._base
    if whole.is_leaf:
        return ""
    operation = type(whole.grad_fn).__name__.rstrip("0123456789").removesuffix("Backward")
    return f"{operation} has computed it from other tensors, which would not change: fill those"


def _fill(
    tensor: torch.Tensor, stream: tuple[int, str] = (0, "constant"), dialect: str = "torch", **members: Any
) -> torch.Tensor:
    """Fill and return the tensor. `members` describe it in the torch dialect, or in another.

    Raises:
        ValueError: its type is not a storage type, or values cannot be written to it.
        RecipeError: the members are wrong, in torch too.
        RuntimeError: a tracer or a transform of torch.func runs.
    """
    is_usual = _is_usual(tensor)
    if not is_usual:
        check_eager()
        _check(tensor)
    dtype = FLOATING.get(tensor.dtype)
    if dtype is None:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in FLOATING)
        raise ValueError(f"a tensor of {tensor.dtype} cannot be filled; those of {known} can")
    made, of = single(*stream, tensor.shape, dtype, dialect=dialect, **members)
    if is_usual:
        fill_ready(made, of, tensor)
        return tensor
    with plainly(), torch.no_grad():
        if current() is not None or not local(tensor).is_meta:
            fill(layout_of(made, of), of.name, tensor)
    return tensor


_Parameters = ParamSpec("_Parameters")


def _deprecated(function: Callable[_Parameters, torch.Tensor]) -> Callable[_Parameters, torch.Tensor]:
    """Return the function under its former name in torch. It warns."""
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
