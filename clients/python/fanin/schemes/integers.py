"""Exact integers as parameters, beyond the 53 bits of a real, and the scheme of evenly spaced ones."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    Strict,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import INTEGERS, DType
from fanin.schemes.base import Real, Tensor, as_integer

_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,19}", re.ASCII)
_DecimalText = Annotated[str, Field(pattern=f"^({_DECIMAL.pattern})$")]


def _whole(value: Any, allowed: str = "") -> int:
    """Return the integer that an integer, a decimal string, or a real without a fraction stands for."""
    value = int(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else as_integer(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        if abs(value) <= draws.EXACT:
            return int(value)
        raise PydanticCustomError("integer", "beyond 2^53 - 1 an integer is written without fraction and exponent")
    raise PydanticCustomError("integer", f"must be an integer{allowed}, as a number or a decimal string")


def _of_type(value: Any, as_real: ValidatorFunctionWrapHandler, info: ValidationInfo) -> float:
    """Return a real, or an exact integer if the tensor has an integer type."""
    dtype = info.data.get("dtype")
    if dtype not in INTEGERS:
        real: float = as_real(value)
        return real
    of_type = INTEGERS[dtype]
    if dtype == "BOOL" and (isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool"):
        return int(value)
    return _whole(value, f" from {of_type.least} to {of_type.largest} ({dtype})")


def _as_json(value: float) -> float | str:
    """Return an integer that JSON readers may round as a decimal string, and any other number unchanged."""
    return str(value) if isinstance(value, int) and abs(value) > draws.EXACT else value


_EXACT_JSON = PlainSerializer(_as_json, return_type=Any, when_used="json")
Number = Annotated[Real, WrapValidator(_of_type), _EXACT_JSON]
"""A real; at an integer type an exact integer, which may be a decimal string, and at BOOL a boolean too.

Its JSON schema is that of a number: old clients of `/v1/schemes` know no other.
"""
Integer = Annotated[
    int, Strict(), BeforeValidator(lambda value: _whole(value), json_schema_input_type=int | _DecimalText), _EXACT_JSON
]
"""An exact integer, as a number or a decimal string."""


class Arange(Tensor):
    """Evenly spaced integers along the last axis, such as position ids.

    They are exact at integer types. Other types round each once, and take integers up to 2^53 - 1 in magnitude.
    """

    formula = "start + step i, i the index of the last axis"
    source = "definition; numpy.arange"

    scheme: Literal["arange"]
    start: Integer = 0
    step: Integer = 1

    def lower(self, dtype: DType) -> Draw:
        if not self.shape:
            raise DrawError("shape", "a scalar has no axis for a range")
        size = self.shape[-1]
        return draws.arange(self.start, self.step, size, dtype) if size else draws.Fill(0.0)
