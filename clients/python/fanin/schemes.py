"""Schemes: the named initializers. Each is a formula that lowers a tensor's parameters to a draw.

A scheme is one model: its fields are what a recipe may say, `lower` is the formula. Nothing below this module knows
a scheme's name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Discriminator, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from fanin import draws
from fanin.depth import DeepNorm, Fixup, ScaledNormal, SmallInit, SubLN, WangInit
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType, DTypeName
from fanin.fans import KernelLayout, Mode
from fanin.scalars import Bound, root, truncated_std
from fanin.structured import AlibiSlopes, Bilinear, Dirac, Eye, LogRange, RopeFrequencies
from fanin.tensor import Axis, Count, Dimension, Distribution, Flag, NonNegative, Positive, Real, Scaled, Tensor

MAX_PARTS = 256
"""Most blocks of a tensor, those within blocks among them."""


class Zeros(Tensor):
    """Zeros: also the default of batch norm's beta and moving mean."""

    formula = "0"
    source = "Ioffe & Szegedy 2015 for batch norm"

    scheme: Literal["zeros", "batch_norm_beta", "batch_norm_moving_mean"]

    def lower(self, dtype: DType) -> Draw:
        return draws.fill(Fraction(0), dtype)


class Ones(Tensor):
    """Ones: also the default of batch norm's gamma and moving variance."""

    formula = "1"
    source = "Ioffe & Szegedy 2015 for batch norm"

    scheme: Literal["ones", "batch_norm_gamma", "batch_norm_moving_variance"]

    def lower(self, dtype: DType) -> Draw:
        return draws.fill(Fraction(1), dtype)


class Constant(Tensor):
    """One value everywhere."""

    formula = "value"
    source = "definition"

    scheme: Literal["constant"]
    value: Real

    def lower(self, dtype: DType) -> Draw:
        return draws.fill(Fraction(self.value), dtype)


class Uniform(Tensor):
    """Uniform on [low, high]."""

    formula = "U[low, high]"
    source = "definition"

    scheme: Literal["uniform"]
    low: Real
    high: Real

    def lower(self, dtype: DType) -> Draw:
        return draws.uniform(Fraction(self.low), Fraction(self.high), dtype)


class Normal(Tensor):
    """Normal law, not truncated."""

    formula = "N(mean, std^2)"
    source = "definition"

    scheme: Literal["normal"]
    mean: Real = 0.0
    std: Positive

    def lower(self, dtype: DType) -> Draw:
        return draws.normal(Fraction(self.mean), Fraction(self.std), dtype)


class TruncatedNormal(Tensor):
    """Normal law restricted to an interval.

    The bounds count standard deviations from the mean (Keras, JAX); `bounds: absolute` takes them as values of the
    tensor (torch). `low: null` or `high: null` leaves that side open. `std` is that of the law before it is
    restricted; with `corrected` it is that of the result.
    """

    formula = (
        "N(mean, s^2) restricted to [mean + low s, mean + high s]; s = std, or std / std(TN(low, high)) if corrected"
    )
    source = "Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1, section 13.10"

    scheme: Literal["truncated_normal"]
    mean: Real = 0.0
    std: Positive
    low: Real | None = -2.0
    high: Real | None = 2.0
    bounds: Literal["std", "absolute"] = "std"
    corrected: Flag = False

    def lower(self, dtype: DType) -> Draw:
        mean, std = Fraction(self.mean), Fraction(self.std)
        low, high = self._bound(self.low), self._bound(self.high)
        if self.corrected:
            if self.bounds == "absolute":
                raise DrawError("corrected", "corrected needs bounds in standard deviations: give bounds std")
            draws.check_interval(low, high)
            std /= truncated_std(low, high)
        return draws.truncated_normal(mean, std, low, high, dtype)

    def _bound(self, value: float | None) -> Bound:
        """In standard deviations from the mean; exact, so that an absolute bound comes back as it was."""
        if value is None:
            return None
        return Fraction(value) if self.bounds == "std" else (Fraction(value) - Fraction(self.mean)) / Fraction(self.std)


