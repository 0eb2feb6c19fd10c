"""Tensors that the load hooks of a module derive from a state dict, such as one projection from three.

`load_state_dict` calls the hooks of every module before it copies. Here they run on tensors without memory whose
elements are followed, so the place of each element in the recipe is known. Any part of the result can be generated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from fanin import backends
from fanin.errors import RecordError
from fanin.file.layout import FileLayout
from fanin.recording.distributions import Constant, Random, Unknown, Values
from fanin.region import Region
from fanin.torch.inputs import Given
from fanin.torch.recorder.pieces import Piece, Stretches, values
from fanin.torch.recorder.recording import plain_name, type_of
from fanin.torch.recorder.shadow_memory import Memory
from fanin.torch.recorder.tracer import following
from fanin.torch.writable import plainly


@dataclass(frozen=True)
class _Source(Random):
    """Elements of a tensor of the recipe. Operations can move them, and no other operation has a rule for them.

    With a distribution in its place, an operation that changes none of its numbers, such as a clamp, would be lost.
    """


@dataclass(frozen=True)
class Derived:
    """A tensor that load hooks derive from tensors of the recipe and literals."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    pieces: list[Piece]
    """The elements in row-major order. A piece is a part of the draw that stands for a tensor, or has known values."""
    names: Mapping[int, str]
    """Names in the recipe, by the draw that stands for the tensor."""
    sources: tuple[str, ...]
    """Names in the recipe and among the literals that the hooks removed from the state dict."""
    reason: str
    """Why its values are not known; empty if they are."""

    def read(self, layout: FileLayout, region: Region, backend: str | None) -> NDArray[Any]:
        """Return the elements of a region without gaps, as bytes in row-major order."""
        made = backends.get(None if backend == "cuda" else backend)
        out = np.empty(region.count * self.dtype.itemsize, np.uint8)
        whole, at = Stretches(self.pieces), 0
        for run in region.runs():
            for length, dist in whole.part(run.first, run.first + run.count):
                part = out[at : at + length * self.dtype.itemsize]
                if isinstance(dist, _Source):
                    entry = layout.entry(self.names[dist.draw])
                    made.fill(entry.draw, entry.stream, entry.dtype, dist.place, part.data)
                else:
                    known = values([(length, dist)], self.dtype)
                    assert known is not None
                    part[:] = known.contiguous().view(torch.uint8).numpy()
                at += len(part)
        return out


def derived(module: nn.Module, given: Given) -> dict[str, Derived | str]:
    """Return what the load hooks of a module add to a state dict of these tensors, by name in the module.

    A tensor that a hook only renames is represented by its name in the recipe. Hooks of torch's own modules are not
    called, because `init_` handles those modules.

    Raises:
        RecordError: a hook reads values, or fails.
    """
    if not any(_hooks(owner) for owner in module.modules()):
        return {}
    memory = Memory()
    with following(memory), torch.no_grad():
        loading = _Loading(memory)
        loading.visit(module, "", loading.state(given))
        loading.check()
    return loading.found


