"""Schemes whose distribution depends on the fans of a kernel: variance scaling, Glorot, He, LeCun, SIREN."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import field_validator

from fanin import draws
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.scalars import root
from fanin.schemes.base import Count, Distribution, Flag, NonNegative, Positive, Scaled, Tensor
from fanin.schemes.fans import Mode


class VarianceScaling(Scaled):
    """Zero mean, variance scale / n, n = fan_in, fan_out, their arithmetic or their geometric mean.

    `normal` and `untruncated_normal` are one distribution. `truncated_normal` is cut at two standard deviations and
    widened so that its variance after the cut is scale / n.
    """

    formula = "U(+-sqrt(3 v)), N(0, v), or N(0, s^2) cut at 2 s with s = sqrt(v) / 0.8796...; v = scale / n"
    source = "He et al. 2015 (arXiv:1502.01852); Keras and JAX VarianceScaling"

    scheme: Literal["variance_scaling"]
    size_field = "scale"
    scale: Positive = 1.0
    mode: Mode = "fan_in"
    distribution: Distribution = "truncated_normal"

    @field_validator("distribution", mode="after")
    @classmethod
    def _one_spelling(cls, name: Distribution) -> Distribution:
        return "normal" if name == "untruncated_normal" else name

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(self.scale), self.mode, self.distribution, dtype)


class GlorotUniform(Scaled):
    """Glorot (Xavier) uniform; `gain` multiplies the bound."""

    formula = "U(+-gain sqrt(6 / (fan_in + fan_out)))"
    source = "Glorot & Bengio 2010, equation 16"

    scheme: Literal["glorot_uniform", "xavier_uniform"]
    size_field = "gain"
    gain: Positive = 1.0

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(self.gain) ** 2, "fan_avg", "uniform", dtype)


class GlorotNormal(Scaled):
    """Glorot (Xavier) normal; `gain` multiplies the standard deviation.

    Not truncated, as in torch; `truncated` gives the distribution of Keras and JAX.
    """

    formula = "N(0, gain^2 2 / (fan_in + fan_out))"
    source = "Glorot & Bengio 2010, equation 12"

    scheme: Literal["glorot_normal", "xavier_normal"]
    size_field = "gain"
    gain: Positive = 1.0
    truncated: Flag = False

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(self.gain) ** 2, "fan_avg", _normal(self.truncated), dtype)


class HeUniform(Scaled):
    """He (Kaiming) uniform for ReLU, or for leaky ReLU of the given negative slope."""

    formula = "U(+-sqrt(6 / ((1 + negative_slope^2) n)))"
    source = "He et al. 2015 (arXiv:1502.01852), equations 10, 14 and 15"

    scheme: Literal["he_uniform", "kaiming_uniform"]
    mode: Mode = "fan_in"
    negative_slope: NonNegative = 0.0

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(_he_scale(self.negative_slope), self.mode, "uniform", dtype)


class HeNormal(Scaled):
    """He (Kaiming) normal for ReLU, or for leaky ReLU of the given negative slope.

    Not truncated, as in the paper and torch; `truncated` gives the distribution of Keras and JAX.
    """

    formula = "N(0, 2 / ((1 + negative_slope^2) n))"
    source = "He et al. 2015 (arXiv:1502.01852), equations 10, 14 and 15"

    scheme: Literal["he_normal", "kaiming_normal"]
    mode: Mode = "fan_in"
    negative_slope: NonNegative = 0.0
    truncated: Flag = False

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(_he_scale(self.negative_slope), self.mode, _normal(self.truncated), dtype)


class LecunUniform(Scaled):
    """LeCun uniform."""

    formula = "U(+-sqrt(3 / fan_in))"
    source = "LeCun et al. 1998, Efficient BackProp, equation 16"

    scheme: Literal["lecun_uniform"]

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(1), "fan_in", "uniform", dtype)


class LecunNormal(Scaled):
    """LeCun normal. Not truncated; `truncated` gives the distribution of Keras and JAX."""

    formula = "N(0, 1 / fan_in)"
    source = "LeCun et al. 1998, Efficient BackProp, equation 16"

    scheme: Literal["lecun_normal"]
    truncated: Flag = False

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(Fraction(1), "fan_in", _normal(self.truncated), dtype)


class SpectralMup(Scaled):
    """Spectral parametrization, muP for every width: the spectral norm is about gain sqrt(fan_out / fan_in).

    For Muon and muP. Semi-orthogonal kernels of just this norm are `orthogonal` with `spectral` `ratio`.
    """

    formula = "N(0, s^2), s = gain min(1, sqrt(fan_out / fan_in)) / sqrt(fan_in)"
    source = "Yang, Simon & Bernstein 2023 (arXiv:2310.17813), section 4; nanotron's SpectralMupParametrizator"

    scheme: Literal["spectral_mup"]
    size_field = "gain"
    gain: Positive = 1.0
    distribution: Distribution = "normal"

    @field_validator("distribution", mode="after")
    @classmethod
    def _one_spelling(cls, name: Distribution) -> Distribution:
        return "normal" if name == "untruncated_normal" else name

    def lower(self, dtype: DType) -> Draw:
        ratio = Fraction(self.fans.fan_out or 1, self.fans.fan_in or 1)
        return self.scaled(Fraction(self.gain) ** 2, "fan_in", self.distribution, dtype, min(ratio, Fraction(1)), 2)


class FanUniform(Tensor):
    """Uniform within the inverse root of a given fan, such as for a bias, whose shape has no fan.

    torch's default for the weight and bias of linear and convolutional layers (fan = fan_in of the weight) and for
    every tensor of its recurrent ones (fan = hidden_size).
    """

    formula = "U(+-gain / sqrt(fan))"
    source = "LeCun et al. 1998, Efficient BackProp; torch.nn.Linear.reset_parameters"

    scheme: Literal["fan_uniform"]
    size_field = "fan"
    fan: Count
    gain: Positive = 1.0

    def lower(self, dtype: DType) -> Draw:
        limit = root(Fraction(self.gain) ** 2 / self.fan, 2)
        return draws.uniform(-limit, limit, dtype)


class Siren(Scaled):
    """Layers with sine activations, sin(omega x); the first layer of the network has a different distribution."""

    formula = "U(+-sqrt(6 / fan_in) / omega); first layer: U(+-1 / fan_in)"
    source = "Sitzmann et al. 2020 (arXiv:2006.09661), section 3.2 and supplement 1.5"

    scheme: Literal["siren"]
    size_field = "omega"
    omega: Positive = 30.0
    first: Flag = False

    def lower(self, dtype: DType) -> Draw:
        scale = Fraction(1, 3 * (self.fans.fan_in or 1)) if self.first else 2 / Fraction(self.omega) ** 2
        return self.scaled(scale, "fan_in", "uniform", dtype)


def _he_scale(negative_slope: float) -> Fraction:
    return 2 / (1 + Fraction(negative_slope) ** 2)


def _normal(truncated: bool) -> Distribution:
    return "truncated_normal" if truncated else "normal"
