"""Checks of a tensor's memory: only ordinary tensors are written by their address, without further checks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fanin.torch import writable
from fanin.torch.writable import is_dense, is_ready


class Own(torch.Tensor):
    """A class with separate behaviour."""


def partitioned() -> torch.Tensor:
    """Return a tensor with an attribute that DeepSpeed gives to partitioned parameters."""
    tensor = torch.empty(4)
    tensor.ds_shape = (8,)
    return tensor


def freed(begin: int, length: int) -> torch.Tensor:
    """Return elements from `begin`, in memory of `length` elements of 10."""
    tensor = torch.empty(10)[begin:]
    tensor.untyped_storage().resize_(4 * length)
    return tensor


@pytest.mark.parametrize(
    "tensor",
    [
        torch.empty(4).as_subclass(Own),
        partitioned(),
        freed(0, 9),
        freed(5, 9),
        torch.empty(4, 6)[:, ::2],
        torch.empty(4, device="meta"),
        torch.empty(0),
        torch.empty(4, dtype=torch.complex64).conj(),
    ],
    ids=["class", "DeepSpeed", "freed", "freed at an offset", "gaps", "meta", "empty", "conjugates"],
)
def test_other_tensors_are_not_dense(tensor: torch.Tensor) -> None:
    assert not is_dense(tensor)
    assert not is_ready(tensor)


@pytest.mark.parametrize("tensor", [torch.empty(4), torch.nn.Parameter(torch.empty(3, 2)), torch.empty(10)[5:]])
def test_ordinary_tensors_are_dense(tensor: torch.Tensor) -> None:
    assert is_dense(tensor)
    assert is_ready(tensor)


@pytest.mark.parametrize("mode", [TorchFunctionMode, TorchDispatchMode])
def test_nothing_is_ready_in_a_mode(mode: Callable[[], AbstractContextManager[Any]]) -> None:
    tensor = torch.empty(4)
    with mode():
        assert not is_ready(tensor)
    assert is_ready(tensor)


@pytest.mark.parametrize("name", ["_is_compiling", "_is_exporting"])
def test_nothing_is_ready_for_a_compiler(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writable, name, lambda: True)
    assert not is_ready(torch.empty(4))
