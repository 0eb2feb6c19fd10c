"""The dialect of keras.initializers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Strict

from fanin.dialects.library import (
    DialectError,
    Initializer,
    Library,
    Members,
    Shape,
    gained,
    matrix,
    normal,
    ones,
    uniform,
    zeros,
)
from fanin.schemes.base import Axes, Flag, NonNegative, Positive, Real
from fanin.schemes.fans import MAX_KERNEL_RANK

KerasMode = Literal["fan_in", "fan_out", "fan_avg"]
KerasDistribution = Literal["truncated_normal", "normal", "untruncated_normal", "uniform"]


def _constant(_shape: Shape, *, value: Real = 0.0) -> Members:
    return {"scheme": "constant", "value": value}


def _identity(shape: Shape, *, gain: Real = 1.0) -> Members:
    return matrix(shape, {"scheme": "eye", "gain": gain})


def _random_normal(_shape: Shape, *, mean: Real = 0.0, stddev: NonNegative = 0.05) -> Members:
    return normal(mean, stddev)


def _random_uniform(_shape: Shape, *, minval: Real = -0.05, maxval: Real = 0.05) -> Members:
    return uniform(minval, maxval)


def _truncated_normal(_shape: Shape, *, mean: Real = 0.0, stddev: NonNegative = 0.05) -> Members:
    return normal(mean, stddev, low=-2.0, high=2.0)


def _variance_scaling(
    shape: Shape,
    *,
    scale: Positive = 1.0,
    mode: KerasMode = "fan_in",
    distribution: KerasDistribution = "truncated_normal",
    input_axes: Axes | None = None,
    output_axes: Axes | None = None,
) -> Members:
    return {
        "scheme": "variance_scaling",
        "scale": scale,
        "mode": mode,
        "distribution": "truncated_normal" if distribution == "normal" else distribution,
        **_fans(shape, input_axes, output_axes),
    }


def _scaled(scale: float, mode: KerasMode, distribution: KerasDistribution) -> Initializer:
    def initializer(shape: Shape, *, input_axes: Axes | None = None, output_axes: Axes | None = None) -> Members:
        axes = {"input_axes": input_axes, "output_axes": output_axes}
        return _variance_scaling(shape, scale=scale, mode=mode, distribution=distribution, **axes)

    return initializer


def _fans(shape: Shape, inputs: Axes | None, outputs: Axes | None) -> Members:
    """Return the fan members, as `compute_fans` of Keras counts. A vector without axes has its size as both fans."""
    rank = len(shape)
    if inputs is not None and outputs is not None:
        named = {axis % rank for axis in (*inputs, *outputs) if rank}
        others = [axis for axis in range(rank) if axis not in named]
        return {"in_axes": list(inputs), "out_axes": list(outputs), "batch_axes": others}
    if inputs is not None or outputs is not None:
        missing = "input_axes" if inputs is None else "output_axes"
        raise DialectError([missing], "give both input_axes and output_axes, or neither")
    if rank < 2:
        return {"mode": "fan_in", "in_axes": list(range(rank)), "out_axes": []}
    return {"layout": "keras"} if rank <= MAX_KERNEL_RANK else {"in_axes": [-2], "out_axes": [-1]}


def _orthogonal(shape: Shape, *, gain: Real = 1.0) -> Members:
    if len(shape) < 2:
        raise DialectError(["shape"], f"an orthogonal matrix needs 2 axes or more, not {len(shape)}")
    return gained(gain, {"scheme": "orthogonal", "layout": "keras"})


def _stft(
    _shape: Shape,
    *,
    side: Literal["real", "imag"] = "real",
    window: Annotated[str, Strict()] | None = "hann",
    scaling: Literal["density", "spectrum"] | None = "density",
    periodic: Flag = False,
) -> Members:
    return {"scheme": "stft", "side": side, "window": window, "scaling": scaling, "periodic": periodic}


_INITIALIZERS: dict[str, Initializer] = {
    "Zeros": zeros,
    "Ones": ones,
    "Constant": _constant,
    "Identity": _identity,
    "RandomNormal": _random_normal,
    "RandomUniform": _random_uniform,
    "TruncatedNormal": _truncated_normal,
    "VarianceScaling": _variance_scaling,
    "GlorotUniform": _scaled(1.0, "fan_avg", "uniform"),
    "GlorotNormal": _scaled(1.0, "fan_avg", "truncated_normal"),
    "LecunUniform": _scaled(1.0, "fan_in", "uniform"),
    "LecunNormal": _scaled(1.0, "fan_in", "truncated_normal"),
    "HeUniform": _scaled(2.0, "fan_in", "uniform"),
    "HeNormal": _scaled(2.0, "fan_in", "truncated_normal"),
    "Orthogonal": _orthogonal,
    "STFT": _stft,
}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


KERAS = Library(
    initializers=_INITIALIZERS,
    aliases={
        **{_snake(name): name for name in _INITIALIZERS if name != "STFT"},
        "stft": "STFT",
        "STFTInitializer": "STFT",
        "one": "Ones",
        "zero": "Zeros",
        "normal": "RandomNormal",
        "uniform": "RandomUniform",
        "IdentityInitializer": "Identity",
        "OrthogonalInitializer": "Orthogonal",
    },
    parameters={
        "low": ("minval",),
        "high": ("maxval",),
        "std": ("stddev",),
        "in_axes": ("input_axes",),
        "out_axes": ("output_axes",),
    },
)
