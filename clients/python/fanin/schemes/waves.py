"""Schemes of sines and cosines: tables of positions, kernels of Fourier transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.scalars import cosine, pi, power, root
from fanin.schemes.base import Count, Dimension, Flag, Positive, Tensor, few

MOST_TURNS = 2**256
"""Maximum number of turns from one position to the next. With more, 120 digits leave too few for the fraction."""

_IMAGES = {
    "mae": (("x", 0), ("x", 1), ("y", 0), ("y", 1)),
    "aimv2": (("y", 0), ("y", 1), ("x", 0), ("x", 1)),
    "timm": (("y", 0), ("x", 0), ("y", 1), ("x", 1)),
}
"""Coordinate and phase of each quarter of the columns, by variant. Phase 0 is a sine, 1 a cosine."""


class Sinusoidal(Tensor):
    """Sinusoidal positions along the last but one axis.

    `vaswani` has sines and cosines in turn, `marian` all sines before all cosines; both of base^(-2 i / d) for each
    position. `fairseq`, of Whisper and tensor2tensor too, has them one after the other, of base^(-i / (d // 2 - 1)),
    and if d is odd a column of zeros at the end. `padding` is the row of a padding token: zeros.

    The other variants are tables of images. Row y width + x has the position (y, x) in a `grid` of a height and a
    width. The quarters of the columns are sin x, cos x, sin y, cos y in `mae`, of DiT too. They are sin y, cos y,
    sin x, cos x in `aimv2`, and sin y, sin x, cos y, cos x in `timm`, all of base^(-4 i / d). A row of zeros for a
    class token is a part of `blocks`.
    """

    formula = "sin(p f_i), cos(p f_i) of row p; f_i = base^(-2 i / d), in fairseq base^(-i / (d // 2 - 1))"
    source = (
        "Vaswani et al. 2017 (arXiv:1706.03762), section 3.5; fairseq sinusoidal_positional_embedding.py;"
        " facebookresearch/mae util/pos_embed.py; transformers modeling_aimv2.py; timm/layers/pos_embed_sincos.py"
    )

    scheme: Literal["sinusoidal"]
    size_field = "base"
    base: Positive = 10000.0
    variant: Literal["vaswani", "marian", "fairseq", "mae", "aimv2", "timm"] = "vaswani"
    padding: Annotated[Dimension | None, Field(description="A row that is zero.")] = None
    grid: Annotated[
        tuple[Count, Count] | None, few(2, "integers"), Field(description="For mae, aimv2 and timm: height, width.")
    ] = None

    def lower(self, dtype: DType) -> Draw:
        if len(self.shape) < 2:
            raise DrawError("shape", "positions need an axis before that of the table")
        rows, size = self.shape[-2:]
        _check_columns(size)
        if self.padding is not None and self.padding >= rows:
            raise DrawError("padding", f"{self.padding} is out of range: the tensor has {rows} rows")
        if (self.variant in _IMAGES) != (self.grid is not None):
            wanted = "needs a grid" if self.grid is None else "has no grid; mae, aimv2 and timm have one"
            raise DrawError("grid", f"variant {self.variant} {wanted}")
        if self.grid is not None:
            return self._image(*self.grid, dtype)
        if not math.prod(self.shape):
            return draws.fill(Fraction(0), dtype)
        columns, one = self._columns(size), [Fraction(1)]
        if self.padding is None:
            return draws.waves(columns, rows, one, dtype)
        before, behind = self.padding, rows - self.padding - 1
        parts: list[tuple[int, Draw]] = [
            (before * size, draws.waves(columns, before, one, dtype)),
            (size, draws.fill(Fraction(0), dtype)),
            (behind * size, draws.waves(columns, behind, one, dtype, first=self.padding + 1)),
        ]
        return draws.blocks(rows * size, parts)

    def _image(self, height: int, width: int, dtype: DType) -> Draw:
        rows, size = self.shape[-2:]
        if self.padding is not None:
            raise DrawError("padding", f"variant {self.variant} has no padding row: use a part of blocks")
        if rows != height * width:
            raise DrawError("grid", f"a grid of {height} x {width} has {height * width} rows, and the tensor {rows}")
        if size % 4:
            raise DrawError("shape", f"the last axis must be divisible by 4, not {size}")
        quarter = size // 4
        if not math.prod(self.shape):
            return draws.fill(Fraction(0), dtype)
        turns = self._turns([Fraction(-i, quarter) for i in range(quarter)])
        parts: list[tuple[int, Draw]] = []
        for side, phase in _IMAGES[self.variant]:
            count, run = (width, 1) if side == "x" else (height, width)
            columns = [(each, phase) for each in turns]
            parts.append((quarter, draws.waves(columns, count, [Fraction(1)], dtype, run=run)))
        return draws.blocks(size, parts)

    def _turns(self, exponents: Sequence[Fraction]) -> list[Fraction]:
        """Return the turns from one position to the next, of the base to these powers."""
        turns = [power(Fraction(self.base), exponent) / (2 * pi()) for exponent in exponents]
        if max(turns, default=Fraction(0)) > MOST_TURNS:
            raise DrawError(
                "base", f"base is too small: a position has more than 2^{MOST_TURNS.bit_length() - 1} turns"
            )
        return turns

    def _columns(self, size: int) -> list[tuple[Fraction, int]]:
        """Return for each column the turns from one position to the next, and 0 for a sine or 1 for a cosine."""
        half = size // 2
        if self.variant == "fairseq":
            exponents = [Fraction(-i, max(half - 1, 1)) for i in range(half)]
            still = [(Fraction(0), 0)] * (size % 2)
        else:
            exponents, still = [Fraction(-2 * i, size) for i in range(size - half)], []
        turns = self._turns(exponents)
        if self.variant == "vaswani":
            return [(turns[j // 2], j % 2) for j in range(size)]
        return [*((each, 0) for each in turns), *((each, 1) for each in turns[:half]), *still]


Window = Literal["hann", "hamming", "blackman", "nuttall", "blackmanharris", "flattop", "bartlett", "cosine", "boxcar"]


class Stft(Tensor):
    """Kernels of a short-time Fourier transform, of the shape (length, 1, bins): the transform has 2 (bins - 1) points.

    Windows have the names and formulas of SciPy. `scaling` divides by the root of the sum of the window's squares
    (`density`) or by its sum (`spectrum`). Without a window it has no effect.
    """

    formula = "cos or sin(-2 pi t f / (2 (bins - 1))) window(t) / scale"
    source = "Allen & Rabiner 1977, doi:10.1109/PROC.1977.10770; keras.initializers.STFT"

    scheme: Literal["stft"]
    side: Annotated[Literal["real", "imag"], Field(description="Cosines, or sines.")] = "real"
    window: Window | None = "hann"
    scaling: Literal["density", "spectrum"] | None = "density"
    periodic: Annotated[Flag, Field(description="The window is one period, not symmetric.")] = False

    def lower(self, dtype: DType) -> Draw:
        if len(self.shape) != 3 or self.shape[1] != 1:
            raise DrawError("shape", "the shape of these kernels is (length, 1, bins)")
        length, _, bins = self.shape
        _check_columns(length)
        _check_columns(bins)
        if bins < 2 or not length:
            raise DrawError("shape", "the shape needs at least one time and two bins")
        amplitudes = _window(self.window, length, self.periodic)
        if self.window and self.scaling == "density":
            scale = root(sum((each**2 for each in amplitudes), Fraction(0)), 2)
        elif self.window and self.scaling == "spectrum":
            scale = sum(map(abs, amplitudes), Fraction(0))
        else:
            scale = Fraction(1)
        if not scale:
            raise DrawError("window", f"a window of {length} has only zeros")
        quarter = 1 if self.side == "real" else 2
        columns = [(Fraction(f, 2 * (bins - 1)), quarter) for f in range(bins)]
        return draws.waves(columns, length, [each / scale for each in amplitudes], dtype)


_COSINES: dict[str, list[str]] = {
    "hann": ["0.5", "0.5"],
    "hamming": ["0.54", "0.46"],
    "blackman": ["0.42", "0.5", "0.08"],
    "nuttall": ["0.3635819", "0.4891775", "0.1365995", "0.0106411"],
    "blackmanharris": ["0.35875", "0.48829", "0.14128", "0.01168"],
    "flattop": ["0.21557895", "0.41663158", "0.277263158", "0.083578947", "0.006947368"],
}
"""Coefficients a_k of the windows that are sums of a_k (-1)^k cos(2 pi k t / n)."""


def _window(name: Window | None, length: int, periodic: bool) -> list[Fraction]:
    """Return a window's values. A periodic window is a symmetric one of one more value, without the last."""
    if name in (None, "boxcar") or length == 1:
        return [Fraction(1)] * length
    steps = length if periodic else length - 1
    if name == "bartlett":
        return [1 - abs(1 - Fraction(2 * t, steps)) for t in range(length)]
    if name == "cosine":
        return [cosine(Fraction(2 * t + 1, 2 * (steps + 1)) / 2 - Fraction(1, 4)) for t in range(length)]
    terms = [Fraction(text) * (-1) ** k for k, text in enumerate(_COSINES[name])]
    # cos(k x) is Chebyshev's polynomial of cos(x), so each value needs one cosine.
    return [
        sum((a * each for a, each in zip(terms, _chebyshev(cosine(Fraction(t, steps)), len(terms)))), Fraction(0))
        for t in range(length)
    ]


def _chebyshev(x: Fraction, count: int) -> list[Fraction]:
    values = [Fraction(1), x]
    while len(values) < count:
        values.append(2 * x * values[-1] - values[-2])
    return values


def _check_columns(count: int) -> None:
    if count > draws.MAX_TABLE:
        raise DrawError("shape", f"a table of {count} columns is too long: the maximum is {draws.MAX_TABLE}")
