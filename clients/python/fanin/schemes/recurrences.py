"""Schemes of state space models and gated recurrences: logarithms and other functions of uniform numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AllowInfNan, Field, Strict

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.scalars import inverse_softplus, log
from fanin.schemes.base import NOT_CAST, NonNegative, Positive, Tensor

Radius = Annotated[float, Strict(), AllowInfNan(False), Field(gt=0, lt=1), NOT_CAST]
LARGEST_STEP = 64
"""Largest step of `dt_bias`. From here the inverse softplus equals its argument to float32's last place."""

SMALLEST_STEP = 1e-304
"""Smallest step of `dt_bias`. The draw's exp accepts arguments down to -700."""


class LogUniform(Tensor):
    """Logarithm of a uniform number: A_log of Mamba-2 with [1, 16], of gated delta nets with [0.01, 16]."""

    formula = "ln U[low, high]"
    source = "Dao & Gu 2024 (arXiv:2405.21060) and its code, mamba_ssm/modules/mamba2.py"

    scheme: Literal["log_of_uniform", "mamba2_a_log"]
    low: Positive = 1.0
    high: Positive = 16.0

    def lower(self, dtype: DType) -> Draw:
        low, high = Fraction(self.low), Fraction(self.high)
        return draws.mapped("log", low, high, (log(low), log(high)), dtype)


class DtBias(Tensor):
    """Mamba's bias of time steps: softplus of it is distributed evenly on a logarithmic scale."""

    formula = "ln(exp(dt) - 1), dt = max(dt_floor, exp U[ln dt_min, ln dt_max])"
    source = "Gu & Dao 2023 (arXiv:2312.00752), section 3.6, and its code, mamba_ssm/modules/mamba_simple.py"

    scheme: Literal["dt_bias", "mamba_dt_bias"]
    size_field = "dt_max"
    dt_min: Annotated[Positive, Field(description="At least 1e-304.")] = 0.001
    dt_max: Annotated[float, Strict(), AllowInfNan(False), Field(gt=0, le=LARGEST_STEP), NOT_CAST] = 0.1
    dt_floor: NonNegative = 0.0001

    def lower(self, dtype: DType) -> Draw:
        low, high = Fraction(self.dt_min), Fraction(self.dt_max)
        least = max(low, Fraction(self.dt_floor))
        if self.dt_min < SMALLEST_STEP:
            raise DrawError("dt_min", f"dt_min is at least {SMALLEST_STEP}")
        if low >= high:
            raise DrawError("dt_min", "dt_min must be less than dt_max")
        if least >= high:
            raise DrawError("dt_floor", "dt_floor must be less than dt_max")
        ends = inverse_softplus(least), inverse_softplus(high)
        return draws.mapped("inverse_softplus_exp", log(low), log(high), ends, dtype)


class RgLru(Tensor):
    """Recurrence parameter of RG-LRU, distributed as in RecurrentGemma's code.

    exp(-softplus(a)) is a radius in [min_radius, max_radius] whose square is uniform; the layer takes its power c = 8.
    The paper, section 2.4, has another distribution: there the power, a^c, is uniform in [0.9, 0.999].
    """

    formula = "ln(exp(-ln(u) / 2) - 1), u = U[min_radius^2, max_radius^2] "
    source = (
        "google-deepmind/recurrentgemma, rnn_param_init, not De et al. 2024 (arXiv:2402.19427);"
        " Orvieto et al. 2023 (arXiv:2303.06349), section 3.2.1"
    )

    scheme: Literal["rg_lru"]
    size_field = "max_radius"
    min_radius: Radius = 0.9
    max_radius: Radius = 0.999

    def lower(self, dtype: DType) -> Draw:
        low, high = Fraction(self.min_radius), Fraction(self.max_radius)
        if low >= high:
            raise DrawError("min_radius", "min_radius must be less than max_radius")
        ends = inverse_softplus(-log(high)), inverse_softplus(-log(low))
        return draws.mapped("inverse_softplus_log", low**2, high**2, ends, dtype)