class VarianceScaling(Scaled):
    """Zero mean, variance scale / n, n = fan_in, fan_out, their arithmetic or their geometric mean.

    `normal` and `untruncated_normal` are one distribution. `truncated_normal` is cut at two standard deviations and
    widened so that its variance after the cut is scale / n.
    """

    formula = "U(+-sqrt(3 v)), N(0, v), or N(0, s^2) cut at 2 s with s = sqrt(v) / 0.8796...; v = scale / n"
    source = "He et al. 2015 (arXiv:1502.01852); Keras and JAX VarianceScaling"

    scheme: Literal["variance_scaling"]
    size_field = "scale"
    scale: Positive = 1.0
    mode: Mode = "fan_in"
    distribution: Distribution = "truncated_normal"

    @field_validator("distribution", mode="after")
    @classmethod
    def _one_spelling(cls, name: Distribution) -> Distribution:
        return "normal" if name == "untruncated_normal" else name

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(self.scale), self.mode, self.distribution, dtype)


class GlorotUniform(Scaled):
    """Glorot (Xavier) uniform; `gain` multiplies the bound."""

    formula = "U(+-gain sqrt(6 / (fan_in + fan_out)))"
    source = "Glorot & Bengio 2010, equation 16"

    scheme: Literal["glorot_uniform", "xavier_uniform"]
    size_field = "gain"
    gain: Positive = 1.0

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(self.gain) ** 2, "fan_avg", "uniform", dtype)


class GlorotNormal(Scaled):
    """Glorot (Xavier) normal; `gain` multiplies the standard deviation.

    Not truncated, as in torch; `truncated` gives the law of Keras and JAX.
    """

    formula = "N(0, gain^2 2 / (fan_in + fan_out))"
    source = "Glorot & Bengio 2010, equation 12"

    scheme: Literal["glorot_normal", "xavier_normal"]
    size_field = "gain"
    gain: Positive = 1.0
    truncated: Flag = False

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(self.gain) ** 2, "fan_avg", _normal(self.truncated), dtype)


class HeUniform(Scaled):
    """He (Kaiming) uniform for ReLU, or for leaky ReLU of the given negative slope."""

    formula = "U(+-sqrt(6 / ((1 + negative_slope^2) n)))"
    source = "He et al. 2015 (arXiv:1502.01852), equations 10, 14 and 15"

    scheme: Literal["he_uniform", "kaiming_uniform"]
    mode: Mode = "fan_in"
    negative_slope: NonNegative = 0.0

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(_he_scale(self.negative_slope), self.mode, "uniform", dtype)


class HeNormal(Scaled):
    """He (Kaiming) normal for ReLU, or for leaky ReLU of the given negative slope.

    Not truncated, as in the paper and torch; `truncated` gives the law of Keras and JAX.
    """

    formula = "N(0, 2 / ((1 + negative_slope^2) n))"
    source = "He et al. 2015 (arXiv:1502.01852), equations 10, 14 and 15"

    scheme: Literal["he_normal", "kaiming_normal"]
    mode: Mode = "fan_in"
    negative_slope: NonNegative = 0.0
    truncated: Flag = False

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(_he_scale(self.negative_slope), self.mode, _normal(self.truncated), dtype)


class LecunUniform(Scaled):
    """LeCun uniform."""

    formula = "U(+-sqrt(3 / fan_in))"
    source = "LeCun et al. 1998, Efficient BackProp, equation 16"

    scheme: Literal["lecun_uniform"]

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(1), "fan_in", "uniform", dtype)


class LecunNormal(Scaled):
    """LeCun normal. Not truncated; `truncated` gives the law of Keras and JAX."""

    formula = "N(0, 1 / fan_in)"
    source = "LeCun et al. 1998, Efficient BackProp, equation 16"

    scheme: Literal["lecun_normal"]
    truncated: Flag = False

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(1), "fan_in", _normal(self.truncated), dtype)


