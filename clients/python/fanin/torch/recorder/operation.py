"""One operation of torch with its arguments: the tensors that it reads and writes, and runs on other devices."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils._pytree import tree_iter, tree_map

SHARES_MEMORY = {"_unsafe_view"}
"""Operations that return views, although their schemas do not say so."""
SETS_MEMORY = {"set_", "resize_", "resize_as_"}
"""Operations that change the memory of a tensor, and none of its elements."""
STATISTICS = {
    "native_batch_norm",
    "cudnn_batch_norm",
    "miopen_batch_norm",
    "batch_norm_update_stats",
    "batch_norm_gather_stats",
    "batch_norm_gather_stats_with_counts",
}
"""Operations that write the arguments `RUNNING`, although their schemas do not say so."""
RUNNING = ("running_mean", "running_var")
OTHERS = ("torch", "fanin", "contextlib", "unittest", "copy", "functools", "numpy", "threading", "concurrent")
"""Packages whose frames are not reported as a line of the model's code."""


def line() -> str:
    """Return the file and number of the innermost running line of the model's code; empty if there is none."""
    frame = sys._getframe(1)
    while frame:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in OTHERS:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


@dataclass(frozen=True)
class Call:
    """One operation with its arguments by name."""

    func: Any
    name: str
    """Name without the underscore of in-place operations."""
    given: dict[str, Any]
    written: list[torch.Tensor]
    """Tensors that it changes."""
    target: torch.Tensor | None
    """The written tensor that it returns; `None` if it writes none."""
    inputs: list[torch.Tensor]
    """Tensors whose values it can read."""
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
        written = tensors([given.get(argument) for argument in changed])
        target = written[0] if written else None
        if name in STATISTICS and given.get("training", given.get("train", True)):
            written += tensors([given.get(argument) for argument in RUNNING])
        return cls(
            func,
            name.removesuffix("_"),
            given,
            written,
            target,
            tensors([value for argument, value in given.items() if argument not in outs]),
            (aliases and not changed) or torch.Tag.inplace_view in func.tags or name in SETS_MEMORY,
        )

    @property
    def operation(self) -> str:
        return f"aten.{self.func.overloadpacket.__name__}"

    @property
    def cause(self) -> str:
        """Return the operation, and the line of the model's code that calls it."""
        return f"{self.operation} at {at}" if (at := line()) else self.operation

    @property
    def is_random(self) -> bool:
        return torch.Tag.nondeterministic_seeded in self.func.tags

    def on_meta(self) -> Any:
        """Return the result on the meta device, without values."""
        return self._on("meta", lambda tensor: tensor if tensor.is_meta else tensor.to("meta"))

    def on_cpu(self, known: Mapping[int, torch.Tensor]) -> Any:
        """Return the result, computed from these tensors by their ids."""
        return self._on("cpu", lambda tensor: known.get(id(tensor), tensor))

    def on_cpu_with(self, given: Mapping[str, Any], known: Mapping[int, torch.Tensor]) -> Any:
        """Return the result, computed from these tensors by their ids, with these arguments replaced."""
        return replace(self, given={**self.given, **given}).on_cpu(known)

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
    """Return the tensors in nested lists, tuples and dicts."""
    return [leaf for leaf in tree_iter(values) if isinstance(leaf, torch.Tensor)]
