"""`fanin.torch.init_`: tensors whose memory it cannot write."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import fanin
from fanin.torch import ModuleError, init_, initializers
from fanin.torch.recorder.recording import FLOATING as TORCH_DTYPES
from fanin.torch.writable import is_dense


def nested() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.zeros(4)])


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (nn.UninitializedParameter(), "lazy"),
        (nn.Parameter(torch.zeros(4).to_sparse()), "sparse"),
        (nn.Parameter(nested()), "nested"),
        (nn.Parameter(torch.zeros(1).expand(4)), "share memory"),
        (nn.Parameter(torch.zeros(4, dtype=torch.complex128)), r"complex128 \[4\] in the module"),
    ],
)
def test_tensors_that_cannot_be_filled(tensor: nn.Parameter, reason: str) -> None:
    module = nn.Module()
    module.weight = tensor
    with pytest.raises(ModuleError, match=reason):
        init_(module, {"shape": [4], "scheme": "ones"})


def test_parameters_that_accelerate_has_offloaded_are_refused() -> None:
    module = nn.Linear(3, 4, device="meta")
    module._hf_hook = object()  # type: ignore[assignment]  # it loads the parameters for each call
    recipe = {"tensors": {"weight": {"shape": [4, 3], "scheme": "ones"}, "bias": {"shape": [4], "scheme": "ones"}}}
    with pytest.raises(ModuleError, match="/weight: a parameter that accelerate has offloaded"):
        init_(module, recipe, device="cpu")
    assert module.weight.is_meta


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_read_only_memory_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "weights.npy", np.ones((4096, 3), np.float32))
    for mode, is_refused in (("r", True), ("c", False)):
        module = nn.Module()
        module.weight = nn.Parameter(torch.from_numpy(np.load(tmp_path / "weights.npy", mmap_mode=mode)))
        recipe = {"tensors": {"weight": {"shape": [4096, 3], "scheme": "zeros"}}}
        if is_refused:
            with pytest.raises(ModuleError, match="/weight: a tensor in read-only memory"):
                init_(module, recipe)
            with pytest.raises(ValueError, match="a tensor in read-only memory"):
                fanin.torch.initializers.zeros_(module.weight)
            assert module.weight.min() == module.weight.max() == 1
        else:
            assert not init_(module, recipe).weight.any()


class Wrapper(torch.Tensor):
    """Stands for another tensor, and says that it is on the CPU."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Wrapper:
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=inner.device)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return Wrapper(func(args[0].inner))


def freed() -> torch.Tensor:
    tensor = torch.zeros(300)
    tensor.untyped_storage().resize_(0)
    return tensor


def fake() -> torch.Tensor:
    with FakeTensorMode():
        return torch.empty(300)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (fake, "a FakeTensor, whose memory is not its values"),
        (lambda: Wrapper(torch.zeros(300)), "a Wrapper, whose memory is not its values"),
        (freed, "memory was freed: 0 of 1200 bytes are left"),
        (lambda: torch.zeros(301).as_strided((2, 150), (1, 1)), "share memory"),
        (lambda: torch.zeros(1).expand(300), "share memory"),
        (lambda: torch.zeros(300, dtype=torch.complex64).conj(), "conjugates"),
        (lambda: torch.zeros(300, dtype=torch.complex64).conj().imag, "negatives"),
    ],
)
def test_tensors_without_memory_of_their_values_are_refused(make: Callable[[], torch.Tensor], reason: str) -> None:
    tensor = make()
    assert not is_dense(tensor)
    with pytest.raises(ValueError, match=reason):
        initializers.normal_(tensor, seed=1, name="w")
    with pytest.raises(ValueError, match=reason):
        initializers.zeros_(tensor)
    module = nn.Module()
    module.register_buffer("weight", tensor)
    dtype = TORCH_DTYPES[tensor.dtype]
    with pytest.raises(ModuleError, match=reason):
        init_(module, {"shape": list(tensor.shape), "scheme": "normal", "std": 1.0, "dtype": dtype})


def fill(tensor: torch.Tensor) -> torch.Tensor:
    with pytest.raises(RuntimeError, match="does not follow what fanin writes to memory"):
        initializers.zeros_(tensor)
    return initializers.normal_(tensor, seed=1, name="w")


def within_fake_mode() -> None:
    with FakeTensorMode():
        init_(nn.Linear(300, 300, bias=False), {"shape": [300, 300], "scheme": "ones"})


@pytest.mark.parametrize(
    ("run", "by"),
    [
        (within_fake_mode, "FakeTensorMode"),
        (lambda: torch.func.functionalize(fill)(torch.zeros(3)), "torch.func"),
        (lambda: torch.vmap(fill)(torch.zeros(3, 2)), "torch.func"),
        (lambda: torch.vmap(lambda x: x + fill(torch.zeros(2)))(torch.zeros(3, 2)), "torch.func"),
        (lambda: torch.func.grad(lambda x: fill(x).sum())(torch.zeros(3)), "torch.func"),
        (lambda: torch.jit.trace(lambda x: x + fill(torch.zeros(2)), torch.zeros(2)), r"torch\.jit\.trace"),
        (lambda: make_fx(lambda x: x + fill(torch.zeros(2)))(torch.zeros(2)), "make_fx"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")  # from torch 2.14 on
def test_tracers_and_transforms_are_refused(run: Callable[[], Any], by: str) -> None:
    with pytest.raises(RuntimeError, match=f"{by}.* does not follow what fanin writes to memory"):
        run()
