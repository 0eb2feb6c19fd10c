"""Operations that move elements to other places without a change of their values."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._pytree import tree_map

from fanin.recording.distributions import Constant, Matrix, Random, Unknown, Unset, Values, reordered
from fanin.torch.recorder.operation import Call, tensors
from fanin.torch.recorder.pieces import MOST_VALUES, Piece, along, recast, values
from fanin.torch.recorder.shadow_memory import Memory

MOVES = {
    "constant_pad_nd": (("self",), ("value",)),
    "diag_embed": (("self",), ()),
    "diagonal_scatter": (("self", "src"), ()),
    "flip": (("self",), ()),
    "gather": (("self",), ()),
    "index": (("self",), ()),
    "index_copy": (("self", "source"), ()),
    "index_fill": (("self",), ("value",)),
    "index_put": (("self", "values"), ()),
    "index_select": (("self",), ()),
    "masked_fill": (("self",), ("value",)),
    "masked_scatter": (("self", "source"), ()),
    "repeat": (("self",), ()),
    "roll": (("self",), ()),
    "rot90": (("self",), ()),
    "scatter": (("self", "src"), ("value",)),
    "select_scatter": (("self", "src"), ()),
    "slice_scatter": (("self", "src"), ()),
    "take": (("self",), ()),
    "tril": (("self",), ()),
    "triu": (("self",), ()),
    "unfold_copy": (("self",), ()),
    "where": (("self", "other"), ()),
}
"""For each operation: the arguments whose elements it moves, and the arguments that are fill values."""


def moved(call: Call, memory: Memory) -> list[Piece] | None:
    """Return the pieces of the result; `None` if the operation moves no elements, or its result cannot be followed.

    The operation runs on the places of the elements instead of the elements. Place 0 is a zero that the operation
    inserts, and negative places are its fill values.
    """
    if call.name not in MOVES or call.given.get("accumulate") or call.given.get("reduce"):
        return None
    names, fills = MOVES[call.name]
    carried = [tensor for name in names if isinstance(tensor := call.given.get(name), torch.Tensor)]
    controls = {id(tensor): tensor for tensor in tensors([v for n, v in call.given.items() if n not in names])}
    if sum(tensor.numel() for tensor in (*carried, *controls.values())) > MOST_VALUES:
        return None
    dtype = _dtype(call) if len({tensor.dtype for tensor in carried}) > 1 else None
    places: dict[int, torch.Tensor] = {}
    pieces: list[Piece] = [(1, Constant(0))]
    count = 1
    for tensor in carried:
        inside = memory.read(tensor)
        if not all(isinstance(dist, Unset | Unknown | Constant | Values | Random) for _, dist in inside):
            return None
        places[id(tensor)] = torch.arange(count, count + tensor.numel(), device="cpu").view(tensor.shape)
        pieces += inside if dtype is None else recast(inside, tensor.dtype, dtype)
        count += tensor.numel()
    given: dict[str, Any] = {}
    numbers: list[float] = []
    for name, value in call.given.items():
        number = _number(value, memory) if name in fills else None
        if number is not None:
            numbers.append(number)
            negative = -len(numbers)
            given[name] = torch.tensor(negative, device="cpu") if isinstance(value, torch.Tensor) else negative
        elif name in fills and value is not None:
            return None
        elif name not in names:
            found = tree_map(lambda leaf: _value(leaf, memory) if isinstance(leaf, torch.Tensor) else leaf, value)
            if any(tensor.is_meta for tensor in tensors(found)):
                return None
            given[name] = found
    try:
        result = call.on_cpu_with(given, places)
    except RuntimeError:
        return None  # the type of places differs from the type that the operation requires
    if call.target is not None and result.shape != call.target.shape:
        return None
    if not isinstance(result, torch.Tensor) or result.dtype != torch.int64:
        return None
    found = along(result.reshape(-1), pieces, numbers)
    if found is None:
        return _shuffled(result, memory.read(carried[0])) if len(carried) == 1 else None
    return found


def _dtype(call: Call) -> torch.dtype:
    """Return the type of the result."""
    made: torch.Tensor = call.target if call.target is not None else call.on_meta()
    return made.dtype


def _shuffled(result: torch.Tensor, pieces: list[Piece]) -> list[Piece] | None:
    """Return the piece of independent elements in a new order; `None` unless the result has each element once."""
    match pieces:
        case [(length, Random() as dist)] if not isinstance(dist, Matrix) and result.numel() == length:
            if len(result.unique()) == length and bool((result > 0).all()):
                return [(length, reordered(dist))]
    return None


def _number(value: Any, memory: Memory) -> float | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        flat = values(memory.read(value), value.dtype)
        value = None if flat is None or flat.is_complex() else flat.item()
    return value if isinstance(value, int | float) else None


def _value(tensor: torch.Tensor, memory: Memory) -> torch.Tensor:
    """Return the tensor with values in memory, or the tensor itself if its values are unknown."""
    flat = values(memory.read(tensor), tensor.dtype)
    return tensor if flat is None else flat.view(tensor.shape)
