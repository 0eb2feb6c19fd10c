"""Schemes whose distribution depends on the size of the network, not of the kernel alone.

They compute the standard deviation exactly. A quotient that the user computes would be rounded twice.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, Strict

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.scalars import log, root
from fanin.schemes.base import Count, Positive, Scaled, Tensor, as_integer
from fanin.schemes.fans import Mode


class ScaledNormal(Tensor):
    """Normal distribution whose standard deviation shrinks with the root of a width and of a depth.

    `depth` counts the residual branches that add up: 2 n_layer in GPT-2 and Megatron, n_layer in GPT-NeoX's single
    residual, 2 (i + 1) in layer i of torchtitan and OLMo. `width` is d_model in T5 and CLIP, the width multiplier in
    muP. `cut` truncates at this number of standard deviations.
    """

    formula = "N(0, s^2), within +-cut s if there is a cut; s = std / sqrt(width depth)"
    source = "Radford et al. 2019 (GPT-2), section 2.3; Shoeybi et al. 2019 (arXiv:1909.08053); Yang et al. 2022 (muP)"

    scheme: Literal["scaled_normal"]
    size_field = "std"
    std: Positive
    width: Positive = 1.0
    depth: Positive = 1.0
    cut: Positive | None = None

    def lower(self, dtype: DType) -> Draw:
        std = root(Fraction(self.std) ** 2 / (Fraction(self.width) * Fraction(self.depth)), 2)
        return _cut_normal(std, self.cut, dtype)


def _cut_normal(std: Fraction, cut: float | None, dtype: DType) -> Draw:
    """Return the draw of a normal distribution with this standard deviation before the cut."""
    if cut is None:
        return draws.normal(Fraction(0), std, dtype)
    end = Fraction(cut)
    try:
        draws.check_interval(-end, end, dtype)
    except DrawError as error:
        raise DrawError("cut", f"cut is too small: {error}") from None
    return draws.truncated_normal(Fraction(0), std, -end, end, dtype)


class SmallInit(Tensor):
    """Small normal distribution of transformers of this width, d_model."""

    formula = "N(0, 2 / (5 width))"
    source = "Nguyen & Salazar 2019 (arXiv:1910.05895); GPT-NeoX small_init"

    scheme: Literal["small_init"]
    size_field = "width"
    width: Count

    def lower(self, dtype: DType) -> Draw:
        return draws.normal(Fraction(0), root(Fraction(2, 5 * self.width), 2), dtype)


class WangInit(Tensor):
    """Normal distribution of the output layers of GPT-NeoX, of this width and with this number of layers.

    GPT-J truncates it at two of these standard deviations and does not correct it: `cut` 2.
    """

    formula = "N(0, s^2), within +-cut s if there is a cut; s = 2 / (layers sqrt(width))"
    source = "Wang & Komatsuzaki 2021 (mesh-transformer-jax); GPT-NeoX wang_init"

    scheme: Literal["wang_init"]
    size_field = "width"
    width: Count
    layers: Count
    cut: Positive | None = None

    def lower(self, dtype: DType) -> Draw:
        return _cut_normal(root(Fraction(4, self.layers**2 * self.width), 2), self.cut, dtype)


class _Stack(Scaled):
    """A kernel of the feed-forward, value and output projections of a transformer, Glorot's times a gain of depth.

    Query and key projections have no gain: they are `glorot_normal`.
    """

    size_field = "encoder_layers"
    encoder_layers: Annotated[Count | None, Field(description="Layers of the encoder, if there is one.")] = None
    decoder_layers: Annotated[Count | None, Field(description="Layers of the decoder, if there is one.")] = None
    side: Annotated[
        Literal["only", "encoder", "decoder"],
        Field(description="The stack that the kernel belongs to; only: there is one stack."),
    ] = "only"
    distribution: Literal["normal", "uniform"] = "normal"

    def _layers(self) -> tuple[int, int]:
        """Return the numbers of layers of encoder and decoder. The second is 0 if there is one stack.

        Raises:
            DrawError: `side` does not match the given layers.
        """
        encoder, decoder = self.encoder_layers, self.decoder_layers
        if encoder is None and decoder is None:
            raise DrawError("encoder_layers", "encoder_layers, decoder_layers or both must be given")
        both = encoder is not None and decoder is not None
        if both == (self.side == "only"):
            wanted = "encoder or decoder: there are two stacks" if both else "only: there is one stack"
            raise DrawError("side", f"side must be {wanted}")
        return (encoder or 0, decoder or 0) if both else (encoder or decoder or 0, 0)

    def _gained(self, gain: Fraction, degree: int, dtype: DType) -> Draw:
        return self.scaled(Fraction(1), "fan_avg", self.distribution, dtype, gain, degree)


class DeepNorm(_Stack):
    """DeepNet's feed-forward, value and output projections: Glorot with a gain that shrinks with depth.

    This is the paper's distribution. torchscale's code applies the gain to another one, and has 1.15 for 0.87 in the
    encoder.
    """

    formula = (
        "glorot times b. With one stack of N layers b = (8 N)^(-1/4); with N encoder and M decoder layers:"
        " encoder 0.87 (N^4 M)^(-1/16), decoder (12 M)^(-1/4)"
    )
    source = "Wang et al. 2022 (arXiv:2203.00555), figure 2"

    scheme: Literal["deepnorm"]

    def lower(self, dtype: DType) -> Draw:
        first, second = self._layers()
        if not second:
            return self._gained(Fraction(1, 8 * first), 4, dtype)
        if self.side == "decoder":
            return self._gained(Fraction(1, 12 * second), 4, dtype)
        return self._gained(Fraction(87, 100) ** 16 / (first**4 * second), 16, dtype)


class SubLN(_Stack):
    """Magneto's feed-forward, value and output projections: Glorot with a gain that grows with depth.

    This is the paper's distribution. torchscale's code applies the gain to another one, and has no gain in cross
    attention.
    """

    formula = (
        "glorot times g. With one stack of N layers g = sqrt(log(2 N)); with N encoder and M decoder layers:"
        " encoder sqrt(log(3 M) log(2 N) / 3), decoder sqrt(log(3 M))"
    )
    source = "Wang et al. 2022 (arXiv:2210.06423), figure 2"

    scheme: Literal["subln"]

    def lower(self, dtype: DType) -> Draw:
        first, second = self._layers()
        square = log(Fraction(3 * second)) if self.side == "decoder" else log(Fraction(2 * first))
        if self.side == "encoder":
            square *= log(Fraction(3 * second)) / 3
        return self._gained(square, 2, dtype)


class TFixup(Scaled):
    """T-Fixup's feed-forward, value and output projections of a transformer without layer norms: Glorot times a gain.

    `layers` counts those of this side. Query and key projections are `glorot_uniform`. Embeddings are `scaled_normal`
    with `std` 1, `width` the model's, and `depth` 3 sqrt(layers) of the decoder.
    """

    formula = "glorot times g; encoder: g = 0.67 layers^(-1/4), decoder: g = (9 layers)^(-1/4)"
    source = "Huang et al. 2020 (ICML), Improving Transformer Optimization Through Better Initialization, section 3.2"

    scheme: Literal["t_fixup"]
    size_field = "layers"
    layers: Count
    side: Literal["encoder", "decoder"]
    distribution: Literal["uniform", "normal"] = "uniform"

    def lower(self, dtype: DType) -> Draw:
        gain = Fraction(67, 100) ** 4 / self.layers if self.side == "encoder" else Fraction(1, 9 * self.layers)
        return self.scaled(Fraction(1), "fan_avg", self.distribution, dtype, gain, 4)


class Fixup(Scaled):
    """Layers of a residual branch except the last, which is zero: He, scaled down with the number of branches.

    `layers` counts the branches, `branch_layers` the weight layers of one: 2 of a basic block, 3 of a bottleneck.
    The default of `mode` is `fan_in`, as in He; the official code uses `fan_out`.
    """

    formula = "N(0, s^2), s = sqrt(2 / n) layers^(-1 / (2 branch_layers - 2))"
    source = "Zhang et al. 2019 (arXiv:1901.09321), section 3"

    scheme: Literal["fixup"]
    size_field = "layers"
    layers: Count
    branch_layers: Annotated[int, Strict(), Field(ge=2, le=16), BeforeValidator(as_integer)] = 2
    mode: Mode = "fan_in"

    def lower(self, dtype: DType) -> Draw:
        return self.scaled(
            Fraction(2), self.mode, "normal", dtype, Fraction(1, self.layers), 2 * self.branch_layers - 2
        )
