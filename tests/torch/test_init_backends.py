"""`fanin.torch.init_`: the calls of the backend."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import fanin
from fanin import backends
from fanin.torch import filling, init_
from tests.torch.filled import check, recipe_of


def test_the_backend_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Linear(4, 8)
    recipe = recipe_of(module)
    asked: list[Any] = []
    get = fanin.backends.get
    monkeypatch.setattr(fanin.backends, "get", lambda name=None: asked.append(name) or get(name))
    init_(module, recipe, backend="reference")
    assert set(asked) == {"reference"}
    check(module, recipe)
    with pytest.raises(fanin.BackendError, match="the tensor of 'weight' is on cpu"):
        init_(module, recipe, backend="cuda")
    with (
        fanin.Client("http://127.0.0.1:1") as client,
        pytest.raises(ValueError, match="cannot be combined with a client"),
    ):
        init_(module, recipe, service=client, backend="native")


class Calls(backends.ForwardingBackend):
    """Counts calls that fill several tensors."""

    def __init__(self) -> None:
        super().__init__(backends.get("native" if "native" in backends.available() else "reference"))
        self.counts: list[int] = []

    def fill_tensors(self, tensors: Any, addresses: Any, first: int = 0) -> None:
        self.counts.append(len(addresses))
        super().fill_tensors(tensors, addresses, first)


def test_tensors_that_are_neighbours_in_the_file_are_filled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls()
    get = backends.get
    monkeypatch.setattr(fanin.backends, "get", lambda name=None: get(name) if name else calls)
    module = nn.Sequential(*[nn.Linear(3, 4) for _ in range(50)])
    recipe = recipe_of(module)
    versions = [parameter._version for parameter in module.parameters()]
    init_(module, recipe)
    assert calls.counts == [100]
    assert all(each._version > before for each, before in zip(module.parameters(), versions, strict=True))
    check(module, recipe)
    calls.counts.clear()
    few = nn.ModuleDict({"3": nn.Linear(3, 4), "4": nn.Linear(3, 4), "8": nn.Linear(3, 4)})
    few["8"].weight = nn.Parameter(torch.empty(8, 3)[::2])  # not dense: filled alone
    init_(few, recipe, strict=False)
    assert calls.counts == [2, 2, 1]  # 3.weight and 4.bias have other tensors between them
    check(few, {**recipe, "tensors": {name: recipe["tensors"][name] for name in few.state_dict()}})
    twice = nn.ModuleDict({"0": nn.Linear(3, 4), "1": nn.Linear(3, 4)})
    init_(twice, recipe, strict=False, names={"1.weight": "0.weight"})
    assert torch.equal(twice["0"].weight, twice["1"].weight)


def test_a_call_of_the_backend_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt is noticed between calls, so one call does not fill a large model."""
    calls = Calls()
    get = backends.get
    monkeypatch.setattr(fanin.backends, "get", lambda name=None: get(name) if name else calls)
    monkeypatch.setattr(filling, "PIECE", 256)
    module = nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(9)], nn.Linear(4, 100, bias=False))
    recipe = recipe_of(module)
    init_(module, recipe)
    assert calls.counts == [4, 4, 1, 1]
    check(module, recipe)
