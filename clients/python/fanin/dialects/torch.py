"""The dialect of torch.nn.init."""

from __future__ import annotations

from typing import Literal

from fanin.dialects.library import DialectError, Initializer, Library, Members, Shape, matrix, ones, zeros
from fanin.schemes.base import Count, NonNegative, Positive, Proportion, Real
from fanin.schemes.fans import MAX_KERNEL_RANK

Nonlinearity = Literal[
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "selu",
]
TorchMode = Literal["fan_in", "fan_out"]


def _fans(shape: Shape) -> Members:
    """Return the fan members: axis 1 is the input and axis 0 the output, also in grouped and transposed kernels."""
    if len(shape) < 2:
        raise DialectError(["shape"], f"fans need a tensor of 2 dimensions or more, not {len(shape)}")
    return {"layout": "torch"} if len(shape) <= MAX_KERNEL_RANK else {"in_axes": [1], "out_axes": [0]}


def _one(value: float) -> Members:
    """Return a constant, for a distribution without width."""
    return {"scheme": "constant", "value": value}


def _uniform(_shape: Shape, *, a: Real = 0.0, b: Real = 1.0) -> Members:
    return {"scheme": "uniform", "low": a, "high": b} if a != b else _one(a)


def _normal(_shape: Shape, *, mean: Real = 0.0, std: NonNegative = 1.0) -> Members:
    return {"scheme": "normal", "mean": mean, "std": std} if std else _one(mean)


def _trunc_normal(_shape: Shape, *, mean: Real = 0.0, std: Positive = 1.0, a: Real = -2.0, b: Real = 2.0) -> Members:
    if a == b:
        return _one(a)
    return {"scheme": "truncated_normal", "mean": mean, "std": std, "low": a, "high": b, "bounds": "absolute"}


def _constant(_shape: Shape, *, val: Real) -> Members:
    return {"scheme": "constant", "value": val}


def _eye(shape: Shape) -> Members:
    return matrix(shape, {"scheme": "eye"})


def _dirac(_shape: Shape, *, groups: Count = 1) -> Members:
    return {"scheme": "dirac", "groups": groups, "layout": "torch"}


def _xavier_uniform(shape: Shape, *, gain: NonNegative = 1.0) -> Members:
    fans = _fans(shape)
    return {"scheme": "glorot_uniform", "gain": gain, **fans} if gain else _one(0.0)


def _xavier_normal(shape: Shape, *, gain: NonNegative = 1.0) -> Members:
    fans = _fans(shape)
    return {"scheme": "glorot_normal", "gain": gain, **fans} if gain else _one(0.0)


def _kaiming(shape: Shape, distribution: str, a: float, mode: str, nonlinearity: str) -> Members:
    common = {"mode": mode, **_fans(shape)}
    if nonlinearity in ("relu", "leaky_relu"):
        slope = a if nonlinearity == "leaky_relu" else 0.0
        return {"scheme": f"he_{distribution}", "negative_slope": abs(slope), **common}
    gain = {"tanh": 5 / 3, "selu": 3 / 4}.get(nonlinearity, 1.0)
    return {"scheme": "variance_scaling", "scale": gain**2, "distribution": distribution, **common}


def _kaiming_uniform(
    shape: Shape, *, a: Real = 0.0, mode: TorchMode = "fan_in", nonlinearity: Nonlinearity = "leaky_relu"
) -> Members:
    return _kaiming(shape, "uniform", a, mode, nonlinearity)


def _kaiming_normal(
    shape: Shape, *, a: Real = 0.0, mode: TorchMode = "fan_in", nonlinearity: Nonlinearity = "leaky_relu"
) -> Members:
    return _kaiming(shape, "normal", a, mode, nonlinearity)


def _orthogonal(shape: Shape, *, gain: Real = 1.0) -> Members:
    if len(shape) < 2:
        raise DialectError(["shape"], f"an orthogonal matrix needs 2 axes or more, not {len(shape)}")
    # -Q and Q have the same distribution.
    return {"scheme": "orthogonal", "gain": abs(gain), "layout": "torch"} if gain else _one(0.0)


def _sparse(shape: Shape, *, sparsity: Proportion, std: NonNegative = 0.01) -> Members:
    return matrix(shape, {"scheme": "sparse", "sparsity": sparsity, "std": std} if std else _one(0.0))


_INITIALIZERS: dict[str, Initializer] = {
    "uniform_": _uniform,
    "normal_": _normal,
    "trunc_normal_": _trunc_normal,
    "constant_": _constant,
    "ones_": ones,
    "zeros_": zeros,
    "eye_": _eye,
    "dirac_": _dirac,
    "xavier_uniform_": _xavier_uniform,
    "xavier_normal_": _xavier_normal,
    "kaiming_uniform_": _kaiming_uniform,
    "kaiming_normal_": _kaiming_normal,
    "orthogonal_": _orthogonal,
    "sparse_": _sparse,
}
_NEW = {"trunc_normal_", "ones_", "zeros_"}
"""Initializers without a deprecated alias: torch added them after it had added the underscore to the names."""

TORCH = Library(
    initializers=_INITIALIZERS,
    aliases={name.removesuffix("_"): name for name in _INITIALIZERS if name not in _NEW},
    parameters={"low": ("a",), "high": ("b",), "value": ("val",), "negative_slope": ("a",)},
)
