"""Descriptions of recipes: sizes and offsets, and the distribution of every tensor as text and as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fanin.draws import (
    Arange,
    Blocks,
    Draw,
    DrawError,
    Fill,
    Mapped,
    Normal,
    Orthogonal,
    Polar,
    Quantized,
    Sparse,
    Stack,
    Table,
    TruncatedNormal,
    Uniform,
    Waves,
)
from fanin.draws.moments import Moments, mixture, moments
from fanin.dtypes import STORAGE
from fanin.file.layout import FileLayout, FileLayoutLike
from fanin.schemes.base import Scaled, Tensor
from fanin.schemes.blocks import Blocks as BlocksScheme

SHOWN = 4
"""Distributions of a tensor of blocks that are written out."""


def describe(recipe: FileLayoutLike) -> dict[str, Any]:
    """Return the sizes of a recipe's file, and for every tensor its place and distribution, as JSON values.

        >>> describe({"shape": [784, 10], "scheme": "he_normal"})["tensors"]["weight"]["std"]
        0.05050762722761054

    Args:
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`.

    Returns:
        `digest`, `stream`, `seed` (as text), `size` and `header_size` (bytes), `parameters` (elements of all tensors),
        and `tensors` by name, in file order. A tensor has `shape`, `dtype`, `scheme`, `start` and `stop` (bytes of the
        file), and `fan_in` and `fan_out` if its scheme has fans. `draw` is its distribution as text. `mean` and `std`
        describe the distribution before it is rounded to the storage type. Every stored element lies between `low` and
        `high`, which are `None` if there is not such a bound. All four are `None` for codes and scales of a quantized
        tensor, which depend on the random numbers.

    Raises:
        RecipeError: the recipe is wrong.
        FileError, OSError: it cannot be read.
    """
    layout = FileLayout.of(recipe)
    recipe = layout.recipe
    tensors = {}
    found: dict[int, dict[str, Any]] = {}  # names that share a tensor share its description
    for entry in layout.entries:
        tensor = recipe.tensors[entry.name]
        if id(tensor) not in found:
            found[id(tensor)] = {
                "shape": list(entry.shape),
                "dtype": entry.dtype.name,
                "scheme": tensor.scheme,
                "draw": formula(entry.draw),
                **_moments(tensor),
                **_fans(tensor),
            }
        each = found[id(tensor)]
        tensors[entry.name] = {**each, "shape": [*each["shape"]], "start": entry.start, "stop": entry.stop}
    return {
        "digest": recipe.digest,
        "stream": recipe.stream,
        "seed": str(recipe.seed),
        "size": layout.size,
        "header_size": len(layout.header),
        "parameters": sum(entry.count for entry in layout.entries),
        "tensors": tensors,
    }


def moments_of(tensor: Tensor) -> Moments:
    """Return the moments of a tensor's elements.

    Those of a normal or uniform distribution follow from its draw at float64, where bounds and deviations are rounded
    least. The bounds are those of the storage type.
    """
    if isinstance(tensor, BlocksScheme) and (size := math.prod(tensor.shape)):
        return mixture([(math.prod(part.shape) / size, moments_of(part)) for _, part in tensor.tensors])
    dtype, draw = STORAGE[tensor.dtype], tensor.draw
    found = moments(draw, dtype)
    if dtype.is_complex or not isinstance(draw, Normal | TruncatedNormal | Uniform):
        return found
    try:
        finer = moments(tensor.lower(STORAGE["F64"]), STORAGE["F64"])
    except DrawError:  # a bound is too small for float64, and 0 in the storage type
        return found
    return found._replace(mean=finer.mean, std=finer.std)


def _moments(tensor: Tensor) -> dict[str, float | None]:
    if isinstance(tensor.draw, Quantized):
        return dict.fromkeys(Moments._fields)
    return moments_of(tensor)._asdict()


def _fans(tensor: Tensor) -> dict[str, int]:
    """The fans, where the scheme has some."""
    return {"fan_in": tensor.fans.fan_in, "fan_out": tensor.fans.fan_out} if isinstance(tensor, Scaled) else {}


def formula(draw: Draw) -> str:
    """Return the distribution of an element as text; numbers have the fewest digits that identify them."""
    match draw:
        case Fill(value):
            return _short(value)
        case Uniform(low=low, high=high):
            return f"U[{_short(low)}, {_short(high)}]"
        case Normal(mean, std):
            return f"N({_short(mean)}, {_short(std)}^2)"
        case TruncatedNormal(mean, std, low, high):
            return f"N({_short(mean)}, {_short(std)}^2) in [{_short(low)}, {_short(high)}]"
        case Blocks():
            distributions = list(dict.fromkeys(_distributions(draw)))
            more = f" | ... {len(distributions) - SHOWN} more" if len(distributions) > SHOWN else ""
            return " | ".join(distributions[:SHOWN]) + more
        case Table():
            return "table"
        case Arange(start, step, size):
            return f"{start} + {step} i, i = 0 .. {size - 1}"
        case Waves(frequencies=frequencies):
            return f"sin(2 pi (f t + s / 4)) of {len(frequencies)} frequencies f"
        case Mapped(function, center, half_width):
            u = f"U[{_short(center - half_width)}, {_short(center + half_width)}]"
            return f"{_FUNCTIONS[function]}, u = {u}"
        case Polar(scale, 0.0):
            return f"uniform in |z| <= {_short(scale)}"
        case Polar(scale, 1.0):  # the disk has all of the distribution, to float64's last place
            return f"N(0, {_short(scale)}^2) of complex numbers"
        case Polar(scale, mass):
            return f"N(0, {_short(scale)}^2) in |z| <= {_short((-math.log1p(-mass)) ** 0.5 * scale)}"
        case Sparse(distribution, size, _, zeros):
            return f"{formula(distribution)}, {zeros} of {size} zero"
        case Stack(matrix, _, count):
            return f"{formula(matrix)}, {count} matrices"
        case Quantized(part=part, group=(rows, columns)):
            shared = "" if draw.rule == "given" else f" in groups of {rows} x {columns}"
            return f"{_PARTS[part]} {draw.element} of {formula(draw.draw)}{shared}"
        case Orthogonal(gain, rows, columns):
            return f"{_short(gain)} Q, Q orthogonal, {rows} x {columns}"


_FUNCTIONS = {
    "log": "ln u",
    "inverse_softplus_exp": "ln(exp(exp u) - 1)",
    "inverse_softplus_log": "ln(exp(-ln(u) / 2) - 1)",
    "inverse_softplus_log_8": "ln(exp(-ln(u) / 8) - 1)",
    "log_log": "ln(-ln(u) / 2)",
    "logit": "ln(u / (1 - u))",
}


_PARTS = {"data": "codes", "scale": "scales for", "zero_point": "zero points for"}


def _distributions(draw: Draw) -> Iterator[str]:
    """Yield the distributions of a tensor of blocks, some of them more than once."""
    if isinstance(draw, Blocks):
        for part in draw.draws:
            yield from _distributions(part)
    else:
        yield formula(draw)


def _short(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    with np.errstate(over="ignore"):
        single = np.float32(value)
    return (str(single) if float(single) == value else repr(value)).removesuffix(".0")
