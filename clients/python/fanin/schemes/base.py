"""Tensors of a recipe: what every one has, and what those have whose law follows from the fans of a kernel."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
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
from fanin.frozen import FrozenModel
from fanin.scalars import complex_truncated_std, root, truncated_std
from fanin.schemes.fans import Fans, FansError, KernelLayout, Mode, fans

MAX_RANK = 64
"""Axes of a tensor, as in NumPy."""
MAX_DIMENSION = 2**53 - 1
"""Largest size of an axis: the largest integer that every JSON reader keeps."""


def as_integer(value: Any) -> Any:
    """NumPy's integers as Python's; everything else as it is."""
    return operator.index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else value


def _few(value: Any) -> Any:
    """Return a list or tuple of at most `MAX_RANK` items; `None` is for the field to judge.

    It runs first: pydantic keeps an error of a kilobyte for each wrong item, and takes a set for a tuple.
    """
    if value is not None and not isinstance(value, list | tuple):
        raise PydanticCustomError("tuple_type", "must be an array of integers")
    if value is not None and len(value) > MAX_RANK:
        raise PydanticCustomError("rank", "{count} items; at most {limit}", {"count": len(value), "limit": MAX_RANK})
    return value


# Bounds come before validators: pydantic cannot say one behind a function in a JSON schema.
# Adding 0.0 turns -0.0, which would have a spelling of its own, into 0.0.
_POSITIVE_ZERO = AfterValidator(lambda value: value + 0.0)
Real = Annotated[float, Strict(), AllowInfNan(False), _POSITIVE_ZERO]
Positive = Annotated[float, Strict(), AllowInfNan(False), Field(gt=0), _POSITIVE_ZERO]
NonNegative = Annotated[float, Strict(), AllowInfNan(False), Field(ge=0), _POSITIVE_ZERO]
Proportion = Annotated[float, Strict(), AllowInfNan(False), Field(ge=0, le=1), _POSITIVE_ZERO]
Count = Annotated[int, Strict(), Field(ge=1, le=MAX_DIMENSION), BeforeValidator(as_integer)]
Dimension = Annotated[int, Strict(), Field(ge=0, le=MAX_DIMENSION), BeforeValidator(as_integer)]
Axis = Annotated[int, Strict(), Field(ge=-MAX_RANK, lt=MAX_RANK), BeforeValidator(as_integer)]
_FEW = BeforeValidator(_few)
Axes = Annotated[tuple[Axis, ...], Field(max_length=MAX_RANK), _FEW]
Flag = Annotated[bool, Strict()]
StorageName = Annotated[
    DTypeName,
    BeforeValidator(storage_name, json_schema_input_type=DTypeName | Annotated[str, Field(pattern=ALIAS_PATTERN)]),
]
"""The name of a storage type; an alias is taken too."""
Distribution = Literal["uniform", "normal", "untruncated_normal", "truncated_normal"]

_ONE = Fraction(1)
TRUNCATION = Fraction(2)
"""Variance scaling cuts its truncated normal at this many standard deviations, as every framework does."""


class Tensor(FrozenModel, ABC):
    """What every tensor of a recipe has, whatever its scheme."""

    model_config = ConfigDict(allow_inf_nan=False)

    formula: ClassVar[str]
    """The law of an element, for readers."""
    source: ClassVar[str]
    """Where the formula comes from."""
    size_field: ClassVar[str] = "scheme"
    """The field that sets how large the values are."""

    shape: Annotated[
        tuple[Dimension, ...], Field(max_length=MAX_RANK, description="Global shape; [] is a scalar."), _FEW
    ]
    dtype: Annotated[StorageName, Field(description="Storage type; a draw is the same at each, rounded once.")] = "F32"
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
        return self.lower(STORAGE[self.dtype])

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:  # noqa: ARG002 (pydantic's)
        """A validated copy: pydantic's own would keep the draw of the original."""
        return self.model_validate({**self.given(), **(update or {})})

    def given(self) -> dict[str, Any]:
        """The members that were given, as a recipe may have them."""
        return self.model_dump(exclude_unset=True)

    def canonical(self) -> dict[str, Any]:
        """Members in the canonical recipe: those that differ from their defaults; shape, dtype and scheme always."""
        document = self.model_dump(mode="json", exclude_defaults=True)
        return {**document, "shape": list(self.shape), "dtype": self.dtype, "scheme": self.scheme}

    @property
    def block_count(self) -> int:
        """Contribution to the number of parts of a `blocks` tensor, which is limited."""
        return 1

    @abstractmethod
    def lower(self, dtype: DType) -> Draw:
        """The draw at this storage type.

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

    def scaled(
        self,
        scale: Fraction,
        mode: Mode,
        distribution: Distribution,
        dtype: DType,
        gain: Fraction = _ONE,
        degree: int = 1,
    ) -> Draw:
        """Zero mean and variance scale / n, n the fan that `mode` selects; of a kernel without elements n may be 1.

        Values are multiplied by the root of `gain` of this degree.
        """
        # Fans are known by their squares and the gain by a power: one root of all keeps rational values exact.
        power = math.lcm(4, degree)
        variance = (scale**2 / (self.fans.squared(mode) or 1)) ** (power // 4)
        gained = gain ** (power // degree)
        match distribution:
            case "uniform":
                ratio = 2 if dtype.is_complex else 3  # of the square of the limit to the variance
                limit = root(ratio ** (power // 2) * variance * gained, power)
                return draws.uniform(-limit, limit, dtype)
            case "normal" | "untruncated_normal":
                return draws.normal(Fraction(0), root(variance * gained, power), dtype)
            case "truncated_normal":
                cut = complex_truncated_std(TRUNCATION) if dtype.is_complex else truncated_std(-TRUNCATION, TRUNCATION)
                std = root(variance * gained, power) / cut
                return draws.truncated_normal(Fraction(0), std, -TRUNCATION, TRUNCATION, dtype)
