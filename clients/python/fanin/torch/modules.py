"""Modules: their parameters and buffers, found by name and filled from a recipe."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Self, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from fanin.adapters import slicers
from fanin.adapters.matching import Names, name_and_axes
from fanin.adapters.slicers import Service
from fanin.dtypes import PACKED
from fanin.errors import Fault, ModuleError, pointer
from fanin.file.layout import FileLayoutLike
from fanin.torch.dtensors import misplaced
from fanin.torch.filling import fill_dense
from fanin.torch.inputs import Given
from fanin.torch.load_hooks import Derived, derived
from fanin.torch.named_tensors import Named, named
from fanin.torch.plans import Plan
from fanin.torch.recorder.recording import DTYPES, FLOATING, PAIRS_ONLY
from fanin.torch.recorder.shadow_memory import current
from fanin.torch.writable import (
    check_eager,
    is_dense,
    obstacle,
    overlapping,
    plainly,
    undetached,
)

Module = TypeVar("Module", bound=nn.Module)


def init_(
    module: Module,
    recipe: FileLayoutLike,
    *,
    seed: int | str | None = None,
    names: Names | None = None,
    strict: bool = True,
    service: Service | None = None,
    backend: str | None = None,
    device: torch.device | str | None = None,
) -> Module:
    """Fill a module's parameters and buffers in place by their names in `state_dict()`, and return the module.

    Each tensor is filled where it lives. Tensors on the meta device get memory first. A DTensor gets the shard of this
    rank alone, and all ranks together have the tensor that one device would have. Names of one memory are filled once.
    Counters of batch norm that the recipe does not name become 0. All tensors are checked before any is written.
    Parameters that load hooks of the module derive from a state dict get the values that `load_state_dict` would give.

        >>> with torch.device("meta"):
        ...     model = Transformer(config)
        >>> fully_shard(model)
        >>> fanin.torch.init_(model, pathlib.Path("recipe.json"), seed=42)

    Args:
        module: The module to fill.
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`. The literals and non-persistent
            buffers of a `Recording` are filled in too. The layout must be given where a distribution depends on it.
        seed: 0 to 2^64 - 1, in place of the recipe's own.
        names: By the name of a tensor in the module, the name of its tensor in the recipe, or `(name, axes)` if the
            module's tensor is `numpy.transpose(tensor, axes)`.
        strict: Whether every tensor of the module must be in the recipe, and the reverse. If not, a warning names the
            tensors that stay on the meta device.
        service: The URL of a service, or a `fanin.Client`, to fetch this rank's shards from. By default they are
            generated here.
        backend: Name of the backend that generates them here. By default the fastest for the device of each tensor.
        device: Device for tensors of the meta device. By default torch's default device, or that of their mesh.

    Raises:
        RuntimeError: a tracer or a transform of torch.func runs, which cannot follow this call.
        RecordError: a load hook of the module reads values.
        TypeError: `module` is not a module, or `names` not a mapping.
        ModuleError: tensors that are missing, unexpected, or of another shape or type; one fault for each.
        RecipeError, FileError, OSError: the recipe is wrong or cannot be read.
        BackendError: the backend is unusable here, or on the device of a tensor.
        ServiceError, MismatchError: as for `fanin.Client`. Tensors that were filled before stay filled.
    """
    check_eager()
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, not {type(module).__name__}")
    if not isinstance(names, Mapping | None):
        raise TypeError(f"names must be a mapping of names, not {type(names).__name__}")
    given = Given.of(recipe, seed)
    fallback = torch.get_default_device()
    with plainly(), torch.no_grad():
        found = _Search(given, strict, names or {}, derived(module, given)).of(list(named(module)))
        if found.faults:
            raise ModuleError(found.faults)
        for plan in found.plans:
            plan.materialize(device, fallback)
        with slicers.slicer(service, backend=backend) as take:
            left = found.plans
            if service is None and backend != "cuda" and current() is None:
                dense, left = _divided(left)
                fill_dense(given.layout, [(plan.name, plan.target) for plan in dense], backend)
            for plan in left:
                plan.fill(given, None if service is None else take, backend)
        for plan in found.plans:
            plan.put()
    if found.left:
        warnings.warn(f"still on the meta device, without values: {', '.join(found.left)}", UserWarning, stacklevel=2)
    return module


def _divided(plans: Sequence[Plan]) -> tuple[list[Plan], list[Plan]]:
    """Return the plans of dense tensors in memory of the CPU that are generated as they are, and the others."""
    dense: list[Plan] = []
    others: list[Plan] = []
    for plan in plans:
        is_made = plan.literal is None and plan.derived is None
        (dense if is_made and plan.axes is None and plan.is_dense else others).append(plan)
    return dense, others


class _Search:
    """Finds the source of values for each memory of a module, and reports all faults."""

    def __init__(self, given: Given, strict: bool, names: Names, derived: Mapping[str, Derived | str]) -> None:
        self._given, self._strict, self._names, self._derived = given, strict, names, derived
        self._filled: dict[str, str] = {}
        """Name in the module, by the name in the recipe that fills it."""
        self.faults: list[Fault] = []
        self.plans: list[Plan] = []
        self.left: list[str] = []
        """Names of tensors that stay on the meta device."""

    def of(self, tensors: list[Named]) -> Self:
        """Search sources for all tensors of a module, and return this search."""
        present = {each.name for each in tensors}
        for name in self._names:
            if name not in present:
                self._fault(name, "given in names=, but the module has no such tensor")
        memories: dict[object, list[Named]] = {}
        for each in tensors:
            memories.setdefault(each.memory, []).append(each)
        for places in memories.values():
            self._one(places)
        self._find_shared()
        if self._strict:
            given = (*self._given.layout.recipe.tensors, *self._given.literals)
            unused = [name for name in given if name not in self._filled]
            self.faults += [Fault(pointer([name]), "unexpected: the module has no such tensor") for name in unused]
        return self

    def _one(self, places: list[Named]) -> None:
        """Find the source of one memory with these names in the module."""
        given, first = self._given, places[0]
        if (
            len(places) == 1 and not self._names and not given.tied and not self._derived
        ):  # what follows, for most tensors of most modules
            name = first.name
            if name in given.layout.places and name not in self._filled:
                self._filled[name] = name
                self._plan(name, places, None)
                return
        own = (self._derived.get(place.name) for place in places if place.name not in self._names)
        if made := next((each for each in own if isinstance(each, Derived)), None):
            self._plan_derived(made, places)
            return
        chosen = [self._chosen(place.name) for place in places]
        names = list(dict.fromkeys(given.tied.get(name, name) for name, _ in chosen))
        known = [name for name in names if name in given.layout.places or name in given.literals]
        twice = self._filled.get(known[0], first.name) if known else first.name
        self._filled |= dict.fromkeys(known, first.name)
        is_persistent = any(place.is_persistent for place in places)
        known = known or [name for name in names if name in given.buffers and not is_persistent]
        plain = (None, tuple(range(first.tensor.dim())))
        moved = [None if axes in plain else axes for name, axes in chosen if given.tied.get(name, name) in known]
        orders = list(dict.fromkeys(moved))
        axes = orders[0] if orders else None
        if not known and (asked := [place.name for place in places if place.name in self._names]):
            self._fault(asked[0], f"the recipe has no tensor {self._chosen(asked[0])[0]!r}")
        elif not known:
            self._without(places, is_persistent)
        elif len(known) > 1 and self._strict:
            also = " and ".join(known[1:])
            self._fault(known[0], f"the module has one memory for it and {also}, the recipe two")
        elif len(orders) > 1:
            also = " and ".join(place.name for place in places)
            self._fault(first.name, f"{also} are one memory, but names= gives its axes in several orders")
        elif twice != first.name and self._strict:
            self._fault(first.name, f"the recording has one memory for it and {twice}, the module two: tie them again")
        else:
            self._plan(known[0], places, axes)

    def _plan(self, name: str, places: list[Named], axes: tuple[int, ...] | None) -> None:
        """Fill a memory from this name of the recipe or the literals, if it fits."""
        first, given = places[0], self._given
        dense = is_dense(first.tensor)
        if reason := _misfit(first, name, given, axes, dense):
            self._fault(first.name, reason)
        else:
            literal = None if name in given.layout.places else given.literal(name)
            self.plans.append(Plan(name, places, first.tensor, literal, axes, dense))

    def _plan_derived(self, made: Derived, places: list[Named]) -> None:
        """Fill a memory with the tensor that load hooks derive, if it fits."""
        first = places[0]
        self._filled |= dict.fromkeys(made.sources, first.name)
        dense = is_dense(first.tensor)
        reason = made.reason or _unfit(first, dense) or _difference(first.tensor, (_dtype(made.dtype), made.shape))
        if current() is not None:
            reason = reason or "a recording cannot follow load hooks: record the model without init_"
        if reason:
            self._fault(first.name, reason)
        else:
            self.plans.append(Plan(first.name, places, first.tensor, None, is_dense=dense, derived=made))

    def _chosen(self, name: str) -> tuple[str, tuple[int, ...] | None]:
        """Return the name in the recipe of a tensor of the module, and the order of its axes if that differs."""
        renamed = self._derived.get(name)
        return name_and_axes(name, self._names.get(name, renamed if isinstance(renamed, str) else name))

    def _without(self, places: list[Named], is_persistent: bool) -> None:
        """Decide what happens to a memory that the recipe does not name."""
        first = places[0]
        is_absent = first.tensor.is_meta and current() is None
        if not is_persistent and not is_absent:
            return  # the module's own code has set its values
        if isinstance(first.owner, _NormBase) and first.attribute == "num_batches_tracked":
            zero = torch.zeros((), dtype=torch.int64, device="cpu")
            self.plans.append(Plan(first.name, places, first.tensor, zero))
        elif self._strict:
            self.faults.append(_missing(places))
        elif is_absent:
            self.left.append(first.name)

    def _find_shared(self) -> None:
        """Report tensors that share some elements: the tensor that is filled last would overwrite the other."""
        views = [(plan, view) for plan in self.plans if (view := undetached(plan.target)).numel()]
        aside: list[Plan] = []
        for one, other in overlapping([view for _, view in views]):
            pair = views[one][0], views[other][0]
            seen = [plan for plan in pair if not any(place.is_persistent for place in plan.places)]
            if seen and not views[one][1].is_meta:
                aside += seen[:1]  # the buffer reads the values of the other tensor
            else:
                detail = f"shares memory with {pair[0].places[0].name}, of which it is another view"
                self._fault(pair[1].places[0].name, detail)
        self.plans = [plan for plan in self.plans if not any(plan is each for each in aside)]

    def _fault(self, name: str, detail: str) -> None:
        self.faults.append(Fault(pointer([name]), detail))


def _missing(places: list[Named]) -> Fault:
    first = places[0]
    also = "".join(f", also called {place.name}" for place in places[1:])
    if not any(place.is_persistent for place in places):
        detail = "a non-persistent buffer on the meta device: its values are in a recording, not in a recipe"
    elif first.tensor.dtype not in FLOATING:
        of_torch = str(first.tensor.dtype).removeprefix("torch.")
        detail = f"missing: {of_torch} values come from the module's own code: pass its recording"
    else:
        detail = f"missing: the recipe has no such tensor{also}"
    return Fault(pointer([first.name]), detail)


def _misfit(place: Named, name: str, given: Given, axes: tuple[int, ...] | None, dense: bool) -> str:
    """Return why the tensor cannot be filled from this name; an empty string if it can."""
    if reason := _unfit(place, dense):
        return reason
    literal = None if name in given.layout.places else given.literal(name)
    if literal is None:
        described = given.layout.recipe.tensors[name]
        wanted: tuple[str, tuple[int, ...]] = (described.dtype, described.shape)
    else:
        wanted = _dtype(literal.dtype), tuple(literal.shape)
    if axes is not None:
        if sorted(axes) != list(range(len(wanted[1]))):
            return f"axes {axes} are not a permutation of the {len(wanted[1])} axes of the tensor {name!r}"
        if current() is not None:
            return "a recording cannot follow reordered axes: record the model without init_"
        wanted = wanted[0], tuple(wanted[1][axis] for axis in axes)
    return _difference(place.tensor, wanted)


def _unfit(place: Named, dense: bool) -> str:
    """Return why values cannot be written to the tensor; an empty string if they can."""
    tensor = place.tensor
    if not dense and (reason := obstacle(tensor) or misplaced(tensor)):
        return reason
    if tensor.is_meta and current() is None and getattr(place.owner, "_hf_hook", None) is not None:
        return "a parameter that accelerate has offloaded: fill the module before it offloads"
    return ""


def _difference(tensor: torch.Tensor, wanted: tuple[str, tuple[int, ...]]) -> str:
    """Return how the tensor's type and shape differ from those of the recipe; empty if they do not."""
    found = _dtype(tensor.dtype), tuple(tensor.shape)
    if found == wanted:
        return ""
    hint = f": {PAIRS_ONLY}" if wanted[0] in PACKED else ""
    return f"{_kind(*found)} in the module, {_kind(*wanted)} in the recipe{hint}"


def _dtype(dtype: torch.dtype) -> str:
    return DTYPES.get(dtype, str(dtype).removeprefix("torch."))


def _kind(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} {list(shape)}"
