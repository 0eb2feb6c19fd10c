"""Base classes of the schemes: members of every tensor, and those of tensors whose variance depends on fans."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import ALIAS_PATTERN, STORAGE, DType, DTypeName, storage_name
from fanin.float_mode import FLUSHED, is_flushed
from fanin.frozen import FrozenModel, computed_once
from fanin.scalars import complex_truncated_std, root, truncated_std
from fanin.schemes.fans import Fans, FansError, KernelLayout, Mode, fans

MAX_RANK = 64
"""Maximum number of axes of a tensor, as in NumPy."""
MAX_DIMENSION = 2**53 - 1
"""Largest size of an axis: the largest integer that every JSON reader returns exactly."""


def as_integer(value: Any) -> Any:
    """Return an integer of NumPy, torch or JAX as one of Python, and any other value unchanged."""
    if type(value) is int or isinstance(value, bool) or not hasattr(value, "__index__") or "bool" in _dtype(value):
        return value
    try:
        return operator.index(value)
    except TypeError:  # an array that is not one integer
        return value


def _not_cast(value: Any) -> Any:
    """Return the value, unless its conversion to a float would take a boolean for 1, or lose an imaginary part."""
    if type(value) not in (float, int) and ("bool" in _dtype(value) or "complex" in _dtype(value)):
        raise PydanticCustomError("float_type", "Input should be a valid number")
    return value


def _dtype(value: Any) -> str:
    """Return the name of the type of an array or a scalar of NumPy, torch or JAX; nothing for other values."""
    return str(getattr(value, "dtype", ""))


def few(limit: int, items: str) -> BeforeValidator:
    """Return a validator of a list or tuple of at most `limit` items. The field itself accepts or rejects `None`.

    It runs first: pydantic stores a kilobyte of error for each wrong item, and accepts a set as a tuple.
    """

    def check(value: Any) -> Any:
        if value is not None and not isinstance(value, list | tuple):
            raise PydanticCustomError("tuple_type", "must be an array of {items}", {"items": items})
        if value is not None and len(value) > limit:
            raise PydanticCustomError("rank", "{count} items; at most {limit}", {"count": len(value), "limit": limit})
        return value

    return BeforeValidator(check)


def _positive_zero(value: float) -> float:
    """Return 0.0 for -0.0, since equal recipes have one canonical text; return any other number unchanged.

    Raises:
        PydanticCustomError: this thread takes a number that is not zero for zero.
    """
    if value != 0:
        return value
    if is_flushed(value):
        raise PydanticCustomError("flushed", FLUSHED)
    return 0.0


# Bounds precede validators: pydantic cannot express a bound after a function in a JSON schema.
_POSITIVE_ZERO = AfterValidator(_positive_zero)
NOT_CAST = BeforeValidator(_not_cast)
Real = Annotated[float, Strict(), AllowInfNan(False), _POSITIVE_ZERO, NOT_CAST]
Positive = Annotated[float, Strict(), AllowInfNan(False), Field(gt=0), _POSITIVE_ZERO, NOT_CAST]
NonNegative = Annotated[float, Strict(), AllowInfNan(False), Field(ge=0), _POSITIVE_ZERO, NOT_CAST]
Proportion = Annotated[float, Strict(), AllowInfNan(False), Field(ge=0, le=1), _POSITIVE_ZERO, NOT_CAST]
Count = Annotated[int, Strict(), Field(ge=1, le=MAX_DIMENSION), BeforeValidator(as_integer)]
Dimension = Annotated[int, Strict(), Field(ge=0, le=MAX_DIMENSION), BeforeValidator(as_integer)]
Axis = Annotated[int, Strict(), Field(ge=-MAX_RANK, lt=MAX_RANK), BeforeValidator(as_integer)]
_FEW = few(MAX_RANK, "integers")
Axes = Annotated[tuple[Axis, ...], Field(max_length=MAX_RANK), _FEW]
MAX_FACTORS = 512
"""Maximum number of numbers that a recipe lists for a table: the frequencies of a head of 1024 dimensions."""
Factors = Annotated[tuple[Positive, ...], Field(max_length=MAX_FACTORS), few(MAX_FACTORS, "numbers")]
Flag = Annotated[bool, Strict()]
StorageName = Annotated[
    DTypeName,
    BeforeValidator(storage_name, json_schema_input_type=DTypeName | Annotated[str, Field(pattern=ALIAS_PATTERN)]),
]
"""The name of a storage type. An alias is accepted too."""
Distribution = Literal["uniform", "normal", "untruncated_normal", "truncated_normal"]

_ONE = Fraction(1)
TRUNCATION = Fraction(2)
"""Bound of variance scaling's truncated normal, in standard deviations. Every framework has the same."""


