"""Follows every operation of a model's construction, without doing the large ones.

Tensors are made on the meta device, where they have shapes and no memory. What their elements would be is kept beside
them. Small ones that do not depend on random numbers are computed as the operation computes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

from fanin.errors import RecordError
from fanin.laws import (
    Circular,
    Constant,
    Diagonal,
    Factor,
    Function,
    Law,
    Normal,
    Orthogonal,
    Random,
    Signs,
    Triangle,
    Uniform,
    Unknown,
    Unset,
    Values,
    affine,
    clamp,
    curve,
    erfinv,
)
from fanin.torch.calls import Call, line, tensors
from fanin.torch.content import MOST_VALUES, Piece, values
from fanin.torch.memory import Memory, peculiar
from fanin.torch.moves import moved
from fanin.torch.surface import pretending

CONSTANTS = {"zeros": 0, "zeros_like": 0, "new_zeros": 0, "zero": 0, "ones": 1, "ones_like": 1, "new_ones": 1}
NUMBERS = {"full": "fill_value", "full_like": "fill_value", "new_full": "fill_value", "fill": "value"}
UNSET = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
COPIES = {"clone", "_to_copy"}
JOINS = {"cat", "stack"}


@contextmanager
def following(memory: Memory) -> Iterator[None]:
    """Keep in `memory` what the block does to tensors."""
    with memory.kept(), pretending(memory), _Operations(memory):
        yield


class _Operations(TorchDispatchMode):
    """Every operation, below autograd and after torch has taken it apart into its primitive ones."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            try:
                return self._called(func, args, kwargs or {})
            except Exception as error:
                self._memory.failure = error
                raise

    def _called(self, func: Any, args: Any, kwargs: Any) -> Any:
        call = Call.of(func, args, kwargs)
        if call.name == "set" and _is_elsewhere(call.given.get("source")):
            raise RecordError.of(f"{line() or 'the construction'}: {call.operation} puts a tensor in memory of its own")
        if call.is_view:
            return func(*args, **kwargs)
        if any(map(peculiar, call.inputs)):
            known = self._known(call)
            return self._unknown(call) if known is None else self._computed(call, known)
        content = self._by_rule(call)
        if content is not None:
            return self._put(call, content)
        known = self._known(call)
        if known is not None:
            return self._computed(call, known)
        if (pieces := moved(call, self._memory)) is not None:
            return self._put(call, pieces)
        if call.name == "linalg_qr" and (factors := self._factors(call)):
            return factors
        return self._join(call) if call.name in JOINS else self._unknown(call)

    # ---- by rule ----------------------------------------------------------------------------------------------------

    def _by_rule(self, call: Call) -> Law | list[Piece] | None:
        """What the operation leaves in its result; none where no rule says it."""
        name, given = call.name, call.given
        if name in CONSTANTS:
            return Constant(CONSTANTS[name])
        if name in NUMBERS:
            value = self._number(given[NUMBERS[name]])
            return None if value is None else Constant(value)
        if name in UNSET:
            return Unset(line())
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
                return self._each(given["self"], lambda law: erfinv(law, call.cause))
            case "diagonal_copy":
                return self._memory.read(given["self"].diagonal(given["offset"], given["dim1"], given["dim2"]))
            case "sign" | "sgn":
                match self._memory.read(given["self"]):
                    case [(_, Diagonal(draw) | Triangle(1, 1, draw=draw))]:
                        return Signs(draw)
            case "clamp" | "clamp_min" | "clamp_max":
                low, high = (self._number(given.get(end, at)) for end, at in (("min", -math.inf), ("max", math.inf)))
                if low is not None and high is not None:
                    return self._each(given["self"], lambda law: clamp(law, low, high, call.cause))
            case "mul" | "div" | "add" | "sub" | "rsub" | "neg" if not given.get("rounding_mode"):
                if (content := self._affine(call) or self._signed(call)) is not None:
                    return content
            case "complex":
                return self._circular(given["real"], given["imag"])
        return self._function(call)

    def _circular(self, real: torch.Tensor, imaginary: torch.Tensor) -> Law | None:
        """Complex numbers whose parts are independent, normal and alike."""
        match self._memory.read(real), self._memory.read(imaginary):
            case [(count, Normal(0, std, low, high) as law)], [(same, Normal() as other)]:
                if law == other and law.draw != other.draw and count == same and math.isinf(low) and math.isinf(high):
                    return Circular(std * math.sqrt(2), draw=law.draw, place=law.place, order=law.order)
        return None

    def _affine(self, call: Call) -> list[Piece] | None:
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

    def _scaled(self, call: Call, tensor: torch.Tensor, scale: float, shift: float) -> list[Piece] | None:
        return self._each(tensor, lambda law: affine(law, scale, shift, call.cause))

    def _signed(self, call: Call) -> Law | None:
        """The Q of a QR factorization, its columns multiplied by the signs of the diagonal of R, is a Haar matrix.

        Mezzadri 2007 (arXiv:math-ph/0609050), section 5.
        """
        factors = [call.given["self"], call.given.get("other")]
        if call.name != "mul" or not all(isinstance(factor, torch.Tensor) for factor in factors):
            return None
        q, signs = factors if factors[0].dim() == 2 else factors[::-1]
        match self._memory.read(q), self._memory.read(signs):
            case [(_, Factor(rows, columns, by_columns=False) as law)], [(_, Signs(draw))]:
                shapes = tuple(q.shape), tuple(signs.shape)
                if draw == law.draw and shapes in (((rows, columns), (columns,)), ((rows, columns), (1, columns))):
                    return Orthogonal(rows, columns, 1.0, draw=draw)
        return None

    def _factors(self, call: Call) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Q and R of a matrix of independent normals; none of another."""
        shape = call.given["A"].shape
        match self._memory.read(call.given["A"]):
            case [(_, Normal(0, _, low, high) as law)] if math.isinf(low) and math.isinf(high):
                if len(shape) == 2 and shape[0] >= shape[1] and call.given["mode"] == "reduced":
                    q, r = call.on_meta()
                    self._memory.write(q, [(q.numel(), Factor(*q.shape, draw=law.draw))])
                    self._memory.write(r, [(r.numel(), Triangle(*r.shape, draw=law.draw))])
                    return q, r
        return None

    def _function(self, call: Call) -> Law | None:
        """What an operation on each element makes of one uniform draw."""
        if torch.Tag.pointwise not in call.func.tags or call.is_random:
            return None
        known: dict[int, torch.Tensor] = {}
        laws: list[Uniform | Function] = []
        for tensor in call.inputs:
            number = self._number(tensor)
            match self._memory.read(tensor) if number is None else []:
                case [(_, Uniform() | Function() as law)]:
                    laws.append(law)
                    known[id(tensor)] = torch.tensor(curve(law), dtype=torch.float64, device="cpu")
                case [] if number is not None:
                    known[id(tensor)] = torch.tensor(number, dtype=torch.float64, device="cpu")
                case _:
                    return None
        shapes = {tensor.shape for tensor in call.inputs if self._number(tensor) is None}
        if len(shapes) != 1 or not all(law.is_same_draw(laws[0]) for law in laws):
            return None
        values = call.on_cpu(known)
        if not isinstance(values, torch.Tensor) or values.dtype != torch.float64:
            return None
        operation = next((law.operation for law in laws if isinstance(law, Function)), call.cause)
        first = laws[0]
        return Function(tuple(values.tolist()), operation, draw=first.draw, place=first.place, order=first.order)

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

    def _put(self, call: Call, content: Law | list[Piece]) -> torch.Tensor:
        target: torch.Tensor = call.target if call.target is not None else call.on_meta()
        if target.dtype.is_complex and isinstance(content, Normal | Uniform):
            content = Circular(content.std) if isinstance(content, Normal) and not content.mean else Unknown(call.cause)
        self._memory.write(target, content if isinstance(content, list) else [(target.numel(), content)])
        return target

    def _join(self, call: Call) -> torch.Tensor:
        joined, dim = call.given["tensors"], call.given.get("dim", 0)
        result: torch.Tensor = call.on_meta()
        if call.name == "stack":
            places = result.unbind(dim)
        else:
            joined = [tensor for tensor in joined if tensor.shape != (0,)]
            places = result.split([tensor.shape[dim] for tensor in joined], dim)
        for place, tensor in zip(places, joined, strict=True):
            self._memory.write(place, self._memory.read(tensor))
        return result

    # ---- without a rule ---------------------------------------------------------------------------------------------

    def _known(self, call: Call) -> dict[int, torch.Tensor] | None:
        """The tensors that it reads, with values, by id; none where one is unknown or something is large."""
        if call.is_random:
            return None
        known: dict[int, torch.Tensor] = {}
        for tensor in call.inputs:
            if peculiar(tensor):
                if tensor.is_meta:
                    return None
                continue
            flat = values(self._memory.read(tensor), tensor.dtype)
            if flat is None:
                return None
            known[id(tensor)] = flat.clone().view(tensor.shape)
        try:
            shapes = tensors(call.on_meta())
        except (NotImplementedError, RuntimeError):
            shapes = []  # they depend on values; what is wrong fails again
        return known if sum(shape.numel() for shape in shapes) <= MOST_VALUES else None

    def _computed(self, call: Call, known: dict[int, torch.Tensor]) -> Any:
        """The result with its values."""
        for tensor in call.written:
            known.setdefault(id(tensor), torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu"))
        result = call.on_cpu(known)
        originals = {id(known[id(tensor)]): tensor for tensor in call.written}
        for tensor in call.written:
            self._memory.write(tensor, [(tensor.numel(), Values(known[id(tensor)].reshape(-1)))])

        def kept(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            if id(leaf) in originals:
                return originals[id(leaf)]
            if peculiar(leaf):
                return leaf
            twin = torch.empty_like(leaf, device="meta")
            self._memory.write(twin, [(leaf.numel(), Values(leaf.reshape(-1)))])
            return twin

        return tree_map(kept, result)

    def _unknown(self, call: Call) -> Any:
        """The result, of which only the shape is known."""
        read = [] if call.is_random else call.inputs
        laws = [law for tensor in read for _, law in self._memory.read(tensor)]
        blame = next((law for law in laws if isinstance(law, Unset | Unknown)), Unknown(call.cause))
        try:
            result = call.on_meta()
        except (NotImplementedError, RuntimeError):
            raise self._dependent(call) from None
        for leaf in [*call.written, *tree_iter(result)]:
            if not isinstance(leaf, torch.Tensor):
                raise self._dependent(call)
            self._memory.write(leaf, [(leaf.numel(), blame)])
        return call.target if call.target is not None else result

    @staticmethod
    def _dependent(call: Call) -> RecordError:
        return RecordError.of(f"{line() or 'the construction'}: what {call.operation} returns depends on random values")


def _is_elsewhere(source: Any) -> bool:
    """Whether it is real memory, where tensors are followed that have none."""
    return isinstance(source, torch.Tensor | torch.UntypedStorage) and source.device.type != "meta"
