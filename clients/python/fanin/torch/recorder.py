"""Follows every operation of a model's construction, without doing the large ones.

Tensors are made on the meta device, where they have shapes and no memory. What their elements would be is kept beside
them. Small ones that do not depend on random numbers are computed as the operation computes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter, tree_map

from fanin.errors import RecordError
from fanin.torch.content import MOST_VALUES, Memory, Piece, values
from fanin.torch.laws import Constant, Law, Normal, Random, Uniform, Unknown, Unset, Values, affine, clamp, erfinv

CONSTANTS = {"zeros": 0, "zeros_like": 0, "new_zeros": 0, "zero": 0, "ones": 1, "ones_like": 1, "new_ones": 1}
NUMBERS = {"full": "fill_value", "full_like": "fill_value", "new_full": "fill_value", "fill": "value"}
UNSET = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
COPIES = {"clone", "_to_copy"}
JOINS = {"cat", "stack"}
PRETENDED = {
    torch.Tensor.device.__get__: torch.device("cpu"),
    torch.Tensor.is_cpu.__get__: True,  # type: ignore[attr-defined]
    torch.Tensor.is_meta.__get__: False,  # type: ignore[attr-defined]
}
READINGS = {torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.__array__}
SHARES_MEMORY = {"_unsafe_view"}
"""Views that their schemas do not tell of."""


@contextmanager
def following(memory: Memory) -> Iterator[None]:
    """Keep in `memory` what the block does to tensors."""

    def truncated(tensor: torch.Tensor, mean: float, std: float, a: float, b: float, generator: Any = None) -> Any:  # noqa: ARG001
        with _plainly():
            memory.write(tensor, [(tensor.numel(), Normal(mean, std, a, b))])
        return tensor

    with ExitStack() as stack:
        # It draws until all values are inside, which nobody can follow who has no values.
        # Every way to trunc_normal_ comes to this function.
        stack.enter_context(patch.object(torch.nn.init, "_no_grad_trunc_normal_", truncated))
        stack.enter_context(_Surface(memory))
        stack.enter_context(_Operations(memory))
        yield


@contextmanager
def _plainly() -> Iterator[None]:
    """Work with tensors unobserved, and as they are."""
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        yield


class _Surface(TorchFunctionMode):
    """What a model's code sees of tensors besides operations: they say that they are on the CPU, and have values.

    Code that finds tensors on the meta device leaves out what it would do: `orthogonal_` and others do nothing there.
    """

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in PRETENDED:
            return PRETENDED[func]
        if func in READINGS:
            with _plainly():
                return func(_known(self._memory, args[0], func.__name__), *args[1:], **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _known(memory: Memory, tensor: torch.Tensor, operation: str) -> torch.Tensor:
    """The tensor in memory.

    Raises:
        RecordError: nobody knows its values.
    """
    pieces = memory.read(tensor)
    flat = values(pieces, tensor.dtype)
    if flat is None:
        causes = {law.operation for _, law in pieces if isinstance(law, Unknown)} or {"random numbers"}
        raise RecordError.of(f"its construction reads ({operation}) values that come from {', '.join(sorted(causes))}")
    return flat.view(tensor.shape)


class _Operations(TorchDispatchMode):
    """Every operation, below autograd and after torch has taken it apart into its primitive ones."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            call = _Call.of(func, args, kwargs or {})
            if call.is_view:
                return func(*args, **(kwargs or {}))
            content = self._by_rule(call)
            if content is not None:
                return self._put(call, content)
            known = self._known(call)
            if known is not None:
                return self._computed(call, known)
            return self._join(call) if call.name in JOINS else self._unknown(call)

    # ---- by rule ----------------------------------------------------------------------------------------------------

    def _by_rule(self, call: _Call) -> Law | list[Piece] | None:
        """What the operation leaves in its result; none where no rule says it."""
        name, given = call.name, call.given
        if name in CONSTANTS:
            return Constant(CONSTANTS[name])
        if name in NUMBERS:
            value = self._number(given[NUMBERS[name]])
            return None if value is None else Constant(value)
        if name in UNSET:
            return Unset()
        if name in COPIES:
            return self._memory.read(given["self"])
        match name:
            case "copy":
                return self._memory.read(given["src"].expand_as(given["self"]))
            case "uniform":
                return Uniform(given["from"], given["to"])
            case "rand" | "rand_like":
                return Uniform(0.0, 1.0)
            case "randn" | "randn_like":
                return Normal(0.0, 1.0)
            case "normal":
                mean, std = self._number(given["mean"]), self._number(given["std"])
                return None if mean is None or std is None else Normal(mean, std)
            case "erfinv":
                return self._each(given["self"], lambda law: erfinv(law, call.operation))
            case "clamp" | "clamp_min" | "clamp_max":
                low, high = (self._number(given.get(end, at)) for end, at in (("min", -math.inf), ("max", math.inf)))
                if low is not None and high is not None:
                    return self._each(given["self"], lambda law: clamp(law, low, high, call.operation))
            case "mul" | "div" | "add" | "sub" | "rsub" | "neg" if not given.get("rounding_mode"):
                return self._affine(call)
        return None

    def _affine(self, call: _Call) -> list[Piece] | None:
        """A tensor of random numbers, scaled by a number and moved by another."""
        name, operands = call.name, [call.given["self"], call.given.get("other")]
        if name == "rsub":
            name, operands = "sub", operands[::-1]
        numbers = [self._number(operand) for operand in operands]
        alpha = call.given.get("alpha", 1)
        if name == "neg":
            return self._scaled(call, operands[0], -1.0, 0.0)
        if numbers[1] is not None:
            scale, shift = {
                "mul": (numbers[1], 0.0),
                "div": (1 / numbers[1] if numbers[1] else math.inf, 0.0),
                "add": (1.0, alpha * numbers[1]),
                "sub": (1.0, -alpha * numbers[1]),
            }[name]
            return self._scaled(call, operands[0], scale, shift)
        if numbers[0] is not None and name != "div":
            scale, shift = {"mul": (numbers[0], 0.0), "add": (alpha, numbers[0]), "sub": (-alpha, numbers[0])}[name]
            return self._scaled(call, operands[1], scale, shift)
        return None

    def _scaled(self, call: _Call, tensor: torch.Tensor, scale: float, shift: float) -> list[Piece] | None:
        return self._each(tensor, lambda law: affine(law, scale, shift, call.operation))

    def _each(self, tensor: Any, rule: Callable[[Law], Law]) -> list[Piece] | None:
        """A rule for a tensor some of whose elements are random."""
        pieces = self._memory.read(tensor) if isinstance(tensor, torch.Tensor) else []
        if not any(isinstance(law, Random) for _, law in pieces):
            return None
        return [(length, rule(law)) for length, law in pieces]

    def _number(self, operand: Any) -> float | None:
        """The number that an operand is, at every place."""
        if isinstance(operand, int | float):
            return operand
        if isinstance(operand, torch.Tensor) and operand.numel() == 1:
            flat = values(self._memory.read(operand), operand.dtype)
            return None if flat is None or flat.is_complex() else flat.item()
        return None

    def _put(self, call: _Call, content: Law | list[Piece]) -> torch.Tensor:
        target: torch.Tensor = call.target if call.target is not None else call.on_meta()
        self._memory.write(target, content if isinstance(content, list) else [(target.numel(), content)])
        return target

    def _join(self, call: _Call) -> torch.Tensor:
        tensors, dim = call.given["tensors"], call.given.get("dim", 0)
        result: torch.Tensor = call.on_meta()
        if call.name == "stack":
            places = result.unbind(dim)
        else:
            tensors = [tensor for tensor in tensors if tensor.shape != (0,)]
            places = result.split([tensor.shape[dim] for tensor in tensors], dim)
        for place, tensor in zip(places, tensors, strict=True):
            self._memory.write(place, self._memory.read(tensor))
        return result

    # ---- without a rule ---------------------------------------------------------------------------------------------

    def _known(self, call: _Call) -> dict[int, torch.Tensor] | None:
        """The tensors that it reads, with values, by id; none where one is unknown or something is large."""
        if call.is_random:
            return None
        known: dict[int, torch.Tensor] = {}
        for tensor in call.inputs:
            flat = values(self._memory.read(tensor), tensor.dtype)
            if flat is None:
                return None
            known[id(tensor)] = flat.clone().view(tensor.shape)
        try:
            shapes = _tensors(call.on_meta())
        except (NotImplementedError, RuntimeError):
            shapes = []  # they depend on values; what is wrong fails again
        return known if sum(shape.numel() for shape in shapes) <= MOST_VALUES else None

    def _computed(self, call: _Call, known: dict[int, torch.Tensor]) -> Any:
        """The result with its values."""
        for tensor in call.written:
            known.setdefault(id(tensor), torch.empty(tensor.shape, dtype=tensor.dtype))
        result = call.on_cpu(known)
        originals = {id(known[id(tensor)]): tensor for tensor in call.written}
        for tensor in call.written:
            self._memory.write(tensor, [(tensor.numel(), Values(known[id(tensor)].reshape(-1)))])

        def kept(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            if id(leaf) in originals:
                return originals[id(leaf)]
            twin = torch.empty_like(leaf, device="meta")
            self._memory.write(twin, [(leaf.numel(), Values(leaf.reshape(-1)))])
            return twin

        return tree_map(kept, result)

    def _unknown(self, call: _Call) -> Any:
        """The result, of which only the shape is known."""
        read = [] if call.is_random else call.inputs
        laws = [law for tensor in read for _, law in self._memory.read(tensor)]
        blame = next((law for law in laws if isinstance(law, Unset | Unknown)), Unknown(call.operation))
        try:
            result = call.on_meta()
        except (NotImplementedError, RuntimeError):
            raise RecordError.of(f"the construction asks {call.operation} for what depends on random values") from None
        for leaf in [*call.written, *tree_iter(result)]:
            if not isinstance(leaf, torch.Tensor):
                raise RecordError.of(f"the construction asks {call.operation} for what depends on random values")
            self._memory.write(leaf, [(leaf.numel(), blame)])
        return call.target if call.target is not None else result


@dataclass(frozen=True)
class _Call:
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
    def of(cls, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Call:
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
            _tensors([given.get(argument) for argument in changed]),
            _tensors([value for argument, value in given.items() if argument not in outs]),
            aliases and not changed,
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


def _tensors(values: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_iter(values) if isinstance(leaf, torch.Tensor)]