class FanUniform(Tensor):
    """Uniform within the inverse root of a given fan: of a bias, which has none of its own.

    torch's default for the weight and bias of linear and convolutional layers (fan = fan_in of the weight) and for
    every tensor of its recurrent ones (fan = hidden_size).
    """

    formula = "U(+-gain / sqrt(fan))"
    source = "LeCun et al. 1998, Efficient BackProp; torch.nn.Linear.reset_parameters"

    scheme: Literal["fan_uniform"]
    size_field = "fan"
    fan: Count
    gain: Positive = 1.0

    def lower(self, dtype: DType) -> Draw:
        limit = root(Fraction(self.gain) ** 2 / self.fan, 2)
        return draws.uniform(-limit, limit, dtype)


class Siren(Scaled):
    """Layers with sine activations, sin(omega x); the first layer of the network has a law of its own."""

    formula = "U(+-sqrt(6 / fan_in) / omega); first layer: U(+-1 / fan_in)"
    source = "Sitzmann et al. 2020 (arXiv:2006.09661), section 3.2 and supplement 1.5"

    scheme: Literal["siren"]
    size_field = "omega"
    omega: Positive = 30.0
    first: Flag = False

    def lower(self, dtype: DType) -> Draw:
        scale = Fraction(1, 3 * (self.fans.fan_in or 1)) if self.first else 2 / Fraction(self.omega) ** 2
        return self.scaled(scale, "fan_in", "uniform", dtype)


class Orthogonal(Tensor):
    """Haar-distributed orthonormal rows, or columns where these are fewer, times `gain`.

    The matrix is torch's (shape[0], rest) or Keras' and JAX's (rest, shape[-1]), by the layout.
    """

    formula = "gain Q, Q uniform among the matrices with Q^T Q = I or Q Q^T = I"
    source = "Saxe et al. 2013 (arXiv:1312.6120); Stewart 1980, doi:10.1137/0717034"

    scheme: Literal["orthogonal"]
    size_field = "gain"
    gain: Positive = 1.0
    layout: Annotated[KernelLayout, Field(description="keras: (rest, shape[-1]); torch: (shape[0], rest).")] = "keras"

    def lower(self, dtype: DType) -> Draw:
        if len(self.shape) < 2:
            raise DrawError("shape", f"orthogonal needs at least 2 axes, not {len(self.shape)}")
        axis = 1 if self.layout == "torch" else -1
        rows, columns = math.prod(self.shape[:axis]), math.prod(self.shape[axis:])
        return draws.orthogonal(Fraction(self.gain), rows, columns, dtype)


def _he_scale(negative_slope: float) -> Fraction:
    return 2 / (1 + Fraction(negative_slope) ** 2)


def _normal(truncated: bool) -> Distribution:
    return "truncated_normal" if truncated else "normal"


class Blocks(Tensor):
    """Blocks along an axis, each with a scheme of its own: gates of a bias, padding rows, packed projections.

    Each of `parts` is a tensor with `size`, its length along the axis, in place of `shape` and `dtype`: its shape is
    that of the block, and fans are counted there. Elements keep the random words of the whole tensor.
    """

    formula = "the formula of each part, of its block's shape"
    source = "Jozefowicz et al. 2015 for a bias of gates; torch.nn.Embedding for padding_idx"

    scheme: Literal["blocks"]
    axis: Axis = 0
    parts: Annotated[
        tuple[dict[str, Any], ...],
        Field(max_length=MAX_PARTS, description="Tensors with `size` in place of shape and dtype."),
    ]

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        canonical = [{"size": size, **tensor.canonical()} for size, tensor in self.tensors]
        own = ("shape", "dtype")
        self.__dict__["parts"] = tuple(
            {field: value for field, value in part.items() if field not in own} for part in canonical
        )
        return self

    @cached_property
    def tensors(self) -> list[tuple[int, Tensor]]:
        """Size and tensor of each part.

        Raises:
            DrawError: the axis is not there, or the sizes do not add up to its.
            PydanticCustomError: a part is wrong; with the path of the fault.
        """
        if not -len(self.shape) <= self.axis < len(self.shape):
            raise DrawError("axis", f"axis {self.axis} is not an axis of a shape of rank {len(self.shape)}")
        axis = self.axis % len(self.shape)
        found = [_part(n, part, self.shape, axis, self.dtype) for n, part in enumerate(self.parts)]
        if (total := sum(size for size, _ in found)) != self.shape[axis]:
            raise DrawError("parts", f"the sizes add up to {total}, and axis {self.axis} has {self.shape[axis]}")
        return found

    def lower(self, dtype: DType) -> Draw:  # noqa: ARG002 (the parts have it)
        parts = self.tensors
        inner = math.prod(self.shape[self.axis % len(self.shape) + 1 :])
        if sum(_laws(tensor.draw) for _, tensor in parts) > MAX_PARTS:
            raise DrawError("parts", f"there are more than {MAX_PARTS} blocks in all")
        return draws.blocks(
            sum(size for size, _ in parts) * inner, [(size * inner, tensor.draw) for size, tensor in parts]
        )


