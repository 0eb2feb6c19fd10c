"""Fans: the numbers of connections of one output unit and of one input unit.

The numbers are those of the layer at stride 1. For grouped, depthwise and transposed convolutions the initializers of
the frameworks count wrongly (table in SPEC.md section 9.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

KernelLayout = Literal["keras", "torch"]
Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]

MAX_KERNEL_RANK = 5
"""Maximum rank: input axis, output axis and three spatial axes. For more axes the meaning would be a guess."""


class FansError(ValueError):
    """The shape does not determine the fans. `field` is the parameter to add or to correct."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Fans:
    """Numbers of connections of one output unit (`fan_in`) and of one input unit (`fan_out`)."""

    fan_in: int
    fan_out: int

    def squared(self, mode: Mode) -> Fraction:
        """Return the square of the fan that `mode` selects. It is rational even for the geometric mean."""
        match mode:
            case "fan_in":
                return Fraction(self.fan_in) ** 2
            case "fan_out":
                return Fraction(self.fan_out) ** 2
            case "fan_avg":
                return Fraction(self.fan_in + self.fan_out, 2) ** 2
            case "fan_geo_avg":
                return Fraction(self.fan_in * self.fan_out)


def fans(
    shape: Sequence[int],
    *,
    layout: KernelLayout,
    in_axes: Sequence[int] | None,
    out_axes: Sequence[int] | None,
    batch_axes: Sequence[int],
    groups: int,
    depthwise: bool,
    transposed: bool,
) -> Fans:
    """Return the fans of a kernel of this shape.

    `in_axes` and `out_axes` name the input and output axes. If they are not given, `layout` selects them among the axes
    that are not batch axes. All other axes except batch axes are the receptive field.

    Raises:
        FansError: the shape does not determine the fans, or the parameters contradict each other or the shape.
    """
    batch = _axes("batch_axes", batch_axes, len(shape))
    if (in_axes is None) != (out_axes is None):
        missing = "in_axes" if in_axes is None else "out_axes"
        raise FansError(missing, "in_axes and out_axes are given together or not at all")
    if in_axes is not None and out_axes is not None:
        inputs, outputs = _axes("in_axes", in_axes, len(shape)), _axes("out_axes", out_axes, len(shape))
    else:
        kept = [axis for axis in range(len(shape)) if axis not in batch]
        inputs, outputs = _axes_of_layout(kept, layout, transposed)
    if len({*inputs, *outputs, *batch}) != len(inputs) + len(outputs) + len(batch):
        raise FansError("in_axes", "an axis is named twice among in_axes, out_axes and batch_axes")

    rest = [axis for axis in range(len(shape)) if axis not in (*inputs, *outputs, *batch)]
    field = math.prod(shape[axis] for axis in rest)
    stored_in = math.prod(shape[axis] for axis in inputs)
    stored_out = math.prod(shape[axis] for axis in outputs)
    if depthwise:
        if layout == "torch" or groups != 1 or transposed or in_axes is not None:
            raise FansError(
                "depthwise",
                "depthwise is for a kernel (*k, in, multiplier) with layout keras and without groups, axes or"
                " transposed; any other depthwise kernel is a grouped one: give groups = input channels",
            )
        return Fans(field, stored_out * field)
    # A grouped kernel stores one group's channels of one side and all channels of the other. The direction of the
    # convolution decides which side is stored in full.
    whole, side = (stored_in, "input") if transposed else (stored_out, "output")
    if whole % groups:
        raise FansError("groups", f"{groups} groups do not divide {whole} {side} channels")
    if transposed:
        return Fans(stored_in // groups * field, stored_out * field)
    return Fans(stored_in * field, stored_out // groups * field)


def _axes(field: str, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    for axis in axes:
        if not -rank <= axis < rank:
            raise FansError(field, f"axis {axis} is not an axis of a shape of rank {rank}")
    return tuple(axis % rank for axis in axes)


def _axes_of_layout(
    axes: Sequence[int], layout: KernelLayout, transposed: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the input and output axes: torch (out, in, *k), keras (*k, in, out); swapped in a transposed kernel."""
    if len(axes) < 2:
        raise FansError(
            "in_axes",
            f"a kernel of rank {len(axes)} does not define fans: give in_axes and out_axes"
            " (an empty list counts as 1), or use a scheme without fans",
        )
    if len(axes) > MAX_KERNEL_RANK:
        raise FansError(
            "in_axes",
            f"a kernel of rank {len(axes)} has no agreed layout: give in_axes and out_axes, or batch_axes for stacked"
            " layers",
        )
    first, second = (axes[-2], axes[-1]) if layout == "keras" else (axes[1], axes[0])
    return ((second,), (first,)) if transposed else ((first,), (second,))
