"""Schemes: the named initializers. Each is a formula that lowers a tensor's parameters to a draw.

A scheme is one model: its fields are what a recipe may say, `lower` is the formula. Nothing below this module knows
a scheme's name.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Strict,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DTYPES, DType, DTypeName
from fanin.fans import Fans, FansError, KernelLayout, Mode, fans
from fanin.scalars import Bound, fourth_root, truncated_std

MAX_RANK = 64
"""Axes of a tensor, as in NumPy."""
MAX_DIMENSION = 2**53 - 1
"""Largest size of an axis: the largest integer that every JSON reader keeps."""


def as_integer(value: Any) -> Any:
    """NumPy's integers as Python's; everything else as it is."""
    return operator.index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else value


# Adding 0.0 turns -0.0, which would have a spelling of its own, into 0.0.
_POSITIVE_ZERO = AfterValidator(lambda value: value + 0.0)
Real = Annotated[float, Strict(), AllowInfNan(False), _POSITIVE_ZERO]
Positive = Annotated[float, Strict(), AllowInfNan(False), Field(gt=0), _POSITIVE_ZERO]
NonNegative = Annotated[float, Strict(), AllowInfNan(False), Field(ge=0), _POSITIVE_ZERO]
Dimension = Annotated[int, BeforeValidator(as_integer), Strict(), Field(ge=0, le=MAX_DIMENSION)]
Axis = Annotated[int, BeforeValidator(as_integer), Strict(), Field(ge=-MAX_RANK, lt=MAX_RANK)]
Axes = Annotated[tuple[Axis, ...], Field(max_length=MAX_RANK)]
Flag = Annotated[bool, Strict()]
Distribution = Literal["uniform", "normal", "untruncated_normal", "truncated_normal"]

TRUNCATION = Fraction(2)
"""Variance scaling cuts its truncated normal at this many standard deviations, as every framework does."""


class Tensor(BaseModel, ABC):
    """What every tensor of a recipe has, whatever its scheme."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    formula: ClassVar[str]
    """The law of an element, for readers."""
    source: ClassVar[str]
    """Where the formula comes from."""
    size_field: ClassVar[str] = "scheme"
    """The field that sets how large the values are."""

    shape: Annotated[tuple[Dimension, ...], Field(max_length=MAX_RANK, description="Global shape; [] is a scalar.")]
    dtype: Annotated[DTypeName, Field(description="Storage type; a draw is the same at each, rounded once.")] = "F32"
    scheme: str

    @field_validator("scheme", mode="after", check_fields=False)
    @classmethod
    def _canonical_name(cls, _: str) -> str:
        return cls.names()[0]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The scheme's name, then its aliases."""
        return get_args(cls.model_fields["scheme"].annotation)

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        try:
            _ = self.draw
        except (DrawError, FansError) as error:
            # A draw speaks of low, high and std: a scheme without these says which of its parameters made them so.
            field = error.field if error.field in type(self).model_fields else self.size_field
            raise PydanticCustomError("formula", "{reason}", {"reason": str(error), "field": field}) from error
        return self

    @cached_property
    def draw(self) -> Draw:
        """The draw this tensor lowers to."""
        return self.lower(DTYPES[self.dtype])

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # noqa: ARG002
        """A validated copy: pydantic's own would keep the draw of the original."""
        return self.model_validate({**self.given(), **(update or {})})

    def given(self) -> dict[str, Any]:
        """The members that were given, as a recipe may have them."""
        return self.model_dump(exclude_unset=True)

    @abstractmethod
    def lower(self, dtype: DType) -> Draw:
        """The draw at this storage type.

        Raises:
            DrawError, FansError: the parameters, the shape or the type do not allow it.
        """


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


class Scaled(Tensor):
    """A zero-mean scheme whose variance follows from the fans of the kernel."""

    layout: Annotated[KernelLayout, Field(description="keras: (*k, in, out); torch: (out, in, *k).")] = "keras"
    in_axes: Annotated[Axes | None, Field(description="Input axes, instead of a layout; [] counts as 1.")] = None
    out_axes: Annotated[Axes | None, Field(description="Output axes, instead of a layout; [] counts as 1.")] = None
    batch_axes: Annotated[Axes, Field(description="Axes of stacked kernels, left out of the fans.")] = ()
    groups: Annotated[int, BeforeValidator(as_integer), Strict(), Field(ge=1, le=MAX_DIMENSION)] = 1
    depthwise: Annotated[Flag, Field(description="A keras depthwise kernel (*k, in, multiplier).")] = False
    transposed: Annotated[
        Flag, Field(description="Transposed convolution: torch (in, out, *k), keras (*k, out, in).")
    ] = False

    @property
    def fans(self) -> Fans:
        """Fans of this kernel.

        Raises:
            FansError: the shape does not determine them.
        """
        if self.in_axes is not None and "layout" in self.model_fields_set:
            raise FansError("layout", "layout and in_axes exclude each other")
        return fans(
            self.shape,
            layout=self.layout,
            in_axes=self.in_axes,
            out_axes=self.out_axes,
            batch_axes=self.batch_axes,
            groups=self.groups,
            depthwise=self.depthwise,
            transposed=self.transposed,
        )

    def scaled(self, scale: Fraction, mode: Mode, distribution: Distribution, dtype: DType) -> Draw:
        """Zero mean and variance scale / n, n the fan that `mode` selects; of a kernel without elements n may be 1."""
        square_of_variance = scale**2 / (self.fans.squared(mode) or 1)
        match distribution:
            case "uniform":
                limit = fourth_root(9 * square_of_variance)
                return draws.uniform(-limit, limit, dtype)
            case "normal" | "untruncated_normal":
                return draws.normal(Fraction(0), fourth_root(square_of_variance), dtype)
            case "truncated_normal":
                std = fourth_root(square_of_variance) / truncated_std(-TRUNCATION, TRUNCATION)
                return draws.truncated_normal(Fraction(0), std, -TRUNCATION, TRUNCATION, dtype)


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


def _he_scale(negative_slope: float) -> Fraction:
    return 2 / (1 + Fraction(negative_slope) ** 2)


def _normal(truncated: bool) -> Distribution:
    return "truncated_normal" if truncated else "normal"


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
    | LecunNormal,
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
