"""Translate distributions that were followed into schemes of a recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from fanin import draws, schemes
from fanin.recipe import ONLY_TENSOR, as_recipe
from fanin.recording import curves
from fanin.recording.distributions import (
    Circular,
    Constant,
    Distribution,
    Function,
    Normal,
    Orthogonal,
    Said,
    Sparse,
    Uniform,
    Unknown,
)
from fanin.schemes.base import Tensor


class RefusedError(Exception):
    """The reason why no recipe describes the initialization of a tensor."""


def scheme(dist: Distribution, shape: Sequence[int]) -> dict[str, Any] | None:
    """Return the scheme and its parameters for a distribution; `None` for known values.

    Raises:
        RefusedError: no scheme has this distribution, or none in a tensor of this shape.
    """
    match dist:
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
        case Orthogonal():
            if said := orthogonal(dist, shape):
                return said
            rows, columns = dist.shape
            raise RefusedError(f"an orthogonal matrix of {rows} x {columns} in another shape")
        case Sparse(_, _, sparsity, std) if dist.shape == tuple(shape):
            return {"scheme": "sparse", "sparsity": sparsity, "std": std, "axis": 1 if dist.by_columns else 0}
        case Sparse():
            raise RefusedError("a sparse matrix in another shape")
        case Said(words, whole) if whole == tuple(shape) and not dist.place and not dist.order:
            members: dict[str, Any] = json.loads(words)
            return members
        case Said(words):
            raise RefusedError(f"{json.loads(words)['scheme']} in another shape, or only a part of it")
        case Unknown(operation):
            raise RefusedError(f"no scheme describes the result of {operation}")
        case Function(curve):
            if said := curves.scheme(curve):
                return said
            raise RefusedError(f"no scheme describes the result of {dist.operation}")
    return None


def distribution(tensor: Tensor) -> Distribution:
    """Return the distribution of a recipe's tensor: a plain one, which has rules, if its draw is identical."""
    plain: Distribution | None = None
    match tensor, tensor.draw:
        case schemes.distributions.Uniform(low=low, high=high), _:
            plain = Uniform(low, high)
        case schemes.distributions.Normal(mean=mean, std=std), _:
            plain = Normal(mean, std)
        case schemes.distributions.TruncatedNormal(mean=mean, std=std, low=low, high=high, bounds=bounds), _:
            unit, origin = (std, mean) if bounds == "std" else (1.0, 0.0)
            ends = (-math.inf if low is None else low, math.inf if high is None else high)
            plain = Normal(mean, std, *(origin + unit * end for end in ends))
        case schemes.constants.Constant(value=value), _:
            plain = Constant(value)
        case _, draws.Fill(value):
            plain = Constant(value)
        case _, draws.Uniform(low=low, high=high):
            plain = Uniform(low, high)
        case _, draws.Normal(mean, std):
            plain = Normal(mean, std)
    shape = {"shape": list(tensor.shape), "dtype": tensor.dtype}
    words = scheme(plain, tensor.shape) if plain is not None else None
    if plain and words and as_recipe({**shape, **words}).tensors[ONLY_TENSOR].draw == tensor.draw:
        return plain
    members = {field: value for field, value in tensor.given().items() if field not in shape}
    return Said(json.dumps(members), tensor.shape)


def orthogonal(dist: Orthogonal, shape: Sequence[int], count: int = 1) -> dict[str, Any] | None:
    """Return the scheme of a tensor of this shape that is `count` independent matrices, one after another.

    Returns `None` if the matrices do not have the shape of the last axes.
    """
    for axes in range(max(len(shape) - 1, 1)):
        layout = _matrix_layout(dist, shape[axes:]) if math.prod(shape[:axes]) == count else None
        if layout:
            stacked = {"batch_axes": list(range(axes))} if axes else {}
            return {"scheme": "orthogonal", "gain": dist.gain, "layout": layout, **stacked}
    return None


def _matrix_layout(dist: Orthogonal, shape: Sequence[int]) -> str | None:
    """Return the layout in which this shape is the matrix. A single row and a single column have one distribution."""
    rows, columns = dist.shape
    size = math.prod(shape)
    for layout, first, last in (("torch", shape[0], size // shape[0]), ("keras", size // shape[-1], shape[-1])):
        if (first, last) == (rows, columns) or (1 in (first, last) and 1 in (rows, columns)):
            return layout
    return None
