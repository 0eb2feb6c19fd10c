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


class _Radius(Tensor):
    """A parameter of a diagonal recurrence, from the radius of its eigenvalue."""

    size_field = "max_radius"
    min_radius: Radius = 0.9
    max_radius: Radius = 0.999

    def _radii(self) -> tuple[Fraction, Fraction]:
        low, high = Fraction(self.min_radius), Fraction(self.max_radius)
        if low >= high:
            raise DrawError("min_radius", "min_radius must be less than max_radius")
        return low, high


class RgLru(_Radius):
    """Recurrence parameter p of RG-LRU, where exp(-softplus(p)) is the radius a; the layer takes its power c = 8.

    In RecurrentGemma's code the square of a is uniform, and a lies in [min_radius, max_radius]. `griffin` is the
    paper's distribution: a^c is uniform in [min_radius, max_radius]. The paper's parameter, whose sigmoid is a, is -p.
    """

    formula = (
        "ln(exp(-ln(u) / 2) - 1), u = U[min_radius^2, max_radius^2];"
        " griffin: ln(exp(-ln(u) / 8) - 1), u = U[min_radius, max_radius]"
    )
    source = (
        "google-deepmind/recurrentgemma, rnn_param_init; De et al. 2024 (arXiv:2402.19427), section 2.4, for griffin;"
        " Orvieto et al. 2023 (arXiv:2303.06349), section 3.2.1"
    )

    scheme: Literal["rg_lru"]
    variant: Literal["recurrentgemma", "griffin"] = "recurrentgemma"

    def lower(self, dtype: DType) -> Draw:
        low, high = self._radii()
        if self.variant == "griffin":
            ends = inverse_softplus(-log(high) / 8), inverse_softplus(-log(low) / 8)
            return draws.mapped("inverse_softplus_log_8", low, high, ends, dtype)
        ends = inverse_softplus(-log(high)), inverse_softplus(-log(low))
        return draws.mapped("inverse_softplus_log", low**2, high**2, ends, dtype)


class LruNu(_Radius):
    """LRU's nu_log: exp(-exp(nu_log)) is the radius of an eigenvalue, uniform on the ring between the two radii.

    `theta_log`, the logarithm of the angle, is `log_of_uniform`. `gamma_log` depends on both and has no scheme.
    """

    formula = "ln(-ln(u) / 2), u = U[min_radius^2, max_radius^2]"
    source = "Orvieto et al. 2023 (arXiv:2303.06349), lemma 3.2 and appendix A"

    scheme: Literal["lru_nu"]

    def lower(self, dtype: DType) -> Draw:
        low, high = self._radii()
        return draws.mapped("log_log", low**2, high**2, (log(-log(high)), log(-log(low))), dtype)


class LogitOfUniform(Tensor):
    """Inverse sigmoid of a uniform number: a gate whose bias it is opens evenly between `low` and `high`.

    Uniform gate initialization takes 1 / d to 1 - 1 / d for a hidden size d.
    """

    formula = "ln(u / (1 - u)), u = U[low, high]"
    source = "Gu et al. 2020 (arXiv:1910.09890), section 3.1"

    scheme: Literal["logit_of_uniform"]
    low: Radius
    high: Radius

    def lower(self, dtype: DType) -> Draw:
        low, high = Fraction(self.low), Fraction(self.high)
        return draws.mapped("logit", low, high, (log(low / (1 - low)), log(high / (1 - high))), dtype)
