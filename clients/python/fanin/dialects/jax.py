"""The dialect of jax.nn.initializers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fanin.dialects.library import (
    DialectError,
    Initializer,
    Library,
    Members,
    Shape,
    gained,
    normal,
    ones,
    uniform,
    zeros,
)
from fanin.schemes.base import Axis, NonNegative, Real
from fanin.schemes.fans import MAX_KERNEL_RANK

AxisOrAxes = Annotated[Axis | tuple[Axis, ...], Field(union_mode="left_to_right")]
JaxMode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
JaxDistribution = Literal["truncated_normal", "normal", "uniform"]


def _constant(_shape: Shape, *, value: Real) -> Members:
    return {"scheme": "constant", "value": value}


def _uniform(_shape: Shape, *, scale: Real = 0.01) -> Members:
    """Return the members: JAX multiplies a number from [0, 1) by the scale."""
    return uniform(min(scale, 0.0), max(scale, 0.0))


def _normal(_shape: Shape, *, stddev: Real = 0.01) -> Members:
    """Return the members. JAX multiplies by the standard deviation, so its sign does not change the distribution."""
    return normal(0.0, abs(stddev))


def _truncated_normal(
    _shape: Shape, *, stddev: Real = 0.01, lower: Real | None = -2.0, upper: Real | None = 2.0
) -> Members:
    """Return the members. JAX multiplies by the standard deviation after truncation. `None` is an infinite bound."""
    if stddev < 0:
        lower, upper = (None if upper is None else -upper), (None if lower is None else -lower)
    return normal(0.0, abs(stddev), low=lower, high=upper)


def _variance_scaling(
    shape: Shape,
    *,
    scale: NonNegative,
    mode: JaxMode,
    distribution: JaxDistribution,
    in_axis: AxisOrAxes = -2,
    out_axis: AxisOrAxes = -1,
    batch_axis: AxisOrAxes = (),
) -> Members:
    if not scale:
        return {"scheme": "zeros"}
    scheme = {"scheme": "variance_scaling", "scale": scale, "mode": mode, "distribution": distribution}
    inputs, outputs, batch = _listed(in_axis), _listed(out_axis), _listed(batch_axis)
    if (inputs, outputs, batch) == ([-2], [-1], []) and 2 <= len(shape) <= MAX_KERNEL_RANK:
        return {**scheme, "layout": "keras"}
    return {**scheme, "in_axes": inputs, "out_axes": outputs, "batch_axes": batch}


def _listed(axes: int | tuple[int, ...]) -> list[int]:
    return [axes] if isinstance(axes, int) else list(axes)


def _scaled(scale: float, mode: JaxMode, distribution: JaxDistribution) -> Initializer:
    def initializer(
        shape: Shape, *, in_axis: AxisOrAxes = -2, out_axis: AxisOrAxes = -1, batch_axis: AxisOrAxes = ()
    ) -> Members:
        axes = {"in_axis": in_axis, "out_axis": out_axis, "batch_axis": batch_axis}
        return _variance_scaling(shape, scale=scale, mode=mode, distribution=distribution, **axes)

    return initializer


def _orthogonal(shape: Shape, *, scale: Real = 1.0, column_axis: Axis = -1) -> Members:
    if len(shape) < 2:
        raise DialectError(["shape"], f"an orthogonal matrix needs 2 axes or more, not {len(shape)}")
    return gained(scale, {"scheme": "orthogonal", "layout": _column_layout(shape, column_axis)})


def _column_layout(shape: Shape, column_axis: int) -> str:
    """Return the layout whose matrix has its columns along this axis. A transposed matrix has the same distribution."""
    rank = len(shape)
    if column_axis in (-1, rank - 1):
        return "keras"
    if column_axis in (-rank, 0):
        return "torch"
    raise DialectError(["column_axis"], f"axis {column_axis} is neither the first nor the last of {rank}")


def _delta_orthogonal(
    _shape: Shape,
    *,
    scale: Real = 1.0,
    column_axis: Literal[-2, -1, 0, 1] = -1,  # noqa: ARG001
) -> Members:
    """Return the members. The axis does not change the distribution: a transpose exchanges rows and columns."""
    return gained(scale, {"scheme": "delta_orthogonal", "layout": "keras"})


JAX = Library(
    initializers={
        "zeros": zeros,
        "ones": ones,
        "constant": _constant,
        "uniform": _uniform,
        "normal": _normal,
        "truncated_normal": _truncated_normal,
        "variance_scaling": _variance_scaling,
        "glorot_uniform": _scaled(1.0, "fan_avg", "uniform"),
        "glorot_normal": _scaled(1.0, "fan_avg", "truncated_normal"),
        "xavier_uniform": _scaled(1.0, "fan_avg", "uniform"),
        "xavier_normal": _scaled(1.0, "fan_avg", "truncated_normal"),
        "lecun_uniform": _scaled(1.0, "fan_in", "uniform"),
        "lecun_normal": _scaled(1.0, "fan_in", "truncated_normal"),
        "he_uniform": _scaled(2.0, "fan_in", "uniform"),
        "he_normal": _scaled(2.0, "fan_in", "truncated_normal"),
        "kaiming_uniform": _scaled(2.0, "fan_in", "uniform"),
        "kaiming_normal": _scaled(2.0, "fan_in", "truncated_normal"),
        "orthogonal": _orthogonal,
        "delta_orthogonal": _delta_orthogonal,
    },
    aliases={},
    parameters={
        "low": ("lower",),
        "high": ("upper", "scale"),
        "std": ("stddev",),
        "gain": ("scale",),
        "in_axes": ("in_axis",),
        "out_axes": ("out_axis",),
        "batch_axes": ("batch_axis",),
    },
)