class Tensor(FrozenModel, ABC):
    """The members of a tensor that do not depend on its scheme."""

    model_config = ConfigDict(allow_inf_nan=False)

    formula: ClassVar[str]
    """The distribution of an element, for readers."""
    source: ClassVar[str]
    """Publication or code that the formula is from."""
    size_field: ClassVar[str] = "scheme"
    """The field that sets how large the values are."""

    shape: Annotated[
        tuple[Dimension, ...], Field(max_length=MAX_RANK, description="Global shape; [] is a scalar."), _FEW
    ]
    dtype: Annotated[
        StorageName, Field(description="Storage type. The draw does not depend on it and is rounded once.")
    ] = "F32"
    scheme: str

    @field_validator("scheme", mode="after", check_fields=False)
    @classmethod
    def _canonical_name(cls, _: str) -> str:
        return cls.names()[0]

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the scheme's name, then its aliases."""
        return get_args(cls.model_fields["scheme"].annotation)

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        try:
            _ = self.draw
        except (DrawError, FansError) as error:
            # The draw's error names low, high or std. A scheme without these fields names its own field instead.
            field = error.field if error.field in type(self).model_fields else self.size_field
            raise PydanticCustomError("formula", "{reason}", {"reason": str(error), "field": field}) from error
        return self

    @computed_once
    def draw(self) -> Draw:
        """The draw that this tensor lowers to."""
        dtype = STORAGE[self.dtype]
        draw = self.lower(dtype)
        if dtype.is_scale and 0 not in self.shape:
            draws.check_positive(draw)
        return draw

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # noqa: ARG002 (pydantic's)
        """Return a validated copy. The copy of pydantic would keep the draw of the original."""
        return self.model_validate({**self.given(), **(update or {})})

    def given(self) -> dict[str, Any]:
        """Return the members that were given, as JSON values of a recipe."""
        return self.model_dump(exclude_unset=True)

    def canonical(self) -> dict[str, Any]:
        """Return the canonical members: shape, dtype, scheme, and those that differ from their defaults."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        return {**document, "shape": list(self.shape), "dtype": self.dtype, "scheme": self.scheme}

    @property
    def block_count(self) -> int:
        """The number of parts that this tensor adds to a `blocks` tensor, whose parts are limited."""
        return 1

    @abstractmethod
    def lower(self, dtype: DType) -> Draw:
        """Return the draw at this storage type.

        Raises:
            DrawError, FansError: the parameters, the shape or the type do not allow it.
        """


class Scaled(Tensor):
    """A zero-mean scheme whose variance follows from the fans of the kernel."""

    layout: Annotated[KernelLayout, Field(description="keras: (*k, in, out); torch: (out, in, *k).")] = "keras"
    in_axes: Annotated[Axes | None, Field(description="Input axes, instead of a layout; [] counts as 1.")] = None
    out_axes: Annotated[Axes | None, Field(description="Output axes, instead of a layout; [] counts as 1.")] = None
    batch_axes: Annotated[Axes, Field(description="Axes of stacked kernels, left out of the fans.")] = ()
    groups: Count = 1
    depthwise: Annotated[Flag, Field(description="A keras depthwise kernel (*k, in, multiplier).")] = False
    transposed: Annotated[
        Flag, Field(description="Transposed convolution: torch (in, out, *k), keras (*k, out, in).")
    ] = False

    @property
    def fans(self) -> Fans:
        """Return the fans of this kernel.

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

    def scaled(
        self,
        scale: Fraction,
        mode: Mode,
        distribution: Distribution,
        dtype: DType,
        gain: Fraction = _ONE,
        degree: int = 1,
    ) -> Draw:
        """Return a draw of mean 0 and variance scale / n, where n is the fan that `mode` selects.

        Values are multiplied by the root of `gain` of this degree. For a kernel without elements n may be 1.
        """
        # The square of the fan and a power of the gain are exact. A single root of the product keeps rational values
        # exact.
        power = math.lcm(4, degree)
        variance = (scale**2 / (self.fans.squared(mode) or 1)) ** (power // 4)
        gained = gain ** (power // degree)
        match distribution:
            case "uniform":
                ratio = 2 if dtype.is_complex else 3  # limit^2 / variance
                limit = root(ratio ** (power // 2) * variance * gained, power)
                return draws.uniform(-limit, limit, dtype)
            case "normal" | "untruncated_normal":
                return draws.normal(Fraction(0), root(variance * gained, power), dtype)
            case "truncated_normal":
                cut = complex_truncated_std(TRUNCATION) if dtype.is_complex else truncated_std(-TRUNCATION, TRUNCATION)
                std = root(variance * gained, power) / cut
                return draws.truncated_normal(Fraction(0), std, -TRUNCATION, TRUNCATION, dtype)