def _part(n: int, part: Mapping[str, Any], shape: tuple[int, ...], axis: int, dtype: DTypeName) -> tuple[int, Tensor]:
    """Size and tensor of part `n`."""
    for field in ("shape", "dtype"):
        if field in part:
            raise _fault("a part has a size; the rest of its shape and its dtype are the tensor's", [n, field])
    if "size" not in part:
        raise _fault(_REASONS["missing"], [n, "size"])
    own = {field: value for field, value in part.items() if field != "size"}
    try:
        size = _SIZE.validate_python(part["size"])
    except ValidationError as error:
        raise _fault(error.errors()[0]["msg"], [n, "size"]) from None
    try:
        sizes = (*shape[:axis], size, *shape[axis + 1 :])
        return size, _tensors().validate_python({"shape": sizes, "dtype": dtype, **own})
    except ValidationError as error:
        details = error.errors()[0]
        context = details.get("ctx", {})
        # The union puts the scheme's name in front; a scheme that is not there leaves nothing.
        path = [*details["loc"][1:], *context.get("path", []), *([context["field"]] if "field" in context else [])]
        raise _fault(_REASONS.get(details["type"], details["msg"]), [n, *(path or ["scheme"])]) from None


_REASONS = {
    "union_tag_invalid": "unknown scheme; `fanin schemes` lists all",
    "union_tag_not_found": "a tensor needs a scheme; `fanin schemes` lists all",
    "extra_forbidden": "unknown field",
    "missing": "this field is required",
}
_SIZE = TypeAdapter[int](Dimension)


@lru_cache(maxsize=1)
def _tensors() -> TypeAdapter[Tensor]:
    return TypeAdapter(AnyTensor)


def _fault(reason: str, path: list[str | int]) -> PydanticCustomError:
    return PydanticCustomError("formula", "{reason}", {"reason": reason, "path": ["parts", *path]})


def _laws(draw: Draw) -> int:
    return sum(map(_laws, draw.draws)) if isinstance(draw, draws.Blocks) else 1


AnyTensor = Annotated[
    Zeros
    | Ones
    | Constant
    | Uniform
    | Normal
    | TruncatedNormal
    | VarianceScaling
    | GlorotUniform
    | GlorotNormal
    | HeUniform
    | HeNormal
    | LecunUniform
    | LecunNormal
    | FanUniform
    | Siren
    | ScaledNormal
    | SmallInit
    | WangInit
    | DeepNorm
    | SubLN
    | Fixup
    | Eye
    | Dirac
    | LogRange
    | RopeFrequencies
    | AlibiSlopes
    | Bilinear
    | Blocks
    | Orthogonal,
    Discriminator("scheme"),
]

SCHEMES: dict[str, type[Tensor]] = {cls.names()[0]: cls for cls in get_args(get_args(AnyTensor)[0])}
"""Every scheme by its name."""
ALIASES: dict[str, str] = {alias: cls.names()[0] for cls in SCHEMES.values() for alias in cls.names()[1:]}
"""Other names of schemes."""


def catalogue() -> list[dict[str, Any]]:
    """Every scheme: name, aliases, description, formula, source and the JSON schema of its parameters."""
    common = set(Tensor.model_fields)
    entries = []
    for name, cls in SCHEMES.items():
        properties = cls.model_json_schema()["properties"]
        entries.append(
            {
                "scheme": name,
                "aliases": list(cls.names()[1:]),
                "description": cls.__doc__,
                "formula": cls.formula,
                "source": cls.source,
                "parameters": {field: schema for field, schema in properties.items() if field not in common},
            }
        )
    return entries
