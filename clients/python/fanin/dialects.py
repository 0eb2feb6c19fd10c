"""Dialects: the initializers of torch, Keras and JAX by their own names and parameters, as schemes.

Each function here has the name, the parameters and the defaults of one initializer, and gives the tensor members that
mean the same: fans as that library counts them, bounds and truncation as it has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, validate_call

from fanin.fans import MAX_KERNEL_RANK
from fanin.tensor import Axis, Count, Positive, Real, as_integer

Dialect = Literal["fanin", "torch", "keras", "jax"]
Shape = tuple[int, ...]
Members = dict[str, Any]
Initializer = Callable[..., Members]


class DialectError(ValueError):
    """A tensor that its dialect does not allow. `path` is the field to blame, within the tensor."""

    def __init__(self, path: Sequence[str | int], message: str) -> None:
        self.path = path
        super().__init__(message)


# ---- torch.nn.init ------------------------------------------------------------------------------------------------

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


def _torch_fans(shape: Shape) -> Members:
    """Axis 1 is the input and axis 0 the output, of grouped and of transposed kernels too."""
    if len(shape) < 2:
        raise DialectError(["shape"], f"torch has no fans of a tensor of {len(shape)} dimensions")
    return {"layout": "torch"} if len(shape) <= MAX_KERNEL_RANK else {"in_axes": [1], "out_axes": [0]}


def _torch_uniform(_shape: Shape, *, a: Real = 0.0, b: Real = 1.0) -> Members:
    return {"scheme": "uniform", "low": a, "high": b}


def _torch_normal(_shape: Shape, *, mean: Real = 0.0, std: Positive = 1.0) -> Members:
    return {"scheme": "normal", "mean": mean, "std": std}


def _torch_trunc_normal(
    _shape: Shape, *, mean: Real = 0.0, std: Positive = 1.0, a: Real = -2.0, b: Real = 2.0
) -> Members:
    return {"scheme": "truncated_normal", "mean": mean, "std": std, "low": a, "high": b, "bounds": "absolute"}


def _torch_constant(_shape: Shape, *, val: Real) -> Members:
    return {"scheme": "constant", "value": val}


def _torch_xavier_uniform(shape: Shape, *, gain: Positive = 1.0) -> Members:
    return {"scheme": "glorot_uniform", "gain": gain, **_torch_fans(shape)}


def _torch_xavier_normal(shape: Shape, *, gain: Positive = 1.0) -> Members:
    return {"scheme": "glorot_normal", "gain": gain, **_torch_fans(shape)}


def _torch_kaiming(shape: Shape, distribution: str, a: float, mode: str, nonlinearity: str) -> Members:
    common = {"mode": mode, **_torch_fans(shape)}
    if nonlinearity in ("relu", "leaky_relu"):
        slope = a if nonlinearity == "leaky_relu" else 0.0
        return {"scheme": f"he_{distribution}", "negative_slope": abs(slope), **common}
    gain = {"tanh": 5 / 3, "selu": 3 / 4}.get(nonlinearity, 1.0)
    return {"scheme": "variance_scaling", "scale": gain**2, "distribution": distribution, **common}


def _torch_kaiming_uniform(
    shape: Shape, *, a: Real = 0.0, mode: TorchMode = "fan_in", nonlinearity: Nonlinearity = "leaky_relu"
) -> Members:
    return _torch_kaiming(shape, "uniform", a, mode, nonlinearity)


def _torch_kaiming_normal(
    shape: Shape, *, a: Real = 0.0, mode: TorchMode = "fan_in", nonlinearity: Nonlinearity = "leaky_relu"
) -> Members:
    return _torch_kaiming(shape, "normal", a, mode, nonlinearity)


def _torch_eye(shape: Shape) -> Members:
    return _matrix(shape, {"scheme": "eye"})


def _torch_dirac(_shape: Shape, *, groups: Count = 1) -> Members:
    return {"scheme": "dirac", "groups": groups, "layout": "torch"}


# ---- keras.initializers -------------------------------------------------------------------------------------------

KerasMode = Literal["fan_in", "fan_out", "fan_avg"]
KerasDistribution = Literal["truncated_normal", "normal", "untruncated_normal", "uniform"]
KerasAxes = Annotated[Axis | tuple[Axis, ...] | None, Field(union_mode="left_to_right")]


def _keras_scaling(shape: Shape, scale: float, mode: str, distribution: str) -> Members:
    """Fans of `compute_fans`: of one dimension both are its size, of none both are 1."""
    scheme = {"scheme": "variance_scaling", "scale": scale, "mode": mode, "distribution": distribution}
    match len(shape):
        case 0:
            return {**scheme, "in_axes": [], "out_axes": []}
        case 1:
            return {**scheme, "mode": "fan_in", "in_axes": [0], "out_axes": []}
        case rank if rank <= MAX_KERNEL_RANK:
            return {**scheme, "layout": "keras"}
    return {**scheme, "in_axes": [-2], "out_axes": [-1]}


def _keras_variance_scaling(
    shape: Shape,
    *,
    scale: Positive = 1.0,
    mode: KerasMode = "fan_in",
    distribution: KerasDistribution = "truncated_normal",
    input_axes: KerasAxes = None,
    output_axes: KerasAxes = None,
) -> Members:
    distribution = "truncated_normal" if distribution == "normal" else distribution
    if input_axes is None and output_axes is None:
        return _keras_scaling(shape, scale, mode, distribution)
    if input_axes is None or output_axes is None:
        missing = "input_axes" if input_axes is None else "output_axes"
        raise DialectError([missing], "input_axes and output_axes are given together or not at all")
    scheme = {"scheme": "variance_scaling", "scale": scale, "mode": mode, "distribution": distribution}
    return {**scheme, "in_axes": _listed(input_axes), "out_axes": _listed(output_axes)}


def _keras_scaled(scale: float, mode: str, distribution: str) -> Initializer:
    def initializer(shape: Shape) -> Members:
        return _keras_scaling(shape, scale, mode, distribution)

    return initializer


def _keras_random_normal(_shape: Shape, *, mean: Real = 0.0, stddev: Positive = 0.05) -> Members:
    return {"scheme": "normal", "mean": mean, "std": stddev}


def _keras_random_uniform(_shape: Shape, *, minval: Real = -0.05, maxval: Real = 0.05) -> Members:
    return {"scheme": "uniform", "low": minval, "high": maxval}


def _keras_truncated_normal(_shape: Shape, *, mean: Real = 0.0, stddev: Positive = 0.05) -> Members:
    return {"scheme": "truncated_normal", "mean": mean, "std": stddev}


def _keras_constant(_shape: Shape, *, value: Real = 0.0) -> Members:
    return {"scheme": "constant", "value": value}


def _keras_identity(shape: Shape, *, gain: Real = 1.0) -> Members:
    return _matrix(shape, {"scheme": "eye", "gain": gain})


# ---- jax.nn.initializers ------------------------------------------------------------------------------------------

JaxMode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
JaxDistribution = Literal["truncated_normal", "normal", "uniform"]
JaxAxes = Annotated[Axis | tuple[Axis, ...], Field(union_mode="left_to_right")]


def _jax_variance_scaling(
    shape: Shape,
    *,
    scale: Positive,
    mode: JaxMode,
    distribution: JaxDistribution,
    in_axis: JaxAxes = -2,
    out_axis: JaxAxes = -1,
    batch_axis: JaxAxes = (),
) -> Members:
    scheme = {"scheme": "variance_scaling", "scale": scale, "mode": mode, "distribution": distribution}
    inputs, outputs, batch = _listed(in_axis), _listed(out_axis), _listed(batch_axis)
    if (inputs, outputs, batch) == ([-2], [-1], []) and 2 <= len(shape) <= MAX_KERNEL_RANK:
        return {**scheme, "layout": "keras"}
    return {**scheme, "in_axes": inputs, "out_axes": outputs, "batch_axes": batch}


def _jax_scaled(scale: float, mode: JaxMode, distribution: JaxDistribution) -> Initializer:
    def initializer(
        shape: Shape, *, in_axis: JaxAxes = -2, out_axis: JaxAxes = -1, batch_axis: JaxAxes = ()
    ) -> Members:
        axes = {"in_axis": in_axis, "out_axis": out_axis, "batch_axis": batch_axis}
        return _jax_variance_scaling(shape, scale=scale, mode=mode, distribution=distribution, **axes)

    return initializer


def _jax_uniform(_shape: Shape, *, scale: Positive = 0.01) -> Members:
    return {"scheme": "uniform", "low": 0.0, "high": scale}


def _jax_normal(_shape: Shape, *, stddev: Positive = 0.01) -> Members:
    return {"scheme": "normal", "std": stddev}


def _jax_truncated_normal(_shape: Shape, *, stddev: Positive = 0.01, lower: Real = -2.0, upper: Real = 2.0) -> Members:
    return {"scheme": "truncated_normal", "std": stddev, "low": lower, "high": upper}


def _jax_constant(_shape: Shape, *, value: Real) -> Members:
    return {"scheme": "constant", "value": value}


# ---- all ----------------------------------------------------------------------------------------------------------


def _zeros(_shape: Shape) -> Members:
    return {"scheme": "zeros"}


def _ones(_shape: Shape) -> Members:
    return {"scheme": "ones"}


def _matrix(shape: Shape, members: Members) -> Members:
    if len(shape) != 2:
        raise DialectError(["shape"], f"a tensor of {len(shape)} dimensions is no matrix")
    return members


def _listed(axes: int | Sequence[int]) -> list[int]:
    return [axes] if isinstance(axes, int) else list(axes)


_KERAS: dict[str, Initializer] = {
    "Zeros": _zeros,
    "Ones": _ones,
    "Constant": _keras_constant,
    "Identity": _keras_identity,
    "RandomNormal": _keras_random_normal,
    "RandomUniform": _keras_random_uniform,
    "TruncatedNormal": _keras_truncated_normal,
    "VarianceScaling": _keras_variance_scaling,
    "GlorotUniform": _keras_scaled(1.0, "fan_avg", "uniform"),
    "GlorotNormal": _keras_scaled(1.0, "fan_avg", "truncated_normal"),
    "LecunUniform": _keras_scaled(1.0, "fan_in", "uniform"),
    "LecunNormal": _keras_scaled(1.0, "fan_in", "truncated_normal"),
    "HeUniform": _keras_scaled(2.0, "fan_in", "uniform"),
    "HeNormal": _keras_scaled(2.0, "fan_in", "truncated_normal"),
}
_GLOROT: dict[str, Initializer] = {
    "uniform": _jax_scaled(1.0, "fan_avg", "uniform"),
    "normal": _jax_scaled(1.0, "fan_avg", "truncated_normal"),
}
_HE: dict[str, Initializer] = {
    "uniform": _jax_scaled(2.0, "fan_in", "uniform"),
    "normal": _jax_scaled(2.0, "fan_in", "truncated_normal"),
}

DIALECTS: dict[str, dict[str, Initializer]] = {
    "torch": {
        "uniform_": _torch_uniform,
        "normal_": _torch_normal,
        "trunc_normal_": _torch_trunc_normal,
        "constant_": _torch_constant,
        "ones_": _ones,
        "zeros_": _zeros,
        "eye_": _torch_eye,
        "dirac_": _torch_dirac,
        "xavier_uniform_": _torch_xavier_uniform,
        "xavier_normal_": _torch_xavier_normal,
        "kaiming_uniform_": _torch_kaiming_uniform,
        "kaiming_normal_": _torch_kaiming_normal,
    },
    "keras": _KERAS,
    "jax": {
        "zeros": _zeros,
        "ones": _ones,
        "constant": _jax_constant,
        "uniform": _jax_uniform,
        "normal": _jax_normal,
        "truncated_normal": _jax_truncated_normal,
        "variance_scaling": _jax_variance_scaling,
        **{f"{name}_{law}": initializer for name in ("glorot", "xavier") for law, initializer in _GLOROT.items()},
        "lecun_uniform": _jax_scaled(1.0, "fan_in", "uniform"),
        "lecun_normal": _jax_scaled(1.0, "fan_in", "truncated_normal"),
        **{f"{name}_{law}": initializer for name in ("he", "kaiming") for law, initializer in _HE.items()},
    },
}
"""The initializers of each library, by the names it gives them."""


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


KERAS_ALIASES = {_snake(name): name for name in _KERAS} | {"uniform": "RandomUniform", "normal": "RandomNormal"}
"""Keras' own other names of its classes."""


