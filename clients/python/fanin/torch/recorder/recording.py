"""Record the recipe of a model from its construction."""

from __future__ import annotations

import math
import re
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import safetensors.torch
import torch

from fanin.dtypes import DTYPE_NAMES, FLOATING_NAMES, PACKED, DTypeName
from fanin.errors import Fault, RecipeError, RecordError, pointer
from fanin.file.shards import LITERALS_SEED
from fanin.names import misnamed
from fanin.recipe import Recipe, as_recipe
from fanin.recipe.display import Summary
from fanin.recording import integers
from fanin.recording.distributions import Constant, Random, Statistic
from fanin.recording.to_scheme import RefusedError, scheme
from fanin.torch.recorder.claims import Claims
from fanin.torch.recorder.derived import Derived, derived
from fanin.torch.recorder.operation import OTHERS
from fanin.torch.recorder.pieces import MOST_VALUES, Piece, rounded, values
from fanin.torch.recorder.recognition import table
from fanin.torch.recorder.runs import merged, parts
from fanin.torch.recorder.shadow_memory import Memory, peculiar
from fanin.torch.recorder.tracer import following
from fanin.torch.writable import plainly

DTYPES: dict[torch.dtype, DTypeName] = {
    getattr(torch, name): dtype for name, dtype in DTYPE_NAMES.items() if dtype not in PACKED
}
"""Storage type of each type of torch. Its float4_e2m1fn_x2 is missing: an element is a pair, so shapes differ."""
PAIRS_ONLY = (
    "torch has no type for its elements, only float4_e2m1fn_x2 for pairs of them;"
    " save the recipe and load the file with safetensors.torch"
)
"""The reason for which torch modules do not take a type of `PACKED`."""
FLOATING: dict[torch.dtype, DTypeName] = {
    dtype: name for dtype, name in DTYPES.items() if name in FLOATING_NAMES.values()
}
"""Storage type of each real or complex type of torch."""
MOST_LITERALS = 1 << 26
"""Maximum bytes of all literals, in total. If the recipe's tensors have more bytes, their size is the maximum."""
WRAPPERS = ("_orig_mod", "_checkpoint_wrapped_module")
"""Parts of module names that torch.compile and activation checkpointing insert."""
EXTRA_STATE = "_extra_state"
"""Last part of the name of the entry that `get_extra_state` returns."""


def type_of(dtype: DTypeName) -> torch.dtype:
    """Return the type of torch for a storage type.

    Raises:
        TypeError: torch has none.
    """
    for found, name in DTYPES.items():
        if name == dtype:
            return found
    raise TypeError(f"dtype {dtype}: {PAIRS_ONLY}")


@dataclass(frozen=True, repr=False)
class Recording:
    """The initialization of a model. `fanin.torch.init_` accepts it in place of a recipe."""

    recipe: Recipe
    """The tensors that have a distribution, by their names in `state_dict`. A tied tensor has its first name."""
    tied: Mapping[str, str]
    """Name in the recipe or among the literals, by each other name of the same memory."""
    literals: Mapping[str, torch.Tensor]
    """Tensors that no scheme describes and that do not depend on random numbers: counters, positions, tables."""
    buffers: Mapping[str, torch.Tensor]
    """Values of non-persistent buffers, which no file has. A module that was built without memory needs them.
    Large buffers and buffers that depend on random numbers are left out."""
    copies: Mapping[str, str]
    """Tensors that begin as a copy of another in the model. In the recipe they have different random numbers."""
    norms: Mapping[str, Derived]
    """Literals that belong to the recipe's seed: norms of a tensor of the recipe, and vectors of `spectral_norm`."""

    def __repr__(self) -> str:
        return self._summary().text()

    def _repr_html_(self) -> str:
        return self._summary().html()

    def _summary(self) -> Summary:
        tensors = self.recipe.tensors
        title = f"Recording: seed {self.recipe.seed}, {len(tensors):,} tensors, {len(self.literals):,} literals"
        return Summary(f"{title}, {len(self.tied):,} tied names", tensors)

    def literals_file(self) -> bytes | None:
        """Return a safetensors file of the literals, as `Client.push` sends it; `None` if there are none.

        If some of them belong to the recipe's seed, the metadata has that seed, because the file is valid for it alone.
        """
        if not self.literals:
            return None
        seed = {LITERALS_SEED: f"{self.recipe.seed}"} if self.norms else {}
        given = {name: literal.contiguous() for name, literal in self.literals.items()}
        return safetensors.torch.save(given, {"format": "pt", **seed})

    def with_seed(self, seed: int | str) -> Recording:
        """Return the recording with another seed, 0 to 2^64 - 1 or a string of its digits; norms are computed again.

        Raises:
            RecipeError: the seed is not in that range.
        """
        recipe = self.recipe.seeded(seed)
        taken = {name: norm.values(recipe, self.literals[name]) for name, norm in self.norms.items()}
        return replace(self, recipe=recipe, literals={**self.literals, **taken})


