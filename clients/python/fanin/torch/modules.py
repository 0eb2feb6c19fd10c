"""Modules: their parameters and buffers, found by name and filled from a recipe."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from fanin import sources
from fanin.errors import Fault, ModuleError, pointer
from fanin.sources import Source
from fanin.torch.given import Given, RecipeSource
from fanin.torch.recording import DTYPES
from fanin.torch.shards import boxes, is_distributed, local, memory_of
from fanin.torch.tensors import fill

Module = TypeVar("Module", bound=nn.Module)

WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module")
"""What torch.compile and activation checkpointing put into the names of the modules that they wrap."""


def init_(
    module: Module,
    recipe: RecipeSource,
    *,
    seed: int | None = None,
    source: Source = "local",
    device: torch.device | str | None = None,
    strict: bool = True,
) -> Module:
    """Fill a module's parameters and buffers in place from a recipe, by their names in `state_dict()`; returns it.

    Each is filled where it lives. Tensors on the meta device are made first; a DTensor gets this rank's shard alone,
    and all ranks together the tensor that one device would have. Names of one memory are filled once. All is checked
    before anything is written.

        >>> with torch.device("meta"):
        ...     model = Transformer(config)
        >>> fully_shard(model)
        >>> fanin.torch.init_(model, "recipe.json", seed=42)

    Args:
        recipe: A recipe in any spelling, a path, or a `Recording`: then literals and given values are filled too.
        seed: In place of the recipe's own.
        source: Who makes the bytes: "local", this process; or the URL of a service, or a `fanin.Client`, of which
            only this rank's shards are asked.
        device: Where tensors of the meta device are made; by default torch's default device, or that of their mesh.
        strict: Whether the names must be the same in both.

    Raises:
        ModuleError: tensors that are missing, unexpected, or of another shape or type; one fault for each.
        RecipeError: the recipe is wrong.
        BackendError: the backend that the environment asks for cannot be used.
        ServiceError, MismatchError: as `fanin.Client`. What has been filled until then stays so.
        OSError: the file cannot be read.
    """
    given = Given.of(recipe, seed)
    tensors = list(named(module))
    faults, plans = _plans(tensors, given, strict)
    if faults:
        raise ModuleError(faults)
    for plan in plans:
        plan.materialize(device)
    with sources.slicer(source) as take, torch.no_grad():
        for plan in plans:
            if plan.name in given.layout.places:
                fill(given.layout, plan.name, plan.target, None if source == "local" else take)
            else:
                _copy(given.literal(plan.name), plan.target)
    for plan in plans:
        plan.put()
    return module


@dataclass(frozen=True)
class Named:
    """One tensor of a module under one of its names."""

    name: str
    owner: nn.Module
    attribute: str
    tensor: torch.Tensor
    is_persistent: bool

    @property
    def memory(self) -> object:
        """Equal for names of one memory."""
        return memory_of(self.tensor)


def named(module: nn.Module) -> Iterator[Named]:
    """Parameters and buffers under all their names, as in `state_dict()`; modules of FSDP are resharded for it."""
    for path, owner in module.named_modules(remove_duplicate=False):
        if _is_fsdp(owner):  # what the forward has gathered is not what stays
            owner.reshard()
        for attribute, tensor in itertools.chain(owner._parameters.items(), owner._buffers.items()):
            if tensor is not None:
                parts = [part for part in path.split(".") if part and part not in WRAPPERS]
                is_persistent = attribute not in owner._non_persistent_buffers_set
                yield Named(".".join([*parts, attribute]), owner, attribute, tensor, is_persistent)


def _is_fsdp(module: nn.Module) -> bool:
    """Whether `fully_shard` was called on it, told without importing torch.distributed."""
    return any(kind.__name__ == "FSDPModule" for kind in type(module).__mro__)


@dataclass
class _Plan:
    """One memory of the module, and what it is filled with."""

    name: str
    """In the recipe, or among the literals."""
    places: list[Named]
    """Its names in the module."""
    target: torch.Tensor

    def materialize(self, device: torch.device | str | None) -> None:
        """Have memory for a tensor of the meta device."""
        if local(self.target).is_meta:
            if is_distributed(self.target):
                device = device or self.target.device_mesh.device_type  # type: ignore[attr-defined]
            self.target = torch.empty_like(self.target.detach(), device=device or torch.get_default_device())

    def put(self) -> None:
        """Let the module have the memory that was made."""
        old = self.places[0].tensor
        if self.target is old:
            return
        made = self.target
        if isinstance(old, nn.Parameter):
            made = nn.Parameter(made, requires_grad=old.requires_grad)
            made.__dict__.update(old.__dict__)
        for place in self.places:
            setattr(place.owner, place.attribute, made)


def _plans(tensors: list[Named], given: Given, strict: bool) -> tuple[list[Fault], list[_Plan]]:
    faults: list[Fault] = []
    plans: list[_Plan] = []
    used: set[str] = set()
    memories: dict[object, list[Named]] = {}
    for each in tensors:
        memories.setdefault(each.memory, []).append(each)
    for places in memories.values():
        first = places[0]
        names = list(dict.fromkeys(given.tied.get(place.name, place.name) for place in places))
        known = [name for name in names if name in given.layout.places or name in given.literals]
        used.update(known)
        if not known and not any(place.is_persistent for place in places):
            if not first.tensor.is_meta:
                continue  # the module's own code has made it
            known = [name for name in names if name in given.buffers]
        if not known:
            if strict:
                faults.append(_missing(places))
            continue
        if len(known) > 1 and strict:
            also = " and ".join(known[1:])
            faults.append(Fault(pointer([known[0]]), f"the module has one memory for it and {also}, the recipe two"))
        elif fault := _misfit(first, known[0], given):
            faults.append(fault)
        else:
            plans.append(_Plan(known[0], places, first.tensor))
    if strict:
        unused = [name for name in (*given.layout.recipe.tensors, *given.literals) if name not in used]
        faults += [Fault(pointer([name]), "unexpected: the module has no such tensor") for name in unused]
    return faults, plans


def _missing(places: list[Named]) -> Fault:
    also = "".join(f", also called {place.name}" for place in places[1:])
    if any(place.is_persistent for place in places):
        detail = f"missing: the recipe has no such tensor{also}"
    else:
        detail = (
            "a buffer on the meta device that is not persistent: its values come from the module's own code, not here"
        )
    return Fault(pointer([places[0].name]), detail)


def _misfit(place: Named, name: str, given: Given) -> Fault | None:
    """Why the tensor cannot be filled with what is given."""
    tensor, reason = place.tensor, ""
    if nn.parameter.is_lazy(tensor):
        reason = "a lazy tensor, which gets its shape at the first call"
    elif tensor.layout != torch.strided:
        reason = f"a tensor of layout {tensor.layout}; only strided ones are filled"
    elif is_distributed(tensor) and any(each.is_partial() for each in tensor.placements):  # type: ignore[attr-defined]
        reason = "a DTensor of partial sums; it is filled when sharded or replicated"
    elif any(stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)):
        reason = "an expanded tensor, whose elements share memory"
    else:
        if name in given.layout.places:
            entry = given.layout.entry(name)
            wanted: tuple[str, tuple[int, ...]] = (entry.dtype.name, entry.shape)
        else:
            literal = given.literal(name)
            wanted = _dtype(literal), tuple(literal.shape)
        found = _dtype(tensor), tuple(tensor.shape)
        if found != wanted:
            reason = f"{_kind(*found)} in the module, {_kind(*wanted)} in the recipe"
    return Fault(pointer([place.name]), reason) if reason else None


def _dtype(tensor: torch.Tensor) -> str:
    return DTYPES.get(tensor.dtype, str(tensor.dtype).removeprefix("torch."))


def _kind(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} {list(shape)}"


def _copy(literal: torch.Tensor, tensor: torch.Tensor) -> None:
    for view, region in boxes(tensor):
        view.copy_(literal[region.index])
