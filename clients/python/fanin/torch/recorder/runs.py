"""Translate the pieces of a tensor into a recipe: one distribution, or blocks of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fanin.recording.distributions import (
    Constant,
    Diagonal,
    Factor,
    Matrix,
    Partly,
    Signs,
    Triangle,
    Unknown,
    Unset,
    Values,
)
from fanin.recording.to_scheme import RefusedError, scheme
from fanin.schemes.blocks import MAX_PARTS
from fanin.torch.recorder.pieces import Piece, Stretches


def merged(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces with adjacent pieces of one distribution combined.

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
            case Matrix(rows, columns) if (dist.place, length) != (0, rows * columns) or len(pieces) > 1:
                raise RefusedError("a random matrix is only a part of it, or is incomplete")
            case Values(tensor) if bool((tensor == tensor[0]).all()):
                dist = Constant(tensor[0].item())
        if merged and merged[-1][1] == dist:
            merged[-1] = (merged[-1][0] + length, dist)
        else:
            merged.append((length, dist))
    return merged or [(0, Constant(0.0))]


def blocks(runs: list[Piece], shape: Sequence[int]) -> dict[str, Any] | None:
    """Return the scheme `blocks` if distributions change along one axis alone, else `None`."""
    for axis, size in enumerate(shape):
        inner = math.prod(shape[axis + 1 :])
        parts = list(Stretches(runs).part(0, size * inner))
        repeated = parts * min(math.prod(shape[:axis]), len(runs))
        if len(parts) <= MAX_PARTS and all(length % inner == 0 for length, _ in parts) and merged(repeated) == runs:
            said = [{"size": length // inner, **words} for length, dist in parts if (words := scheme(dist, shape))]
            return {"scheme": "blocks", "axis": axis, "parts": said} if len(said) == len(parts) else None
    return None