def record(build: Callable[[], torch.nn.Module], *, seed: int | str = 0) -> Recording:
    """Run a model's construction and initialization without its memory, and return the distribution of every tensor.

    No tensor above 2^22 elements is allocated, and torch's generators stay as they are. Random numbers of NumPy or
    other libraries are recorded as fixed values.

        >>> fanin.torch.record(lambda: MyModel(config), seed=42)

    Args:
        build: A function that creates and initializes the model, and returns it.
        seed: Seed of the recipe.

    Raises:
        RecordError: an initialization that no recipe describes, for each tensor with the operation that caused it.
    """
    if isinstance(build, torch.nn.Module) or not callable(build):
        wanted = "record takes a function that creates the model, as in `record(lambda: MyModel(config))`"
        raise RecordError.of(f"{wanted}, not a {type(build).__name__}")
    memory = Memory()
    try:
        with following(memory):
            model = build()
            state = _state(model) if isinstance(model, torch.nn.Module) else {}
    except RecordError:
        raise
    except Exception as error:
        _check_threads(memory)
        if error is not memory.failure and "meta" not in str(error).lower():
            raise  # an error of the model's code
        raise RecordError.of(f"{_last_line(error)}: {type(error).__name__}: {error}") from error
    _check_threads(memory)
    if not isinstance(model, torch.nn.Module):
        raise RecordError.of(f"the builder must return a torch.nn.Module, not {type(model).__name__}")
    with plainly():
        return _Reading(memory, seed).of(model, state)


def _check_threads(memory: Memory) -> None:
    """
    Raises:
        RecordError: a thread that the builder started has used torch.
    """
    if memory.stray:
        raise RecordError.of(
            f"{memory.stray} in a thread that works for the builder; record follows only its own thread"
        )


def _last_line(error: Exception) -> str:
    """Return the file and line of the model's code that raised the error."""
    frames = traceback.extract_tb(error.__traceback__)
    modules = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [each for each, name in zip(frames, modules, strict=True) if name.partition(".")[0] not in OTHERS]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else "the construction"


