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
the meta device stays unchanged. Torch fills constants of types that no recipe has (integers, booleans).
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
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
from fanin.single import layout_of, single
from fanin.torch.filling import fill, fill_ready
from fanin.torch.modules import named
from fanin.torch.recorder.recording import DTYPES
from fanin.torch.recorder.shadow_memory import current
from fanin.torch.writable import check_eager, held, is_ordinary, is_ready, local, memory_of, obstacle, plainly

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


# The functions below are not generated from the signatures of torch, because editors and type checkers read them.
# Some handle further cases, such as infinite bounds and types that no recipe has.


class _Names:
    """Names of the tensors of a module, including tensors that it gets later, as by `to_empty` and `half`."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._look()

    def of(self, tensor: torch.Tensor) -> str | None:
        """Return the first name of the tensor's memory in the module; `None` if the module does not have it."""
        memory = memory_of(tensor)
        if memory not in self._names:
            self._look()
        return self._names.get(memory)

    def _look(self) -> None:
        found = list(named(self._module))
        self._names: dict[object, str] = {}
        for each in found:
            self._names.setdefault(each.memory, each.name)
        # These reserve the addresses. Otherwise new memory could get the address, and so the name, of freed memory.
        self._held = [held(each.tensor) for each in found]


_seeded: ContextVar[tuple[int, _Names] | None] = ContextVar("fanin_seeded", default=None)


@contextmanager
def seeded(seed: int, module: nn.Module) -> Iterator[None]:
    """Give the functions of `fanin.torch.initializers` a seed and names inside the context.

    The name of a parameter or buffer of `module` is its first name in `state_dict()`.

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
    """Fill the tensor with uniform numbers on [a, b]."""
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
    """Fill the tensor with normal numbers."""
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
    """Fill the tensor with normal numbers restricted to [a, b]. The bounds are values, not standard deviations."""
    stream = _stream(tensor, seed, name, generator)
    if math.isinf(a) or math.isinf(b):  # JSON, and so a recipe, has no infinity: the side is open
        open_ = {"low": None if a == -math.inf else a, "high": None if b == math.inf else b, "bounds": "absolute"}
        return _fill(tensor, stream, dialect="fanin", scheme="truncated_normal", mean=mean, std=std, **open_)
    return _fill(tensor, stream, scheme="trunc_normal_", mean=mean, std=std, a=a, b=b)


def constant_(tensor: torch.Tensor, val: float) -> torch.Tensor:
    """Fill the tensor with `val`."""
    if tensor.dtype not in DTYPES or isinstance(val, complex) or not math.isfinite(val):
        return nn.init.constant_(tensor, val)
    if type(val) is float and _is_usual(tensor):
        tensor.detach().fill_(_stored(val, DTYPES[tensor.dtype]))
        return tensor
    return _fill(tensor, scheme="constant_", val=val)


def ones_(tensor: torch.Tensor) -> torch.Tensor:
    """Fill the tensor with 1."""
    return constant_(tensor, 1.0) if tensor.dtype in DTYPES else nn.init.ones_(tensor)


def zeros_(tensor: torch.Tensor) -> torch.Tensor:
    """Fill the tensor with 0."""
    return constant_(tensor, 0.0) if tensor.dtype in DTYPES else nn.init.zeros_(tensor)


def eye_(tensor: torch.Tensor) -> torch.Tensor:
    """Fill a tensor of 2 axes with the identity matrix."""
    return _fill(tensor, scheme="eye_") if tensor.dtype in DTYPES else nn.init.eye_(tensor)


def dirac_(tensor: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """Fill a tensor of 3 to 5 axes with the kernel of a convolution that returns its input."""
    return _fill(tensor, scheme="dirac_", groups=groups) if tensor.dtype in DTYPES else nn.init.dirac_(tensor, groups)


def xavier_uniform_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Fill the tensor with uniform numbers of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return _fill(tensor, _stream(tensor, seed, name, generator), scheme="xavier_uniform_", gain=gain)


def xavier_normal_(
    tensor: torch.Tensor,
    gain: float = 1.0,
    generator: torch.Generator | None = None,
    *,
    seed: int | None = None,
    name: str | None = None,
) -> torch.Tensor:
    """Fill the tensor with normal numbers of variance 2 gain^2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
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
    """Fill the tensor with uniform numbers of variance gain^2 / fan (He et al. 2015)."""
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
    """Fill the tensor with normal numbers of variance gain^2 / fan (He et al. 2015)."""
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
    """Fill the tensor with orthonormal rows, or columns if these are fewer, times `gain`.

    To fill its shard of a DTensor, a rank generates the full matrix.
    """
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
    """Fill a matrix with normal numbers, and a share `sparsity` of each column, rounded up, with 0 (Martens 2010)."""
    return _fill(tensor, _stream(tensor, seed, name, generator), scheme="sparse_", sparsity=sparsity, std=std)


@lru_cache(maxsize=1024)
def _stored(value: float, dtype: DTypeName) -> float:
    """Return a constant as a tensor of this type stores it.

    Raises:
        RecipeError: the type has no such number.
    """
    made, _ = single(0, "constant", (), dtype, dialect="torch", scheme="constant_", val=value)
    assert isinstance(made.draw, Fill)
    return made.draw.value


def _stream(
    tensor: torch.Tensor, seed: int | None, name: str | None, generator: torch.Generator | None
) -> tuple[int, str]:
    """Return the seed and the name of the tensor's random numbers.

    Raises:
        ValueError: they are not known, a generator was given, or the tensor can be a part of a parameter.
    """
    if getattr(tensor, "_fsdp_flattened", False) and tensor.dim() == 1:
        raise ValueError("a rank of FullyShardedDataParallel may have any part of it: fill the module before")
    if generator is not None:
        raise ValueError("generator is not supported: the numbers depend on a seed and the tensor's name")
    if seed is not None and name is not None:
        return seed, name
    if seed is not None or name is not None:
        raise ValueError("give both seed and name, or neither within fanin.torch.seeded(seed, module)")
    within = _seeded.get()
    if within is None:
        raise ValueError("no seed: give seed= and name=, or call it within fanin.torch.seeded(seed, module)")
    if not tensor.numel():
        return within[0], "nothing"
    if is_ordinary(tensor):
        found = within[1].of(tensor)
    else:
        with plainly():
            found = within[1].of(tensor)
    if found is None:
        kind = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        raise ValueError(f"this tensor ({kind}) is not a full parameter or buffer of the module: give seed= and name=")
    return within[0], found


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
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
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
