"""From laws that were followed to a recipe's words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fanin import curves
from fanin.laws import Circular, Constant, Function, Law, Normal, Orthogonal, Sparse, Uniform, Unknown


class RefusedError(Exception):
    """Why a tensor's initialization is nothing that a recipe says."""


def scheme(law: Law, shape: Sequence[int]) -> dict[str, Any] | None:
    """A recipe's words for a law; none for values that follow no law.

    Raises:
        RefusedError: it has none, or not in a tensor of this shape.
    """
    match law:
        case Constant(complex(real=value, imag=imaginary)):
            return None if imaginary else scheme(Constant(value), shape)
        case Constant(0):
            return {"scheme": "zeros"}
        case Constant(1):
            return {"scheme": "ones"}
        case Constant(float() | int() as value) if math.isfinite(value):
            return {"scheme": "constant", "value": value}
        case Uniform(low, high) if low == high:
            return {"scheme": "constant", "value": low}
        case Uniform(low, high):
            return {"scheme": "uniform", "low": low, "high": high}
        case Normal(mean, 0):
            return {"scheme": "constant", "value": mean}
        case Normal(mean, std, low, high) if math.isinf(low) and math.isinf(high):
            return {"scheme": "normal", "mean": mean, "std": std}
        case Normal(mean, std, low, high):
            ends = {"low": low if math.isfinite(low) else None, "high": high if math.isfinite(high) else None}
            return {"scheme": "truncated_normal", "mean": mean, "std": std, **ends, "bounds": "absolute"}
        case Circular(std):
            return {"scheme": "normal", "std": std}
        case Orthogonal(gain=gain):
            return {"scheme": "orthogonal", "gain": gain, "layout": _matrix_layout(law, shape)}
        case Sparse(_, _, sparsity, std) if law.shape == tuple(shape):
            return {"scheme": "sparse", "sparsity": sparsity, "std": std, "axis": 1 if law.by_columns else 0}
        case Sparse():
            raise RefusedError("a sparse matrix in another shape")
        case Unknown(operation):
            raise RefusedError(f"no scheme is the result of {operation}")
        case Function(curve):
            if said := curves.scheme(curve):
                return said
            raise RefusedError(f"no scheme is the result of {law.operation}")
    return None


def _matrix_layout(law: Orthogonal, shape: Sequence[int]) -> str:
    """How a tensor of this shape is the matrix. The law of a row is that of a column."""
    rows, columns = law.shape
    size = math.prod(shape)
    for layout, first, last in (("torch", shape[0], size // shape[0]), ("keras", size // shape[-1], shape[-1])):
        if (first, last) == (rows, columns) or (1 in (first, last) and 1 in (rows, columns)):
            return layout
    raise RefusedError(f"an orthogonal matrix of {rows} x {columns} in another shape")
