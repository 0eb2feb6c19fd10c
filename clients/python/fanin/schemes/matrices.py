"""Schemes of matrices, and of kernels that hold one: identities, orthogonal matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.scalars import root
from fanin.schemes.base import Axes, Count, Positive, Real, Tensor
from fanin.schemes.fans import MAX_KERNEL_RANK, KernelLayout

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
        torch = self.layout == "torch"
        spatial, inputs, outputs = _channels(self.shape, self.layout)
        if outputs % self.groups:
            raise DrawError("groups", f"{self.groups} groups do not divide {outputs} output channels")
        per_group, field = outputs // self.groups, math.prod(spatial)
        one, channels = draws.fill(Fraction(self.gain), dtype), min(per_group, inputs)
        centre = _place(spatial, [size // 2 for size in spatial])
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


class Orthogonal(Tensor):
    """Haar-distributed orthonormal rows, or columns where these are fewer, times `gain`.

    The matrix is torch's (shape[0], rest) or Keras' and JAX's (rest, shape[-1]), by the layout.

    `batch_axes`, the first ones of the tensor, stack independent matrices: of layers, experts or heads. `spectral`
    multiplies by sqrt(fan_out / fan_in) (`ratio`, for Muon and Scion), by this or 1 if it is less (`max`), or by
    sqrt(fan_out) (`fan_out`, for Scion's first layer). A part beside others of `blocks` needs a `number`, and no two
    matrices of a tensor have the same: a stack of n has n numbers, from `number` on.
    """

    formula = "g Q, Q uniform among the matrices with Q^T Q = I or Q Q^T = I; g = gain, times the factor of spectral"
    source = (
        "Saxe et al. 2013 (arXiv:1312.6120); Stewart 1980, doi:10.1137/0717034;"
        " Pethick et al. 2025 (arXiv:2502.07529) and its code, scion, for spectral"
    )

    scheme: Literal["orthogonal"]
    size_field = "gain"
    gain: Positive = 1.0
    layout: Annotated[KernelLayout, Field(description="keras: (rest, shape[-1]); torch: (shape[0], rest).")] = "keras"
    spectral: Annotated[
        Literal["ratio", "max", "fan_out"] | None, Field(description="The spectral norm follows the fans.")
    ] = None
    batch_axes: Annotated[Axes, Field(description="Axes of stacked matrices: the first axes.")] = ()
    number: Annotated[Count | None, Field(description="Number of the first matrix of a part of blocks.")] = None

    def lower(self, dtype: DType) -> Draw:
        shape = self.shape[self._stacked() :]
        if len(shape) < 2:
            besides = " besides batch_axes" if self.batch_axes else ""
            raise DrawError("shape", f"orthogonal needs at least 2 axes{besides}, not {len(shape)}")
        axis = 1 if self.layout == "torch" else -1
        rows, columns = math.prod(shape[:axis]), math.prod(shape[axis:])
        fan_out, fan_in = (rows or 1, columns or 1) if self.layout == "torch" else (columns or 1, rows or 1)
        square = {
            None: Fraction(1),
            "ratio": Fraction(fan_out, fan_in),
            "max": max(Fraction(fan_out, fan_in), Fraction(1)),
            "fan_out": Fraction(fan_out),
        }[self.spectral]
        matrix = draws.orthogonal(root(Fraction(self.gain) ** 2 * square, 2), rows, columns, dtype)
        count = math.prod(self.shape[: self._stacked()])
        if not math.prod(self.shape) or (count == 1 and self.number is None):
            return matrix
        return draws.stack(matrix, self.number or 0, count)

    def _stacked(self) -> int:
        """Return the number of the first axes that stack matrices."""
        rank, count = len(self.shape), len(self.batch_axes)
        if sorted(axis + rank if axis < 0 else axis for axis in self.batch_axes) != list(range(min(count, rank))):
            raise DrawError("batch_axes", f"batch_axes of orthogonal must be the first axes, such as {[*range(count)]}")
        return count


class DeltaOrthogonal(Tensor):
    """Convolutions that keep the norm of their input: an orthogonal matrix at the centre tap, zeros elsewhere.

    The tap is at (k - 1) // 2 of each spatial axis, as JAX has it. There are at least as many output channels as
    input channels.
    """

    formula = "gain Q of the channels at the centre (k - 1) // 2, 0 elsewhere; Q Q^T = I"
    source = "Xiao et al. 2018 (arXiv:1806.05393), section 3.3; jax.nn.initializers.delta_orthogonal"

    scheme: Literal["delta_orthogonal"]
    size_field = "gain"
    gain: Positive = 1.0
    layout: Annotated[KernelLayout, Field(description="keras: (*k, in, out); torch: (out, in, *k).")] = "keras"

    def lower(self, dtype: DType) -> Draw:
        spatial, inputs, outputs = _channels(self.shape, self.layout)
        if inputs > outputs:
            raise DrawError("shape", f"{outputs} output channels cannot keep the norm of {inputs} input channels")
        centre, field = _place(spatial, [(size - 1) // 2 for size in spatial]), math.prod(spatial)
        torch = self.layout == "torch"
        matrix = draws.orthogonal(Fraction(self.gain), *((outputs, inputs) if torch else (inputs, outputs)), dtype)
        if not math.prod(self.shape):
            return _ZERO
        size = 1 if torch else inputs * outputs
        parts: list[tuple[int, Draw]] = [(centre * size, _ZERO), (size, matrix), ((field - centre - 1) * size, _ZERO)]
        return draws.blocks(field * size, parts)


def _channels(shape: tuple[int, ...], layout: KernelLayout) -> tuple[tuple[int, ...], int, int]:
    """Return spatial sizes, input channels and output channels of a convolution's kernel.

    Raises:
        DrawError: the shape is not one of a convolution's kernel.
    """
    if not 3 <= len(shape) <= MAX_KERNEL_RANK:
        raise DrawError("shape", f"a kernel of rank {len(shape)} is not one of a convolution, of rank 3 to 5")
    return (shape[2:], shape[1], shape[0]) if layout == "torch" else (shape[:-2], shape[-2], shape[-1])


def _place(sizes: Sequence[int], indices: Sequence[int]) -> int:
    """Return the index, in row-major order, of the element with these indices."""
    place = 0
    for size, index in zip(sizes, indices, strict=True):
        place = place * size + index
    return place


def _points(size: int, period: int, count: int, one: Draw, offset: int = 0) -> Draw:
    """Return a draw of `size` elements: `count` are `one`, at `offset` and every `period` after it; the rest are 0."""
    if not count or not size:
        return _ZERO
    # The last period may be incomplete.
    last = (count - 1) * period
    every = draws.blocks(period, [(offset, _ZERO), (1, one), (period - offset - 1, _ZERO)])
    return draws.blocks(size, [(last, every), (offset, _ZERO), (1, one), (size - last - offset - 1, _ZERO)])