class _Loading:
    """A walk over the modules in the order of `load_state_dict`, which gives each the names below its own."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._names: dict[int, str] = {}
        self._origins: dict[int, tuple[str, list[Piece]]] = {}
        """Name in the recipe or among the literals, and content, by `id` of the followed tensor."""
        self._sources: dict[int, tuple[str, ...]] = {}
        """Names that a tensor is derived from, by its `id`."""
        self._noted: dict[str, tuple[torch.Tensor, list[Piece]]] = {}
        """Tensor of each name in the state dict, and its content behind the last hooks that could see the name."""
        self._kept: list[Any] = []
        """All tensors with an `id` here, so that no later tensor gets the same one."""
        self.found: dict[str, Derived | str] = {}

    def state(self, given: Given) -> dict[str, torch.Tensor]:
        """Return a state dict of the given tensors, without memory."""
        state = {}
        for name, tensor in given.layout.recipe.tensors.items():
            state[name] = torch.empty(tensor.shape, dtype=type_of(tensor.dtype), device="meta")
            source: Any = _Source()
            self._names[source.draw] = name
            self._memory.write(state[name], [(state[name].numel(), source)])
        for name, literal in given.literals.items():
            state[name] = torch.empty(literal.shape, dtype=literal.dtype, device="meta")
            self._memory.write(state[name], [(literal.numel(), Values(literal.reshape(-1)))])
        self._origins = {id(tensor): (name, self._memory.read(tensor)) for name, tensor in state.items()}
        self._sources = {id(tensor): (name,) for name, tensor in state.items()}
        self._kept += state.values()
        state |= {alias: state[name] for alias, name in given.tied.items()}
        self._noted = {name: (tensor, self._origins[id(tensor)][1]) for name, tensor in state.items()}
        return state

    def visit(self, module: nn.Module, prefix: str, state: dict[str, Any], above: Sequence[str] = ()) -> None:
        """Call the hooks of a module and of the modules in it. `state` has the names that begin with the prefix.

        `above` are errors of the modules that contain it: they hold for all that its hooks derive.
        """
        errors = list(above)
        if hooks := _hooks(module):
            before = dict(state)
            with _Casts(errors):
                for hook in hooks:
                    _call(hook, state, prefix, errors)
            removed = [tensor for name, tensor in before.items() if name not in state]
            sources = tuple(dict.fromkeys(name for each in removed for name in self._sources.get(id(each), ())))
            for name, tensor in state.items():
                if isinstance(tensor, torch.Tensor) and (before.get(name) is not tensor or self._is_changed(name)):
                    self._note(name, tensor, sources, errors)
        for name, child in module.named_children():
            if any(_hooks(owner) for owner in child.modules()):
                inner = plain_name(f"{prefix}{name}.")
                self.visit(child, inner, {key: each for key, each in state.items() if key.startswith(inner)}, errors)

    def check(self) -> None:
        """Give an error to tensors that a hook of a module has written to which does not own their names."""
        for name, (tensor, pieces) in self._noted.items():
            found = self.found.get(plain_name(name))
            if not (isinstance(found, Derived) and found.reason) and self._is_changed(name):
                reason = "a load hook of another module writes to it"
                self.found[plain_name(name)] = Derived(
                    tuple(tensor.shape), tensor.dtype, pieces, self._names, (), reason
                )

    def _note(self, name: str, tensor: torch.Tensor, sources: tuple[str, ...], errors: list[str]) -> None:
        """Record a tensor that a hook has added, or has changed in place."""
        self._kept.append(tensor)
        pieces = self._memory.read(tensor)
        self._noted[name] = tensor, pieces
        origin, given = self._origins.get(id(tensor), ("", []))
        if origin and _are_same(given, pieces):
            self.found[plain_name(name)] = origin
            return
        sources = self._sources[id(tensor)] = tuple(dict.fromkeys((*self._sources.get(id(tensor), ()), *sources)))
        reasons = [*errors, *(reason for _, dist in pieces if (reason := self._reason(dist)))]
        reason = reasons[0] if reasons else ""
        self.found[plain_name(name)] = Derived(tuple(tensor.shape), tensor.dtype, pieces, self._names, sources, reason)

    def _is_changed(self, name: str) -> bool:
        """Return whether a hook has written to the tensor of this name since the last hooks that could see it."""
        tensor, pieces = self._noted[name]
        return not _are_same(pieces, self._memory.read(tensor))

    def _reason(self, dist: Any) -> str:
        match dist:
            case Constant() | Values():
                return ""
            case _Source(draw=draw, order=0) if draw in self._names:
                return ""
            case Unknown(operation):
                return f"its load hooks use {operation}"
        return "its load hooks compute or transpose it"


def _call(hook: Any, state: dict[str, Any], prefix: str, errors: list[str]) -> None:
    try:
        hook(state, prefix, {}, True, [], [], errors)
    except RecordError:
        raise
    except Exception as error:
        name = repr(prefix.removesuffix(".")) if prefix else "the module"
        raise RecordError.of(
            f"a load hook of {name} fails on tensors without memory: {type(error).__name__}: {error}"
        ) from error


class _Casts(TorchDispatchMode):
    """Notes casts between floating-point types: the followed distributions do not tell whether a cast rounds."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._errors = errors

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_iter((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
        if len(dtypes) > 1:
            self._errors.append(f"its load hooks cast {' and '.join(sorted(map(str, dtypes)))}")
        return result


def _are_same(one: list[Piece], other: list[Piece]) -> bool:
    """Return whether both are the same elements."""
    return len(one) == len(other) and all(
        length == more and _is_same(first, second) for (length, first), (more, second) in zip(one, other, strict=True)
    )


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, Random) and isinstance(other, Random):
        return one.is_same_draw(other)
    if isinstance(one, Values) and isinstance(other, Values):
        with plainly():  # as bytes, because a NaN is not equal to itself
            bits, others = (each.tensor.contiguous().view(torch.uint8) for each in (one, other))
            return one.tensor.dtype == other.tensor.dtype and torch.equal(bits, others)
    return bool(one == other)


def _hooks(module: nn.Module) -> list[Any]:
    """Return the load hooks of a module that are not torch's own."""
    return [hook for hook in module._load_state_dict_pre_hooks.values() if not _is_torchs(hook)]


def _is_torchs(hook: Any) -> bool:
    """Return whether a hook is a function of torch, such as those of FSDP and of activation checkpointing."""
    called = getattr(hook, "hook", hook)
    called = getattr(called, "func", called)
    return f"{getattr(called, '__module__', '')}.".startswith("torch.")
