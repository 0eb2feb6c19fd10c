"""Schemes without chance: identities, and tables of formulas in exactly rounded numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.fans import MAX_KERNEL_RANK, KernelLayout
from fanin.scalars import log, power
from fanin.tensor import Count, Positive, Real, Tensor

_ZERO = draws.Fill(0.0)


class Eye(Tensor):
    """Identity matrices in the last two axes, which need not be equal."""

    formula = "gain [i = j]"
    source = "Le et al. 2015 (arXiv:1504.00941) for recurrent kernels"

    scheme: Literal["eye", "identity"]
    gain: Real = 1.0

    def lower(self, dtype: DType) -> Draw:
        if len(self.shape) < 2:
            raise DrawError("shape", f"a shape of rank {len(self.shape)} has no matrices")
        rows, columns = self.shape[-2:]
        one = draws.fill(Fraction(self.gain), dtype)
        return _points(rows * columns, columns + 1, min(rows, columns), one)


class Dirac(Tensor):
    """Convolutions that keep their input: channel d of a group's output is channel d of its input.

    The tap is at k // 2 of each spatial axis, as torch has it. Further output channels are zero.
    """

    formula = "gain [position is the centre k // 2, input channel is the output channel within its group]"
    source = "Zagoruyko & Komodakis 2017 (arXiv:1706.00388); torch.nn.init.dirac_"

    scheme: Literal["dirac"]
    layout: Annotated[KernelLayout, Field(description="keras: (*k, in, out); torch: (out, in, *k).")] = "keras"
    groups: Count = 1
    gain: Real = 1.0

    def lower(self, dtype: DType) -> Draw:
        if not 3 <= len(self.shape) <= MAX_KERNEL_RANK:
            raise DrawError("shape", f"a kernel of rank {len(self.shape)} is not one of a convolution, of rank 3 to 5")
        torch = self.layout == "torch"
        spatial = self.shape[2:] if torch else self.shape[:-2]
        outputs, inputs = self.shape[:2] if torch else (self.shape[-1], self.shape[-2])
        if outputs % self.groups:
            raise DrawError("groups", f"{self.groups} groups do not divide {outputs} output channels")
        per_group, field = outputs // self.groups, math.prod(spatial)
        one, channels = draws.fill(Fraction(self.gain), dtype), min(per_group, inputs)
        centre = 0
        for size in spatial:
            centre = centre * size + size // 2
        if torch:
            return _points(per_group * inputs * field, (inputs + 1) * field, channels, one, centre)
        # Row d of the matrix at the centre has a one in column d of each group.
        row = draws.blocks(outputs + 1, [(outputs, _points(per_group, per_group, 1, one)), (1, _ZERO)])
        last = (channels - 1) * (outputs + 1)
        matrix = inputs * outputs
        if not matrix * field:
            return _ZERO
        end = (self.groups - 1) * per_group
        centred = draws.blocks(
            matrix,
            [
                (last, row),
                (end, _points(per_group, per_group, 1, one)),
                (1, one),
                (matrix - last - end - 1, _ZERO),
            ],
        )
        return draws.blocks(
            matrix * field, [(centre * matrix, _ZERO), (matrix, centred), ((field - centre - 1) * matrix, _ZERO)]
        )


class LogRange(Tensor):
    """Logarithms of consecutive integers along the last axis: Mamba's A_log, of its states or of Mamba-2's heads."""

    formula = "ln(start + i), i the index of the last axis"
    source = "Gu & Dao 2023 (arXiv:2312.00752), section 3.6 (S4D-real)"

    scheme: Literal["log_range", "mamba_a_log"]
    start: Count = 1

    def lower(self, dtype: DType) -> Draw:
        return _along([log(Fraction(self.start + i)) for i in range(_size(self.shape))], dtype)


class RopeFrequencies(Tensor):
    """Inverse frequencies of rotary position embeddings; a head has twice as many dimensions as the last axis."""

    formula = "base^(-i / n), i the index of the last axis and n its size"
    source = "Su et al. 2021 (arXiv:2104.09864), section 3.3"

    scheme: Literal["rope_frequencies"]
    size_field = "base"
    base: Positive = 10000.0

    def lower(self, dtype: DType) -> Draw:
        count = _size(self.shape)
        return _along([power(Fraction(self.base), Fraction(-i, count)) for i in range(count)], dtype)


class AlibiSlopes(Tensor):
    """Slopes of attention with linear biases, one for each head in the only axis that is longer than 1.

    Of a number of heads that is no power of 2: the slopes of the power below, then every second of the power above.
    """

    formula = "2^(-max_bias (h + 1) / heads) of head h, where heads is a power of 2"
    source = "Press et al. 2022 (arXiv:2108.12409) and its code"

    scheme: Literal["alibi_slopes"]
    size_field = "max_bias"
    max_bias: Positive = 8.0

    def lower(self, dtype: DType) -> Draw:
        heads = _size([size for size in self.shape if size != 1] or [1])
        if math.prod(self.shape) != heads:
            raise DrawError("shape", "more than one axis is longer than 1")
        below = 1 << max(heads.bit_length() - 1, 0)
        slopes = [*self._slopes(below), *self._slopes(2 * below)[::2]]
        return _along(slopes[:heads], dtype)

    def _slopes(self, heads: int) -> list[Fraction]:
        return [power(Fraction(2), -Fraction(self.max_bias) * (h + 1) / heads) for h in range(heads)]


class Bilinear(Tensor):
    """Bilinear upsampling in the two spatial axes, in every pair of channels."""

    formula = "t(y, height) t(x, width); t(i, k) = 1 - |i - (k - 1) / 2| / ceil(k / 2)"
    source = "Long et al. 2015 (arXiv:1411.4038), section 3.3"

    scheme: Literal["bilinear"]
    layout: Annotated[KernelLayout, Field(description="keras: (*k, in, out); torch: (out, in, *k).")] = "keras"

    def lower(self, dtype: DType) -> Draw:
        if len(self.shape) != 4:
            raise DrawError("shape", f"a kernel of rank {len(self.shape)} is not one of a two-dimensional convolution")
        torch = self.layout == "torch"
        spatial = self.shape[2:] if torch else self.shape[:2]
        _check_table(math.prod(spatial))
        down, across = (_triangle(size) for size in spatial)
        run = 1 if torch else math.prod(self.shape[2:])
        return draws.table([y * x for y in down for x in across], run, dtype) if math.prod(self.shape) else _ZERO


def _triangle(size: int) -> list[Fraction]:
    return [1 - abs(i - Fraction(size - 1, 2)) / ((size + 1) // 2) for i in range(size)]


def _points(size: int, period: int, count: int, one: Draw, offset: int = 0) -> Draw:
    """Of `size` elements `count` are `one`, every `period`-th from `offset` on, and all others zero."""
    if not count or not size:
        return _ZERO
    # The last period may be cut short.
    last = (count - 1) * period
    every = draws.blocks(period, [(offset, _ZERO), (1, one), (period - offset - 1, _ZERO)])
    return draws.blocks(size, [(last, every), (offset, _ZERO), (1, one), (size - last - offset - 1, _ZERO)])


def _along(values: Sequence[Fraction], dtype: DType) -> Draw:
    return draws.table(values, 1, dtype) if values else _ZERO


def _size(shape: Sequence[int]) -> int:
    """Of the last axis, which a table is along.

    Raises:
        DrawError: there is none, or it is too long.
    """
    if not shape:
        raise DrawError("shape", "a scalar has no axis for a table")
    _check_table(shape[-1])
    return shape[-1]


def _check_table(count: int) -> None:
    if count > draws.MAX_TABLE:
        raise DrawError("shape", f"a table of {count} values is too long: the most is {draws.MAX_TABLE}")
