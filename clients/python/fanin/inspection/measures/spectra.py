"""Singular values of matrices of bounded size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanin.inspection.thresholds import EXACT_SPECTRUM

_STEPS = 40
"""Steps of the power iteration. For a random matrix its result is then within one percent of the largest value."""
_LONGEST = 1 << 13


class Spectrum(NamedTuple):
    """Singular values of a matrix, or of its first rows and columns."""

    norm: float
    """The largest one."""
    condition: float | None
    """The largest over the least one; None if the least is 0 or was not computed."""
    rows: int
    columns: int


def matrix_of(head: NDArray[Any], shape: Sequence[int]) -> NDArray[Any] | None:
    """Return the complete rows among the first elements of a tensor, whose later axes become one.

    None if the tensor has fewer than two rows or columns.
    """
    if len(shape) < 2 or not math.prod(shape):
        return None
    columns = math.prod(shape[1:])
    rows = min(shape[0], len(head) // columns)
    return head[: rows * columns].reshape(rows, columns) if rows > 1 and columns > 1 else None


def spectrum(head: NDArray[Any], shape: Sequence[int]) -> Spectrum | None:
    """Return the spectrum of a tensor as a matrix; None if it is not one, or has NaN or infinite elements."""
    found = matrix_of(head, shape)
    if found is None or found.dtype.kind not in "fV":
        return None
    with np.errstate(all="ignore"):
        matrix = found[:, :_LONGEST].astype(np.float32)
    scale = float(np.abs(matrix).max())
    if not math.isfinite(scale):
        return None
    rows, columns = matrix.shape
    if scale == 0:
        return Spectrum(0.0, None, rows, columns)
    matrix = np.asarray(matrix / np.float32(scale), np.float32)
    if min(rows, columns) > EXACT_SPECTRUM:
        return Spectrum(_largest(matrix) * scale, None, rows, columns)
    wide = (matrix if rows <= columns else matrix.T).astype(np.float64)
    squares = np.linalg.eigvalsh(wide @ wide.T)
    least, largest = float(squares[0]), float(squares[-1])
    # The square root halves the digits: a condition above 10^7 is not distinguished from a singular matrix.
    condition = math.sqrt(largest / least) if least > largest * 1e-14 else None
    return Spectrum(math.sqrt(largest) * scale, condition, rows, columns)


def _largest(matrix: NDArray[np.float32]) -> float:
    """Return the largest singular value, by power iteration from a fixed random vector."""
    generator = np.random.Generator(np.random.Philox(0))
    vector: NDArray[Any] = np.asarray(generator.standard_normal((matrix.shape[1],)), np.float32)
    norm = 0.0
    for _ in range(_STEPS):
        vector = np.asarray(matrix.T @ (matrix @ (vector / np.linalg.norm(vector))))
        norm = math.sqrt(float(np.linalg.norm(vector)))
        if norm == 0:
            return 0.0
    return norm
