"""Translate the pieces of a tensor into a recipe: one distribution, a stack of matrices, or blocks of several."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from fanin.recording.distributions import (
    Constant,
    Diagonal,
    Distribution,
    Factor,
    Matrix,
    Orthogonal,
    Partly,
    Random,
    Said,
    Signs,
    Triangle,
    Unknown,
    Unset,
    Values,
)
from fanin.recording.to_scheme import RefusedError, orthogonal, scheme
from fanin.schemes.blocks import MAX_PARTS
from fanin.torch.recorder.pieces import Piece, values
from fanin.torch.recorder.recognition import table

_INCOMPLETE = "a random matrix is only a part of it, or is incomplete"


def merged(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces with adjacent pieces of one distribution combined, but not those of matrices and `Said`.

    Raises:
        RefusedError: a piece has no distribution.
    """
    merged: list[Piece] = []
    for length, dist in pieces:
        match dist:
            case Unset(line):
                raise RefusedError(f"nothing initializes it (aten.empty{line and ' at '}{line})")
            case Partly():
                raise RefusedError("known values are between other elements and are not blocks along one axis")
            case Unknown(operation):
                raise RefusedError(f"no scheme describes the result of {operation}")
            case Factor() | Triangle() | Diagonal() | Signs():
                raise RefusedError("no scheme describes the result of aten.linalg_qr")
            case Matrix() if not (_is_complete(length, dist) or isinstance(dist, Orthogonal)) or (
                len(pieces) == 1 and not _is_complete(length, dist)
            ):
                raise RefusedError(_INCOMPLETE)
            case Values(tensor) if bool((tensor == tensor[0]).all()):
                dist = Constant(tensor[0].item())
        if merged and merged[-1][1] == dist and not isinstance(dist, Matrix | Said):
            merged[-1] = (merged[-1][0] + length, dist)
        else:
            merged.append((length, dist))
    return merged or [(0, Constant(0.0))]


def parts(tensor: torch.Tensor, read: Callable[[torch.Tensor], list[Piece]]) -> dict[str, Any] | None:
    """Return the scheme of a tensor of several distributions; `None` if its parts are not blocks, or are too many.

    Args:
        tensor: A tensor of the model.
        read: Function that returns the pieces of a view of it.

    Raises:
        RefusedError: no scheme has the distribution of a part.
    """
    runs = merged(read(tensor))
    is_random = any(isinstance(dist, Random) for _, dist in runs)
    return _stack(runs, tensor.shape) or _Blocks(read, is_random).of(tensor, runs)


class _Blocks:
    """The blocks of one tensor. Its orthogonal matrices have the numbers from 1 on.

    Only a tensor with random numbers has blocks within blocks. Known values are a table, or a literal.
    """

    def __init__(self, read: Callable[[torch.Tensor], list[Piece]], is_random: bool) -> None:
        self._read, self._is_random = read, is_random
        self._numbers, self._left = itertools.count(1), MAX_PARTS

    def of(self, tensor: torch.Tensor, runs: list[Piece]) -> dict[str, Any] | None:
        """Return the scheme `blocks` for a tensor or a part of one; `None` if its parts are not blocks."""
        found = _cut(runs, tensor.shape)
        if found is None:
            for _, dist in runs:
                if isinstance(dist, Said):
                    scheme(dist, ())  # raises the error
                elif isinstance(dist, Orthogonal):
                    raise RefusedError(_INCOMPLETE)
            return None
        axis, groups = found
        members, start = [], 0
        for size, row in groups:
            part = tensor.narrow(axis, start, size)
            is_alone = len(row) == 1 and not isinstance(row[0][1], Matrix | Said | Values)
            said = self._leaf(row, part.shape) if is_alone else self._part(part) if self._is_random else None
            if said is None:
                return None
            members.append({"size": size, **said})
            start += size
        return {"scheme": "blocks", "axis": axis, "parts": members}

    def _part(self, part: torch.Tensor) -> dict[str, Any] | None:
        pieces = self._read(part)
        flat = values(pieces, part.dtype)
        if flat is not None and (found := table(flat.reshape(part.shape))):
            self._left -= 1
            return {member: value for member, value in found.items() if member != "shape"}
        runs = merged(pieces)
        return self._leaf(runs, part.shape) or self.of(part, runs)

    def _leaf(self, runs: list[Piece], shape: Sequence[int]) -> dict[str, Any] | None:
        """Return the scheme of a part of one distribution; `None` for several, or if there are too many parts."""
        said = scheme(runs[0][1], shape) if len(runs) == 1 else _stack(runs, shape)
        self._left -= said is not None
        if said is None or self._left < 0:
            return None
        if said["scheme"] == "orthogonal":
            numbers = [next(self._numbers) for _ in range(math.prod(shape[: len(said.get("batch_axes", ()))]))]
            said["number"] = numbers[0]
        return said


def _stack(runs: list[Piece], shape: Sequence[int]) -> dict[str, Any] | None:
    """Return the scheme of a tensor that is several orthogonal matrices of one distribution; `None` for others."""
    first = runs[0][1]
    if isinstance(first, Orthogonal) and all(dist == first and _is_complete(length, dist) for length, dist in runs):
        return orthogonal(first, shape, len(runs))
    return None


def _is_complete(length: int, dist: Distribution) -> bool:
    return isinstance(dist, Matrix) and (dist.place, length) == (0, dist.rows * dist.columns)


_Group = tuple[int, list[Piece]]
"""Number of consecutive slices along an axis that are equal, and the pieces of one of them."""


def _cut(runs: list[Piece], shape: Sequence[int]) -> tuple[int, list[_Group]] | None:
    """Return the first axis along which the distribution changes, and the groups; `None` if it has too many."""
    for axis, _ in enumerate(shape):
        groups = _groups(runs, math.prod(shape[axis + 1 :]))
        if groups is None or len(groups) > 1:
            return None if groups is None else (axis, groups)
        runs = groups[0][1]
    return None


def _groups(runs: list[Piece], inner: int) -> list[_Group] | None:
    """Return the groups of slices of `inner` elements; `None` if there are too many."""
    groups: list[_Group] = []
    keys: list[Any] = []

    def add(count: int, row: list[Piece]) -> None:
        key = [_key(piece, inner) for piece in row]
        if keys and keys[-1] == key:
            groups[-1] = groups[-1][0] + count, groups[-1][1]
        else:
            groups.append((count, row))
            keys.append(key)

    row: list[Piece] = []
    for length, dist in runs:
        left, filled = length, sum(each for each, _ in row)
        if filled:
            head = min(left, inner - filled)
            row.append((head, dist))
            left -= head
            if filled + head == inner:
                add(1, row)
                row = []
        if left >= inner:
            add(left // inner, [(inner, dist)])
        if left % inner:
            row = [(left % inner, dist)]
        if len(groups) > MAX_PARTS:
            return None
    return groups


def _key(piece: Piece, inner: int) -> Any:
    """Return what two equal slices have in common. Slices of a matrix are only like others of that matrix."""
    length, dist = piece
    match dist:
        case Matrix(rows, columns) if rows * columns > inner:
            return length, dist, dist.draw
        case Said(shape=shape) if math.prod(shape) > inner:
            return length, dist, dist.draw
    return length, dist
