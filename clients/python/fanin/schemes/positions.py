"""Tables of position embeddings and of decays, one value for each frequency or each head."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.scalars import log, log1p, pi, power, power_less_one
from fanin.schemes.base import Count, Factors, Flag, Positive, Proportion, Real, Tensor
from fanin.schemes.tables import along, last_size


class RopeFrequencies(Tensor):
    """Inverse frequencies of rotary position embeddings; a head has twice as many dimensions as the last axis.

    `scaling` divides frequencies by `factor` if they turn fewer than `slow` times in a `context`, and leaves those that
    turn more than `fast` times. Between them it interpolates linearly: in turns (`llama3`, where `fast` is 4) or in
    dimensions (`yarn`, where it is 32). `linear` divides all.

    `longrope` divides the frequency of each dimension by its number in `factors`, which is a model's `short_factor` or
    `long_factor`. `proportional` divides all by `factor` and sets to 0 those beyond the part `partial_rotary_factor`.

    `yarn` follows YaRN's code. The formula of the paper, section 3.2, is `llama3` with `fast` 32. `truncate` rounds the
    ends of the ramp of `yarn` to integer dimensions; gpt-oss does not.
    """

    formula = "base^(-i / n) ((1 - s) / factor + s), i the index of the last axis and n its size, s = 1 if not scaled"
    source = (
        "Su et al. 2021 (arXiv:2104.09864), section 3.3; Ding et al. 2024 (arXiv:2402.13753) for longrope;"
        " transformers' modeling_rope_utils.py, whose ramp of yarn is not that of Peng et al. 2023 (arXiv:2309.00071)"
    )

    scheme: Literal["rope_frequencies"]
    size_field = "base"
    base: Positive = 10000.0
    scaling: Literal["linear", "llama3", "yarn", "longrope", "proportional"] | None = None
    factor: Positive = 1.0
    context: Annotated[Count, Field(description="Positions of the first training.")] = 8192
    slow: Positive = 1.0
    fast: Positive | None = None
    truncate: Annotated[Flag, Field(description="For yarn: the ramp begins and ends at integer dimensions.")] = True
    factors: Annotated[Factors | None, Field(description="For longrope: a divisor of each frequency.")] = None
    partial_rotary_factor: Annotated[Proportion, Field(description="For proportional: the part that is not 0.")] = 1.0

    def lower(self, dtype: DType) -> Draw:
        count = last_size(self.shape)
        self._check()
        frequencies = [power(Fraction(self.base), Fraction(-i, count)) for i in range(count)]
        if self.scaling == "longrope":
            if self.factors is None or len(self.factors) != count:
                given = "none" if self.factors is None else len(self.factors)
                raise DrawError("factors", f"longrope needs {count} factors, one for each frequency, not {given}")
            return along([f / Fraction(by) for f, by in zip(frequencies, self.factors, strict=True)], dtype)
        if self.scaling == "proportional":
            # The product is rounded, as in transformers: 0.3 of 20 dimensions are 3 frequencies, not 2.
            rotated = math.floor(Fraction(self.partial_rotary_factor * (2 * count)) / 2)
            scaled = [f / Fraction(self.factor) for f in frequencies[:rotated]]
            return along([*scaled, *[Fraction(0)] * (count - rotated)], dtype)
        kept = self._kept(frequencies)
        factor = Fraction(self.factor)
        return along([f * ((1 - part) / factor + part) for f, part in zip(frequencies, kept, strict=True)], dtype)

    def _check(self) -> None:
        """Check that no parameter of another scaling is given."""
        if not self.truncate and self.scaling != "yarn":
            raise DrawError("truncate", "truncate false is only allowed with scaling yarn")
        if self.factors is not None and self.scaling != "longrope":
            raise DrawError("factors", "factors are only allowed with scaling longrope")
        if self.partial_rotary_factor != 1 and self.scaling != "proportional":
            raise DrawError("partial_rotary_factor", "partial_rotary_factor is only allowed with scaling proportional")

    def _kept(self, frequencies: Sequence[Fraction]) -> Iterable[Fraction]:
        """Return the share of each frequency that is not scaled, in [0, 1]."""
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

    `gain` multiplies all. In layer l of L, the decays of MiniMax's lightning attention have
    1 - l / (L - 1 + 1e-5) + 1e-5. Those of Bailing are negative.
    """

    formula = "gain 2^(-max_bias (h + 1) / heads) of head h, where heads is a power of 2"
    source = "Press et al. 2022 (arXiv:2108.12409) and its code; transformers' modeling_mpt.py, modeling_minimax.py"

    scheme: Literal["alibi_slopes"]
    size_field = "max_bias"
    max_bias: Positive = 8.0
    variant: Literal["press", "mpt"] = "press"
    gain: Real = 1.0

    def lower(self, dtype: DType) -> Draw:
        heads = last_size([size for size in self.shape if size != 1] or [1])
        if math.prod(self.shape) != heads:
            raise DrawError("shape", "more than one axis is longer than 1")
        below = 1 << max(heads.bit_length() - 1, 0)
        # Only slopes that are used: each takes a quarter of a millisecond.
        others = range(0, 2 * (heads - below), 2)
        slopes = [*self._slopes(range(below), below), *self._slopes(others, 2 * below)]
        return along([Fraction(self.gain) * slope for slope in slopes[:heads]], dtype)

    def _slopes(self, numbers: Iterable[int], heads: int) -> list[Fraction]:
        """Return the slopes of the heads with these numbers, where `heads` is a power of 2."""
        return [power(Fraction(2), -Fraction(self.max_bias) * (h + 1) / heads) for h in numbers]


class RetentionDecay(Tensor):
    """Logarithms of the decays of RetNet, one for each head along the last axis.

    The exponents x are `start`, `start` + 1, ..., or with `stop` evenly spaced from `start` to it. The paper's language
    models have the exponents 5 to 9.
    """

    formula = "ln(1 - 2^(-x)), x = start + h of head h, or start + (stop - start) h / (heads - 1)"
    source = "Sun et al. 2023 (arXiv:2307.08621), section 2.2, and torchscale's retnet.py"

    scheme: Literal["retention_decay"]
    size_field = "start"
    start: Positive = 5.0
    stop: Positive | None = None

    def lower(self, dtype: DType) -> Draw:
        heads = last_size(self.shape)
        start = Fraction(self.start)
        step = Fraction(1) if self.stop is None else (Fraction(self.stop) - start) / max(heads - 1, 1)
        return along([_log_of_rest(start + step * h) for h in range(heads)], dtype)


def _log_of_rest(exponent: Fraction) -> Fraction:
    """Return ln(1 - 2^-x), x > 0, with all digits also where the difference is near 0 or near 1."""
    two = Fraction(2)
    return log1p(-power(two, -exponent)) if exponent > 1 else log(-power_less_one(two, -exponent))