class _Reading:
    def __init__(self, memory: Memory, seed: int | str) -> None:
        self._memory, self._seed = memory, seed
        self._names: dict[tuple[Any, ...], str] = {}
        self._drawn: dict[int, Claims] = {}
        self._tied: dict[str, str] = {}
        self._copies: dict[str, str] = {}
        self._literals: dict[str, torch.Tensor] = {}
        self._norms: dict[str, tuple[Statistic, torch.Tensor]] = {}
        self._whole: dict[int, tuple[str, Random, torch.Size]] = {}

    def of(self, model: torch.nn.Module, state: Mapping[str, Any]) -> Recording:
        tensors, faults = {}, []
        for name, tensor in state.items():
            try:
                if said := self._tensor(name, tensor):
                    tensors[name] = said
            except RefusedError as refusal:
                faults.append(Fault(pointer([name]), str(refusal)))
        most = max(MOST_LITERALS, sum(math.prod(state[name].shape) * state[name].itemsize for name in tensors))
        for name, literal in self._literals.items():
            if reason := misnamed(name):
                faults.append(Fault(pointer([name]), reason))
            if (most := most - literal.nbytes) < 0:
                held = f"{literal.numel()} fixed values, with which literals have more bytes than the rest of the model"
                faults.append(Fault(pointer([name]), held))
        norms: dict[str, Derived] = {}
        for name, (dist, _) in self._norms.items():
            try:
                norms[name] = derived(name, dist, self._whole)
            except RefusedError as refusal:
                faults.append(Fault(pointer([name]), str(refusal)))
        if faults:
            raise RecordError(faults)
        try:
            recipe = as_recipe({"seed": self._seed, "tensors": tensors})
        except RecipeError as error:
            if not any(fault.pointer.startswith("/tensors/") for fault in error.faults):
                raise
            raise RecordError(
                [replace(fault, pointer=fault.pointer.removeprefix("/tensors")) for fault in error.faults]
            ) from None
        for name, norm in norms.items():
            self._literals[name] = norm.values(recipe, self._norms[name][1])
        return Recording(recipe, self._tied, self._literals, self._buffers(model, state), self._copies, norms)

    def _tensor(self, name: str, tensor: Any) -> dict[str, Any] | None:
        """Return the recipe's members for a tensor; `None` for tied names, literals and norms.

        Raises:
            RefusedError: no recipe describes it.
        """
        if not isinstance(tensor, torch.Tensor):
            raise RefusedError(f"a {type(tensor).__name__} in the model's state, which is not a tensor")
        if torch.nn.parameter.is_lazy(tensor):
            raise RefusedError("a lazy tensor, which gets its shape at the first call")
        if kind := peculiar(tensor):
            raise RefusedError(f"{kind}; a recipe has only dense tensors")
        if _packed(tensor):
            raise RefusedError(f"{tensor.dtype} is not a type of single numbers")
        where = (tensor.untyped_storage()._cdata, tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        first = self._names.setdefault(where, name)
        if first != name and tensor.numel():
            self._tied[name] = first
            return None
        pieces = self._memory.read(tensor)
        self._note_draws(name, pieces)
        runs = merged(pieces)
        dists = [dist for _, dist in runs]
        if norms := [dist for dist in dists if isinstance(dist, Statistic)]:
            if len(dists) > 1 or tensor.numel() != norms[0].count:
                raise RefusedError("it contains norms of a random tensor, beside other elements or several times")
            self._norms[name] = norms[0], tensor
            return None
        if isinstance(dists[0], Random) and len(pieces) == 1:  # several pieces of one draw can have another order
            self._whole[dists[0].draw] = name, dists[0], tensor.shape
        said = scheme(dists[0], tensor.shape) if len(dists) == 1 else parts(tensor, self._memory.read)
        if said is not None and tensor.dtype in FLOATING:
            return {"shape": list(tensor.shape), "dtype": FLOATING[tensor.dtype], **said}
        if any(isinstance(dist, Random) for dist in dists) and len(dists) > 1:
            raise RefusedError("its parts have different distributions and are not blocks, or more than 256")
        if isinstance(dists[0], Random):
            raise RefusedError(f"{tensor.dtype} is not a storage type of a recipe")
        flat = values(pieces, tensor.dtype)
        if flat is not None and tensor.dtype in FLOATING and (said := table(flat.reshape(tensor.shape))):
            return {"dtype": FLOATING[tensor.dtype], **said}
        if tensor.dtype in DTYPES.keys() - FLOATING.keys():
            dtype = DTYPES[tensor.dtype]
            if len(dists) == 1 and isinstance(dists[0], Constant):
                held = rounded(dists[0].value, tensor.dtype).real
                if not tensor.is_floating_point():
                    return integers.constant(int(held), tensor.shape, dtype)
                if said := scheme(Constant(held), tensor.shape):  # a power of two in F8_E8M0, but not its NaN
                    return {"shape": list(tensor.shape), "dtype": dtype, **said}
            if (
                flat is not None
                and not tensor.is_floating_point()  # NumPy has no F8_E8M0, whose other tables are literals
                and (said := integers.members(flat.reshape(tensor.shape).numpy()))
            ):
                return said
        if flat is None:
            raise RefusedError(f"it has {tensor.numel()} fixed values; at most {MOST_VALUES} are computed")
        self._literals[name] = flat.reshape(tensor.shape)
        return None

    def _buffers(self, model: torch.nn.Module, state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """Return the known values of the buffers that `state_dict` leaves out."""
        found = {}
        for name, tensor in model.named_buffers(remove_duplicate=False):
            name = plain_name(name)
            if name not in state and not peculiar(tensor) and not _packed(tensor):
                flat = values(self._memory.read(tensor), tensor.dtype)
                if flat is not None:
                    found[name] = self._memory.shared(flat).reshape(tensor.shape)
        return found

    def _note_draws(self, name: str, pieces: list[Piece]) -> None:
        own: dict[int, Claims] = {}
        for length, dist in pieces:
            if isinstance(dist, Random):
                stop = dist.place + length
                if own.setdefault(dist.draw, Claims()).claim(dist.place, stop, name):
                    raise RefusedError("it contains some of its random numbers twice")
                if other := self._drawn.setdefault(dist.draw, Claims()).claim(dist.place, stop, name):
                    self._copies.setdefault(name, other)


def _packed(tensor: torch.Tensor) -> bool:
    """Return whether the type holds bits or numbers of less than 8 bits. torch cannot fill such a tensor."""
    return re.fullmatch(r"torch\.(bits\w+|u?int[1-7]|float4\w*)", str(tensor.dtype)) is not None


def _state(model: torch.nn.Module) -> dict[str, Any]:
    """Return the tensors of `state_dict`, with the parts of wrappers removed from the names.

    The caller follows operations, because hooks of the model can derive tensors from parameters. `get_extra_state` is
    not called: it can read values, and no other part of Fanin uses its result.
    """
    own = [module for module in model.modules() if type(module).get_extra_state is not torch.nn.Module.get_extra_state]
    with ExitStack() as stack:
        for module in own:
            stack.enter_context(patch.object(module, "get_extra_state", lambda: None))
        stack.enter_context(torch.no_grad())
        state = model.state_dict(keep_vars=True)
    return {plain_name(name): tensor for name, tensor in state.items() if not name.endswith(EXTRA_STATE)}


def plain_name(name: str) -> str:
    """Return a name without the parts of wrappers."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
