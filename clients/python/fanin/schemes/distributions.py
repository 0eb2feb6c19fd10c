"""Schemes that name a distribution directly: uniform, normal, truncated normal, sparse."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.scalars import Bound, complex_truncated_std, truncated_std
from fanin.schemes.base import Axis, Flag, Positive, Proportion, Real, Tensor


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
    """Normal distribution, not truncated."""

    formula = "N(mean, std^2)"
    source = "definition"

    scheme: Literal["normal"]
    mean: Real = 0.0
    std: Positive

    def lower(self, dtype: DType) -> Draw:
        return draws.normal(Fraction(self.mean), Fraction(self.std), dtype)


class TruncatedNormal(Tensor):
    """Normal distribution restricted to an interval.

    The bounds count standard deviations from the mean (Keras, JAX); `bounds: absolute` takes them as values of the
    tensor (torch). `low: null` or `high: null` leaves that side open. `std` is the standard
    deviation before the restriction; with `corrected`, it is that of the result.
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
            draws.check_interval(low, high, dtype)
            std /= complex_truncated_std(high) if dtype.is_complex and high else truncated_std(low, high)
        return draws.truncated_normal(mean, std, low, high, dtype)

    def _bound(self, value: float | None) -> Bound:
        """Return the bound in standard deviations from the mean, as an exact number.

        Rounding would change an absolute bound.
        """
        if value is None:
            return None
        return Fraction(value) if self.bounds == "std" else (Fraction(value) - Fraction(self.mean)) / Fraction(self.std)


class Sparse(Tensor):
    """Normal distribution with the same number of zeros in each line along an axis, at random places.

    `axis` 0 of a matrix has the zeros counted in each column (torch, Flux), 1 in each row (MLX).
    """

    formula = "N(0, std^2), and 0 at ceil(sparsity n) random places of each n along the axis"
    source = "Martens 2010 (Deep learning via Hessian-free optimization), section 5; torch.nn.init.sparse_"

    scheme: Literal["sparse"]
    size_field = "std"
    sparsity: Annotated[Proportion, Field(description="Fraction of each line that is zero.")]
    std: Positive
    axis: Axis = 0

    def lower(self, dtype: DType) -> Draw:
        if not -len(self.shape) <= self.axis < len(self.shape):
            raise DrawError("axis", f"axis {self.axis} is not an axis of a shape of rank {len(self.shape)}")
        axis = self.axis % len(self.shape)
        size, inner = self.shape[axis], math.prod(self.shape[axis + 1 :])
        normal = draws.normal(Fraction(0), Fraction(self.std), dtype)
        if not math.prod(self.shape):
            return normal
        # The product of floats, as in the frameworks: 0.1 * 10 is 1. The exact product is above 1.
        zeros = math.ceil(self.sparsity * size)
        return draws.sparse(normal, size, inner, math.prod(self.shape[:axis]) * inner, zeros)