def translate(tensor: Mapping[str, Any], dialect: str) -> Members:
    """The tensor as it is without a dialect.

    Raises:
        DialectError: the library has no such initializer, or the initializer no such parameters.
    """
    own = {"shape", "dtype", "scheme", "dialect"}
    name = tensor.get("scheme")
    if dialect == "keras" and isinstance(name, str):
        name = KERAS_ALIASES.get(name, name)
    initializer = DIALECTS[dialect].get(name) if isinstance(name, str) else None
    if initializer is None:
        known = ", ".join(DIALECTS[dialect])
        raise DialectError(["scheme"], f"{dialect} has no such initializer here: it has {known}; or give dialect fanin")
    parameters = {field: value for field, value in tensor.items() if field not in own}
    kept = {field: tensor[field] for field in ("shape", "dtype") if field in tensor}
    shape = tensor.get("shape")
    sizes = [as_integer(size) for size in shape] if isinstance(shape, list | tuple) else [None]
    if not all(isinstance(size, int) for size in sizes):
        return {**kept, "scheme": "zeros"}  # the shape is wrong, and will be told
    try:
        return {**kept, **_called(initializer)(tuple(sizes), **parameters)}
    except ValidationError as error:
        details = error.errors()[0]
        unknown = details["type"] == "unexpected_keyword_argument"
        missing = details["type"] == "missing_keyword_only_argument"
        message = "unknown field" if unknown else "this field is required" if missing else details["msg"]
        raise DialectError([str(details["loc"][0])], message) from None


@lru_cache
def _called(initializer: Initializer) -> Initializer:
    """The initializer, of parameters that are checked."""
    return validate_call(initializer)
