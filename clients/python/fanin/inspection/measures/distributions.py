"""Distributions that a recipe gives its tensors, as functions that a sample can be compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fanin.description import formula, moments_of
from fanin.draws import Blocks, Draw, Fill, Mapped, Normal, Quantized, Sparse, TruncatedNormal, Uniform
from fanin.draws.moments import Moments, argument_of, truncation
from fanin.dtypes import STORAGE, DType
from fanin.inspection.measures.kolmogorov import Cdf, Doubles, normal_cdf
from fanin.schemes.base import Tensor


@dataclass(frozen=True, slots=True)
class Expected:
    """Distribution of a tensor's elements."""

    text: str
    moments: Moments | None
    """None for codes and scales of a quantized tensor."""
    cdf: Cdf | None
    """Distribution function before rounding; None if elements depend on each other or are given values."""
    is_varied: bool
    """False if the recipe gives all elements one value."""
    draw: Draw


def expected_of(tensor: Tensor) -> Expected:
    """Return the distribution that a recipe gives one of its tensors."""
    draw, dtype = tensor.draw, STORAGE[tensor.dtype]
    found = None if isinstance(draw, Quantized) else moments_of(tensor)
    cdf = None if dtype.is_complex or dtype.is_integer else cdf_of(draw, dtype)
    return Expected(formula(draw), found, cdf, found is None or found.std > 0, draw)


def cdf_of(draw: Draw, dtype: DType) -> Cdf | None:
    """Return the distribution function of a draw's elements before they are rounded, with their bounds.

    None if elements are not independent random numbers.
    """
    match draw:
        case Fill(value):
            return lambda x: (x >= value).astype(np.float64)
        case Uniform(center, half, low, high) if half > 0:
            return _clamped(lambda x: np.clip((x - center) / (2 * half) + 0.5, 0, 1), low, high)
        case Normal(mean, std) if std > 0:
            return normal_cdf(mean, std)
        case TruncatedNormal(mean, std, low, high) if std > 0 and low < high:
            return _truncated(mean, std, truncation(draw, dtype), low, high)
        case Mapped(function, center, half, low, high):
            rises = bool(np.all(argument_of(function, np.array([1.0])) > argument_of(function, np.array([-1.0]))))

            def mapped(x: Doubles) -> Doubles:
                with np.errstate(all="ignore"):
                    share = np.clip((argument_of(function, x) - center) / (2 * half) + 0.5, 0, 1)
                return np.asarray(share if rises else 1 - share)

            return _clamped(mapped, low, high)
        case Blocks(period, draws=parts):
            shares = [(draw.length(j) / period, cdf_of(part, dtype)) for j, part in enumerate(parts)]
            return _mixture(shares)
        case Sparse(dist, size, zeros=zeros):
            zero = cdf_of(Fill(0.0), dtype)
            return _mixture([(1 - zeros / size, cdf_of(dist, dtype)), (zeros / size, zero)])
    return None


def _mixture(parts: list[tuple[float, Cdf | None]]) -> Cdf | None:
    known = [(share, cdf) for share, cdf in parts if cdf is not None]
    if len(known) < len(parts):
        return None
    return lambda x: np.asarray(sum(share * cdf(x) for share, cdf in known))


def _clamped(cdf: Cdf, low: float, high: float) -> Cdf:
    return lambda x: np.where(x < low, 0.0, np.where(x >= high, 1.0, cdf(x)))


def _truncated(mean: float, std: float, interval: tuple[float, float], low: float, high: float) -> Cdf | None:
    """Return the distribution function of a truncated normal distribution; None for one far in a tail.

    The interval is in standard deviations from the mean, `low` and `high` clamp the elements. The difference of two
    probabilities near 1 would lose the digits of a tail, so the nearer tail is used.
    """
    start, stop = interval
    sign = -1.0 if start > 0 else 1.0
    near, far = (start, stop) if sign > 0 else (-stop, -start)
    first, last = normal_cdf(0.0, 1.0)(np.array([near, far])).tolist()
    if not last - first > 1e-12:
        return None
    plain = normal_cdf(sign * mean, std)

    def cdf(x: Doubles) -> Doubles:
        share = np.clip((plain(sign * np.asarray(x)) - first) / (last - first), 0, 1)
        return np.asarray(share if sign > 0 else 1 - share)

    return _clamped(cdf, low, high)
