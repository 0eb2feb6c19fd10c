"""Schemes of one value everywhere."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from fanin import draws
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.schemes.base import Tensor
from fanin.schemes.integers import Number


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
    """One value everywhere. At an integer type it is an exact integer, at BOOL also true or false."""

    formula = "value"
    source = "definition"

    scheme: Literal["constant"]
    value: Number

    def lower(self, dtype: DType) -> Draw:
        value = Fraction(self.value)
        return draws.whole("value", value, dtype) if dtype.is_integer else draws.fill(value, dtype)
