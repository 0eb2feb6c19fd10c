"""Schemes without random numbers: tables of exactly rounded values of formulas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.scalars import log, pi, power, power_less_one
from fanin.schemes.base import Count, Flag, Positive, Real, Tensor
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
        return _along([log(Fraction(self.start + i)) for i in range(_size(self.shape))], dtype)


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
        last = max(_size(self.shape) - 1, 1)
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
        return _along(values[: self.shape[-1]], dtype)


class RopeFrequencies(Tensor):
    """Inverse frequencies of rotary position embeddings; a head has twice as many dimensions as the last axis.

    `scaling` divides frequencies by `factor` if they turn fewer than `slow` times in a `context`, and leaves those that
    turn more than `fast` times. Between them it interpolates linearly: in turns (`llama3`, where `fast` is 4) or in
    dimensions (`yarn`, where it is 32). `linear` divides all.

    `yarn` follows YaRN's code. The formula of the paper, section 3.2, is `llama3` with `fast` 32. `truncate` rounds the
    ends of the ramp of `yarn` to integer dimensions; gpt-oss does not.
    """

    formula = "base^(-i / n) ((1 - s) / factor + s), i the index of the last axis and n its size, s = 1 if not scaled"
    source = (
        "Su et al. 2021 (arXiv:2104.09864), section 3.3; transformers' modeling_rope_utils.py, whose ramp of yarn"
        " is not that of Peng et al. 2023 (arXiv:2309.00071)"
    )

    scheme: Literal["rope_frequencies"]
    size_field = "base"
    base: Positive = 10000.0
    scaling: Literal["linear", "llama3", "yarn"] | None = None
    factor: Positive = 1.0
    context: Annotated[Count, Field(description="Positions of the first training.")] = 8192
    slow: Positive = 1.0
    fast: Positive | None = None
    truncate: Annotated[Flag, Field(description="For yarn: the ramp begins and ends at integer dimensions.")] = True

    def lower(self, dtype: DType) -> Draw:
        count = _size(self.shape)
        frequencies = [power(Fraction(self.base), Fraction(-i, count)) for i in range(count)]
        kept = self._kept(frequencies)
        factor = Fraction(self.factor)
        return _along([f * ((1 - part) / factor + part) for f, part in zip(frequencies, kept, strict=True)], dtype)

    def _kept(self, frequencies: Sequence[Fraction]) -> Iterable[Fraction]:
        """Return the share of each frequency that is not scaled, in [0, 1]."""
        if not self.truncate and self.scaling != "yarn":
            raise DrawError("truncate", "truncate false is only allowed with scaling yarn")
        if self.scaling in (None, "linear"):
            return [Fraction(self.scaling is None)] * len(frequencies)
        slow, fast = Fraction(self.slow), Fraction(self.fast or (4 if self.scaling == "llama3" else 32))
        if slow >= fast:
            raise DrawError("slow", "slow must be less than fast")
        if self.scaling == "llama3":
            parts = [(self.context * f / (2 * pi()) - slow) / (fast - slow) for f in frequencies]
        else:
            if self.base <= 1:
                raise DrawError(
                    "base",
                    f"{self.base} is out of range: with scaling yarn, base must exceed 1",
                )
            first, last = (self._dimension(turns, len(frequencies)) for turns in (fast, slow))
            if self.truncate:
                first, last = Fraction(math.floor(first)), Fraction(math.ceil(last))
            first, last = max(first, Fraction(0)), min(last, Fraction(2 * len(frequencies) - 1))
            width = last - first or Fraction(1, 1000)
            parts = [1 - (i - first) / width for i in range(len(frequencies))]
        return (min(max(part, Fraction(0)), Fraction(1)) for part in parts)

    def _dimension(self, turns: Fraction, count: int) -> Fraction:
        """Return the dimension whose frequency has this number of turns in the context."""
        return count * log(self.context / (turns * 2 * pi())) / log(Fraction(self.base))


class AlibiSlopes(Tensor):
    """Slopes of attention with linear biases, one for each head in the only axis that is longer than 1.

    If the number of heads is not a power of 2: the slopes of the power below, then every second one of the power above.
    `variant` changes nothing: MPT's code computes the same slopes in another way. It stays for public vectors.
    """

    formula = "2^(-max_bias (h + 1) / heads) of head h, where heads is a power of 2"
    source = "Press et al. 2022 (arXiv:2108.12409) and its code; transformers' modeling_mpt.py"

    scheme: Literal["alibi_slopes"]
    size_field = "max_bias"
    max_bias: Positive = 8.0
    variant: Literal["press", "mpt"] = "press"

    def lower(self, dtype: DType) -> Draw:
        heads = _size([size for size in self.shape if size != 1] or [1])
        if math.prod(self.shape) != heads:
            raise DrawError("shape", "more than one axis is longer than 1")
        below = 1 << max(heads.bit_length() - 1, 0)
        others = range(0, 2 * (heads - below), 2)
        return _along([*self._slopes(range(below), below), *self._slopes(others, 2 * below)][:heads], dtype)

    def _slopes(self, numbers: Iterable[int], heads: int) -> list[Fraction]:
        """Return the slopes of the heads with these numbers, where `heads` is a power of 2."""
        return [power(Fraction(2), -Fraction(self.max_bias) * (h + 1) / heads) for h in numbers]


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
        _check_table(math.prod(spatial))
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


def _along(values: Sequence[Fraction], dtype: DType) -> Draw:
    return draws.table(values, 1, dtype) if values else _ZERO


def _size(shape: Sequence[int]) -> int:
    """Return the size of the last axis, which a table follows.

    Raises:
        DrawError: the shape has no axis, or the axis is too long.
    """
    if not shape:
        raise DrawError("shape", "a scalar has no axis for a table")
    _check_table(shape[-1])
    return shape[-1]


def _check_table(count: int) -> None:
    if count > draws.MAX_TABLE:
        raise DrawError("shape", f"a table of {count} values is too long: the maximum is {draws.MAX_TABLE}")
