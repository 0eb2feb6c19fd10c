"""Schemes without random numbers: tables of exactly rounded values of formulas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.scalars import log, power, power_less_one
from fanin.schemes.base import Count, Positive, Real, Tensor
from fanin.schemes.fans import KernelLayout

_ZERO = draws.Fill(0.0)
_ABOUT_HALF = 0.49, 0.51
"""A power in double precision below or above these is certainly below or above 1/2: its base is at most 4094/4095."""


class LogRange(Tensor):
    """Logarithms of consecutive integers along the last axis: Mamba's A_log, of its states or of Mamba-2's heads."""

    formula = "ln(start + i), i the index of the last axis"
    source = "Gu & Dao 2023 (arXiv:2312.00752), section 3.6 (S4D-real)"

    scheme: Literal["log_range", "mamba_a_log"]
    start: Count = 1

    def lower(self, dtype: DType) -> Draw:
        return along([log(Fraction(self.start + i)) for i in range(last_size(self.shape))], dtype)


class PowerRange(Tensor):
    """Values from `low` to `high` along the last axis, by a power of how far along.

    RWKV's time_decay in layer l of L: from -5 to 3 by the power 0.7 + 1.3 l / (L - 1). With the power 1 they are
    evenly spaced.
    """

    formula = "low + (high - low) (i / (n - 1))^power, i the index of the last axis and n its size"
    source = "Peng et al. 2023 (arXiv:2305.13048), appendix E, and transformers' modeling_rwkv.py"

    scheme: Literal["power_range", "rwkv_decay"]
    size_field = "high"
    low: Real = -5.0
    high: Real = 3.0
    power: Positive = 1.0

    def lower(self, dtype: DType) -> Draw:
        low, high = Fraction(self.low), Fraction(self.high)
        last = max(last_size(self.shape) - 1, 1)
        exponent = Fraction(self.power)

        def value(i: int) -> Fraction:
            # Near the end of the axis, with `high` near 0, the sum would cancel. The difference from 1 does not. A
            # double decides, unless it is near 1/2: each power to 120 digits takes a quarter of a millisecond.
            estimate = (i / last) ** self.power
            if exponent.denominator == 1 or estimate < _ABOUT_HALF[1]:
                part = power(Fraction(i, last), exponent)
                if exponent.denominator == 1 or estimate < _ABOUT_HALF[0] or part < Fraction(1, 2):
                    return low + (high - low) * part
            return high + (high - low) * power_less_one(Fraction(i, last), exponent)

        values = [low, *(value(i) for i in range(1, last)), high]
        return along(values[: self.shape[-1]], dtype)


class Bilinear(Tensor):
    """Bilinear upsampling in the two spatial axes: in every pair of channels, or in those of equal number alone.

    FCN has `channels` `same`. In a depthwise kernel, which has one input channel, `all` is right.
    """

    formula = "t(y, height) t(x, width); t(i, k) = 1 - |i - (k - 1) / 2| / ceil(k / 2)"
    source = "Long et al. 2015 (arXiv:1411.4038), section 3.3"

    scheme: Literal["bilinear"]
    layout: Annotated[KernelLayout, Field(description="keras: (*k, in, out); torch: (out, in, *k).")] = "keras"
    channels: Annotated[
        Literal["all", "same"], Field(description="same: zeros where input and output channel differ.")
    ] = "all"

    @property
    def block_count(self) -> int:
        # With channels "same" each value lowers to separate draws.
        return math.prod(self._spatial()) or 1 if self.channels == "same" else 1

    def _spatial(self) -> tuple[int, ...]:
        return self.shape[2:] if self.layout == "torch" else self.shape[:2]

    def lower(self, dtype: DType) -> Draw:
        if len(self.shape) != 4:
            raise DrawError("shape", f"a kernel of rank {len(self.shape)} is not one of a two-dimensional convolution")
        torch = self.layout == "torch"
        spatial = self._spatial()
        check_table(math.prod(spatial))
        down, across = (_triangle(size) for size in spatial)
        values = [y * x for y in down for x in across]
        if not math.prod(self.shape):
            return _ZERO
        if self.channels == "all":
            return draws.table(values, 1 if torch else math.prod(self.shape[2:]), dtype)
        if torch:
            return _diagonal(*self.shape[:2], len(values), draws.table(values, 1, dtype))
        pairs = math.prod(self.shape[2:])
        matrices = [_diagonal(*self.shape[2:], 1, draws.fill(value, dtype)) for value in values]
        return draws.blocks(len(values) * pairs, [(pairs, matrix) for matrix in matrices])


def _diagonal(rows: int, columns: int, size: int, draw: Draw) -> Draw:
    """Return a matrix of blocks of `size` elements: `draw` where row and column are equal, else zeros."""
    step = (columns + 1) * size
    before = (min(rows, columns) - 1) * step
    row = draws.blocks(step, [(size, draw), (step - size, _ZERO)])
    total = rows * columns * size
    return draws.blocks(total, [(before, row), (size, draw), (total - before - size, _ZERO)])


def _triangle(size: int) -> list[Fraction]:
    return [1 - abs(i - Fraction(size - 1, 2)) / ((size + 1) // 2) for i in range(size)]


def along(values: Sequence[Fraction], dtype: DType) -> Draw:
    """Return the table of these values along the last axis."""
    return draws.table(values, 1, dtype) if values else _ZERO


def last_size(shape: Sequence[int]) -> int:
    """Return the size of the last axis, which a table follows.

    Raises:
        DrawError: the shape has no axis, or the axis is too long.
    """
    if not shape:
        raise DrawError("shape", "a scalar has no axis for a table")
    check_table(shape[-1])
    return shape[-1]


def check_table(count: int) -> None:
    """Check that a table may have this number of values.

    Raises:
        DrawError: they are too many.
    """
    if count > draws.MAX_TABLE:
        raise DrawError("shape", f"a table of {count} values is too long: the maximum is {draws.MAX_TABLE}")
