"""One operation of torch with its arguments: which tensors it reads and writes, and how to do it elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_iter, tree_map

SHARES_MEMORY = {"_unsafe_view"}
"""Views that their schemas do not tell of."""


@dataclass(frozen=True)
class Call:
    """One operation with its arguments by name."""

    func: Any
    name: str
    """Without the underscore of those that work in place."""
    given: dict[str, Any]
    written: list[torch.Tensor]
    """Tensors that it changes."""
    inputs: list[torch.Tensor]
    """Tensors whose values it may read."""
    is_view: bool

    @classmethod
    def of(cls, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
        arguments = func._schema.arguments
        given = {argument.name: value for argument, value in zip(arguments, args, strict=False)} | dict(kwargs)
        for argument in arguments:
            if argument.name not in given and argument.has_default_value():
                given[argument.name] = argument.default_value
        changed = {argument.name for argument in arguments if argument.alias_info and argument.alias_info.is_write}
        outs = {argument.name for argument in arguments if argument.is_out}
        name = func.overloadpacket.__name__
        aliases = any(result.alias_info for result in func._schema.returns) or name in SHARES_MEMORY
        return cls(
            func,
            name.removesuffix("_"),
            given,
            tensors([given.get(argument) for argument in changed]),
            tensors([value for argument, value in given.items() if argument not in outs]),
            (aliases and not changed) or torch.Tag.inplace_view in func.tags,
        )

    @property
    def operation(self) -> str:
        return f"aten.{self.func.overloadpacket.__name__}"

    @property
    def is_random(self) -> bool:
        return torch.Tag.nondeterministic_seeded in self.func.tags

    @property
    def target(self) -> torch.Tensor | None:
        """The tensor that it changes and gives back."""
        return self.written[0] if self.written else None

    def on_meta(self) -> Any:
        """Its result without values."""
        return self._on("meta", lambda tensor: tensor if tensor.is_meta else tensor.to("meta"))

    def on_cpu(self, known: Mapping[int, torch.Tensor]) -> Any:
        """Its result, computed of these tensors by their ids."""
        return self._on("cpu", lambda tensor: known.get(id(tensor), tensor))

    def _on(self, device: str, place: Callable[[torch.Tensor], torch.Tensor]) -> Any:
        given = {
            name: tree_map(lambda leaf: place(leaf) if isinstance(leaf, torch.Tensor) else leaf, value)
            for name, value in self.given.items()
        }
        if "device" in given and (given["device"] is not None or not self.inputs):
            given["device"] = torch.device(device)
        for name in ("generator", "pin_memory"):
            if name in given:
                given[name] = None
        arguments = self.func._schema.arguments
        positional = [given[argument.name] for argument in arguments if not argument.kwarg_only]
        return self.func(*positional, **{a.name: given[a.name] for a in arguments if a.kwarg_only and a.name in given})


def tensors(values: Any) -> list[torch.Tensor]:
    """Those in a nest of lists, tuples and dicts."""
    return [leaf for leaf in tree_iter(values) if isinstance(leaf, torch.Tensor)]
