"""What a recipe amounts to, for people and programs: sizes, offsets and the formula of every tensor, resolved."""

from __future__ import annotations

from typing import Any

from fanin.draws import Draw, Fill, Normal, TruncatedNormal, Uniform
from fanin.layout import Layout
from fanin.schemes import Scaled, Tensor


def describe(layout: Layout) -> dict[str, Any]:
    """The layout as JSON values. Offsets are half-open and count from the start of the file."""
    recipe = layout.recipe
    tensors = {}
    for entry in layout.entries:
        tensor = recipe.tensors[entry.name]
        tensors[entry.name] = {
            "shape": list(entry.shape),
            "dtype": entry.dtype.name,
            "scheme": tensor.scheme,
            "draw": formula(entry.draw),
            **_fans(tensor),
            "start": entry.start,
            "stop": entry.stop,
        }
    return {
        "digest": recipe.digest,
        "stream": recipe.stream,
        "seed": str(recipe.seed),
        "size": layout.size,
        "header_size": len(layout.header),
        "parameters": sum(entry.count for entry in layout.entries),
        "tensors": tensors,
    }


def _fans(tensor: Tensor) -> dict[str, int]:
    """The fans, where the scheme has some; a tensor without elements need not determine any."""
    if not isinstance(tensor, Scaled) or 0 in tensor.shape:
        return {}
    return {"fan_in": tensor.fans.fan_in, "fan_out": tensor.fans.fan_out}


def formula(draw: Draw) -> str:
    """The law of an element with its numbers, to nine digits: enough for float32."""
    match draw:
        case Fill(value):
            return f"{value:.9g}"
        case Uniform(low=low, high=high):
            return f"U[{low:.9g}, {high:.9g}]"
        case Normal(mean, std):
            return f"N({mean:.9g}, {std:.9g}^2)"
        case TruncatedNormal(mean, std, low, high):
            return f"N({mean:.9g}, {std:.9g}^2) in [{low:.9g}, {high:.9g}]"
