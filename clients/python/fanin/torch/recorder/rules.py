"""Distributions of the results of operations: draws, copies and arithmetic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from fanin.recording.arithmetic import affine, clamp, erfinv
from fanin.recording.distributions import (
    Circular,
    Constant,
    Diagonal,
    Distribution,
    Factor,
    Function,
    Normal,
    Orthogonal,
    Random,
    Signs,
    Triangle,
    Uniform,
    Unset,
    Values,
    curve,
)
from fanin.torch.recorder.operation import Call, line
from fanin.torch.recorder.pieces import (
    MOST_STRETCHES,
    MOST_VALUES,
    Piece,
    Stretches,
    joined,
    recast,
    rounded,
    used,
    values,
)
from fanin.torch.recorder.shadow_memory import Memory

CONSTANTS = {"zeros": 0, "zeros_like": 0, "new_zeros": 0, "zero": 0, "ones": 1, "ones_like": 1, "new_ones": 1}
NUMBERS = {"full": "fill_value", "full_like": "fill_value", "new_full": "fill_value", "fill": "value"}
UNSET = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
COPIES = {"clone", "_to_copy"}


class Rules:
    """The rules for operations on tensors of a memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def distribution(self, call: Call) -> Distribution | list[Piece] | None:
        """Return the content of the operation's result; `None` without a rule."""
        name, given = call.name, call.given
        if name in CONSTANTS:
            return Constant(CONSTANTS[name])
        if name in NUMBERS:
            value = self._number(given[NUMBERS[name]])
            return None if value is None else Constant(value)
        if name in UNSET:
            return Unset(line())
        if name in COPIES:
            source = given["self"]
            return recast(self._memory.read(source), source.dtype, given.get("dtype") or source.dtype)
        match name:
            case "copy":
                source, target = given["src"], given["self"]
                return recast(self._memory.read(source.expand_as(target)), source.dtype, target.dtype)
            case "uniform":
                return Uniform(given["from"], given["to"])
            case "rand" | "rand_like":
                return Uniform(0.0, 1.0)
            case "randn" | "randn_like":
                return Normal(0.0, 1.0)
            case "normal":
                mean, std = self._level(given["mean"]), self._level(given["std"])
                return None if mean is None or std is None else Normal(mean, std)
            case "erfinv":
                return self._each(given["self"], lambda dist: erfinv(dist, call.cause))
            case "diagonal_copy":
                return self._memory.read(given["self"].diagonal(given["offset"], given["dim1"], given["dim2"]))
            case "sign" | "sgn":
                match self._memory.read(given["self"]):
                    case [(_, Diagonal(draw) | Triangle(1, 1, draw=draw))]:
                        return Signs(draw)
            case "clamp" | "clamp_min" | "clamp_max":
                low, high = (self._number(given.get(end, at)) for end, at in (("min", -math.inf), ("max", math.inf)))
                if low is not None and high is not None:
                    return self._each(given["self"], lambda dist: clamp(dist, low, high, call.cause))
            case "mul" | "div" | "add" | "sub" | "rsub" | "neg" if not given.get("rounding_mode"):
                if (content := self._affine(call) or self._signed(call)) is not None:
                    return content
            case "complex":
                return self._circular(given["real"], given["imag"])
        return self._function(call)

    def _circular(self, real: torch.Tensor, imaginary: torch.Tensor) -> Distribution | None:
        """Return the distribution of complex numbers from two independent normal tensors of equal variance."""
        match self._memory.read(real), self._memory.read(imaginary):
            case [(count, Normal(0, std, low, high) as dist)], [(same, Normal() as other)]:
                if dist == other and dist.draw != other.draw and count == same and math.isinf(low) and math.isinf(high):
                    return Circular(std * math.sqrt(2), draw=dist.draw, place=dist.place, order=dist.order)
        return None

    def _affine(self, call: Call) -> list[Piece] | None:
        """Return the content of a random tensor after multiplication by, or addition of, a number or known tensor."""
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
        return self._by_parts(call, operands)

    def _by_parts(self, call: Call, operands: list[Any]) -> list[Piece] | None:
        """Return the content of a random tensor, each element multiplied by, or added to, a known value."""
        if not all(isinstance(operand, torch.Tensor) and not operand.is_complex() for operand in operands):
            return None
        shape = torch.broadcast_shapes(*(operand.shape for operand in operands))
        found = [values(self._memory.read(operand), torch.float64) for operand in operands]
        at = 0 if found[0] is not None and call.name != "div" else 1
        flat, drawn, count = found[at], operands[1 - at], math.prod(shape)
        if flat is None or drawn.shape != shape or not 0 < count <= MOST_VALUES:
            return None
        pieces = self._memory.read(drawn)
        if not any(isinstance(dist, Random) for _, dist in pieces):
            return None
        known = flat.view(operands[at].shape).expand(shape).reshape(-1)
        starts = [0, *((known[1:] != known[:-1]).nonzero().flatten() + 1).tolist(), count]
        if len(starts) > MOST_STRETCHES:
            return None
        whole, alpha, result = Stretches(pieces), call.given.get("alpha", 1), list[Piece]()
        for start, stop in itertools.pairwise(starts):
            value = known[start].item()
            match call.name:
                case "mul":
                    scale, shift = value, 0.0
                case "div":
                    scale, shift = 1 / value if value else math.inf, 0.0
                case "add":
                    scale, shift = (1.0, alpha * value) if at else (alpha, value)
                case _:  # sub, and rsub with exchanged operands
                    scale, shift = (1.0, -alpha * value) if at else (-alpha, value)
            rule = partial(affine, scale=scale, shift=shift, operation=call.cause)
            result += [(length, _computed(dist, rule, drawn.dtype)) for length, dist in whole.part(start, stop)]
        return joined(result)

    def _scaled(self, call: Call, tensor: torch.Tensor, scale: float, shift: float) -> list[Piece] | None:
        return self._each(tensor, lambda dist: affine(dist, scale, shift, call.cause))

    def _signed(self, call: Call) -> Distribution | None:
        """Return a Haar matrix if Q of a QR factorization is multiplied by the signs of the diagonal of R.

        Mezzadri 2007 (arXiv:math-ph/0609050), section 5.
        """
        factors = [call.given["self"], call.given.get("other")]
        if call.name != "mul" or not all(isinstance(factor, torch.Tensor) for factor in factors):
            return None
        q, signs = factors if factors[0].dim() == 2 else factors[::-1]
        match self._memory.read(q), self._memory.read(signs):
            case [(_, Factor(rows, columns, by_columns=False) as dist)], [(_, Signs(draw))]:
                shapes = tuple(q.shape), tuple(signs.shape)
                if draw == dist.draw and shapes in (((rows, columns), (columns,)), ((rows, columns), (1, columns))):
                    return Orthogonal(rows, columns, 1.0, draw=draw)
        return None

    def _function(self, call: Call) -> Distribution | None:
        """Return the distribution after an elementwise operation on one uniform draw; `None` for other operands."""
        if torch.Tag.pointwise not in call.func.tags or call.is_random:
            return None
        known: dict[int, torch.Tensor] = {}
        dists: list[Uniform | Function] = []
        for tensor in call.inputs:
            number = self._number(tensor)
            match self._memory.read(tensor) if number is None else []:
                case [(_, Uniform() | Function() as dist)]:
                    dists.append(dist)
                    known[id(tensor)] = torch.tensor(curve(dist), dtype=torch.float64, device="cpu")
                case [] if number is not None:
                    known[id(tensor)] = torch.tensor(number, dtype=torch.float64, device="cpu")
                case _:
                    return None
        shapes = {tensor.shape for tensor in call.inputs if self._number(tensor) is None}
        if len(shapes) != 1 or not all(dist.is_same_draw(dists[0]) for dist in dists):
            return None
        values = call.on_cpu(known)
        if not isinstance(values, torch.Tensor) or values.dtype != torch.float64:
            return None
        operation = next((dist.operation for dist in dists if isinstance(dist, Function)), call.cause)
        first = dists[0]
        return Function(tuple(values.tolist()), operation, draw=first.draw, place=first.place, order=first.order)

    def _each(self, tensor: Any, rule: Callable[[Distribution], Distribution]) -> list[Piece] | None:
        """Apply a rule to the pieces of a tensor; `None` if no element is random."""
        pieces = self._memory.read(tensor) if isinstance(tensor, torch.Tensor) else []
        if not any(isinstance(dist, Random) for _, dist in pieces):
            return None
        return [(length, _computed(dist, rule, tensor.dtype)) for length, dist in pieces]

    def _level(self, operand: Any) -> float | None:
        """Return the number that all elements of an operand equal; `None` if they differ or are unknown."""
        if isinstance(operand, torch.Tensor) and operand.numel() > 1:
            match self._memory.read(operand):
                case [(_, Constant(value))] if not isinstance(value, complex):
                    return rounded(value, operand.dtype).real
                case [(_, Values(tensor))] if not tensor.is_complex() and bool((tensor == tensor[0]).all()):
                    return float(tensor[0])
        return self._number(operand)

    def _number(self, operand: Any) -> float | None:
        """Return the value of a number or a tensor of one known element; `None` for others."""
        if isinstance(operand, int | float):
            return operand
        if isinstance(operand, torch.Tensor) and operand.numel() == 1:
            flat = values(self._memory.read(operand), operand.dtype)
            return None if flat is None or flat.is_complex() else flat.item()
        return None


def _computed(dist: Distribution, rule: Callable[[Distribution], Distribution], dtype: torch.dtype) -> Distribution:
    """Return the result of a rule for elements of this type. Constants are rounded before and after, as in torch."""
    if not isinstance(dist, Constant):
        return rule(used(dist, dtype))
    made = rule(Constant(rounded(dist.value, dtype)))
    return Constant(rounded(made.value, dtype)) if isinstance(made, Constant) else made
