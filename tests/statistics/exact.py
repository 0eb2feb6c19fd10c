"""Every random scheme with the distribution function of an element, from the published formula alone.

The function maps elements with this distribution to uniform numbers in (0, 1). `tests.statistics` tests that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Doubles = NDArray[np.float64]
Cdf = Callable[[Any], Any]

SHAPE = (128, 512)
"""Shape of every tensor, as a Keras kernel: fan_in 128, fan_out 512."""
FAN_IN, FAN_OUT = SHAPE


@dataclass(frozen=True)
class Sample:
    """A scheme with parameters, and the distribution of its elements."""

    name: str
    tensor: Mapping[str, Any]
    uniform: Callable[[Any], Doubles]
    """Maps a tensor's values to independent uniform numbers in (0, 1)."""
    support: tuple[float, float]
    """Bounds of the values, or of their moduli if they are complex."""


def _of(name: str, distribution: Any, /, **tensor: Any) -> Sample:
    """Return a sample with the distribution `distribution` of SciPy."""
    return Sample(name, tensor, lambda x: np.asarray(distribution.cdf(x)).reshape(-1), distribution.support())


def _limits(limit: float) -> Any:
    return stats.uniform(-limit, 2 * limit)


def _cut(std: float, low: float, high: float, mean: float = 0) -> Any:
    return stats.truncnorm(low, high, mean, std)


def _softplus(x: Any) -> Any:
    return np.logaddexp(0, x)


def _inverse_softplus(x: float) -> float:
    return float(np.log(np.expm1(x)))


def _blocks(x: Any) -> Doubles:
    parts = np.split(x, [50, 51, 100])
    distributions = stats.norm(0, 0.5), _limits((6 / (49 + FAN_OUT)) ** 0.5), _cut(0.02, -1, 2)
    return np.concatenate(
        [
            distribution.cdf(part).reshape(-1)
            for distribution, part in zip(distributions, (parts[0], *parts[2:]), strict=True)
        ]
    )


def _not_zero(std: float) -> Callable[[Any], Doubles]:
    return lambda x: np.asarray(stats.norm(0, std).cdf(x[x != 0]))


def _parts(std: float) -> Callable[[Any], Doubles]:
    """Return the map of normal complex numbers to uniform numbers: of both parts."""
    distribution = stats.norm(0, std / 2**0.5)
    return lambda z: np.asarray(distribution.cdf(np.stack([z.real, z.imag], -1))).reshape(-1)


def _polar(modulus: Cdf) -> Callable[[Any], Doubles]:
    """Return the map of complex numbers to uniform numbers: of modulus and angle."""

    def uniform(z: Any) -> Doubles:
        angle = np.angle(z) / (2 * np.pi) + 0.5
        return np.stack([modulus(np.abs(z)), angle], -1).reshape(-1)

    return uniform


def _complex_cut(std: float, high: float) -> Cdf:
    """Return the distribution function of the modulus. |z|^2 is exponential up to the cut."""
    return lambda r: np.expm1(-((r / std) ** 2)) / np.expm1(-(high**2))


S = float(stats.truncnorm.std(-2, 2))
COMPLEX_S = float(np.sqrt(1 - 4 / np.expm1(4)))
AVERAGE = (FAN_IN + FAN_OUT) / 2
DEPTHS = {"encoder_layers": 6, "decoder_layers": 9}
RADII = 0.9, 0.999
BLOCKS = [
    {"size": 50, "scheme": "normal", "std": 0.5},
    {"size": 1, "scheme": "zeros"},
    {"size": 49, "scheme": "glorot_uniform"},
    {"size": 28, "scheme": "truncated_normal", "std": 0.02, "low": -1, "high": 2},
]

SAMPLES = (
    _of("uniform", stats.uniform(-0.1, 0.5), scheme="uniform", low=-0.1, high=0.4),
    _of("normal", stats.norm(0.5, 2), scheme="normal", mean=0.5, std=2),
    _of("truncated normal", _cut(2, -1, 3, 0.5), scheme="truncated_normal", mean=0.5, std=2, low=-1, high=3),
    _of("variance scaling", _cut((3 / AVERAGE) ** 0.5 / S, -2, 2), scheme="variance_scaling", scale=3, mode="fan_avg"),
    _of("Glorot uniform", _limits((3 / AVERAGE) ** 0.5), scheme="glorot_uniform"),
    _of("Glorot normal", stats.norm(0, AVERAGE**-0.5), scheme="glorot_normal"),
    _of("He uniform", _limits((6 / FAN_IN) ** 0.5), scheme="he_uniform"),
    _of("He normal", stats.norm(0, (2 / FAN_OUT) ** 0.5), scheme="he_normal", mode="fan_out"),
    _of("LeCun uniform", _limits((3 / FAN_IN) ** 0.5), scheme="lecun_uniform"),
    _of("LeCun normal", _cut(FAN_IN**-0.5 / S, -2, 2), scheme="lecun_normal", truncated=True),
    _of("fan uniform", _limits(7**-0.5), scheme="fan_uniform", fan=7),
    _of("SIREN", _limits((6 / FAN_IN) ** 0.5 / 30), scheme="siren"),
    _of("SIREN, first layer", _limits(1 / FAN_IN), scheme="siren", first=True),
    _of("scaled normal", stats.norm(0, 0.02 / 24**0.5), scheme="scaled_normal", std=0.02, depth=24),
    _of("scaled normal, cut", _cut(0.1, -3, 3), scheme="scaled_normal", std=1, width=25, depth=4, cut=3),
    _of("small", stats.norm(0, (2 / 5000) ** 0.5), scheme="small_init", width=1000),
    _of("Wang", stats.norm(0, 2 / (7 * 1000**0.5)), scheme="wang_init", width=1000, layers=7),
    _of(
        "DeepNorm",
        stats.norm(0, AVERAGE**-0.5 * 0.87 * (6**4 * 9) ** (-1 / 16)),
        scheme="deepnorm",
        side="encoder",
        **DEPTHS,
    ),
    _of(
        "SubLN",
        _limits((3 / AVERAGE * np.log(27) * np.log(12) / 3) ** 0.5),
        scheme="subln",
        side="encoder",
        distribution="uniform",
        **DEPTHS,
    ),
    _of("Fixup", stats.norm(0, (2 / FAN_IN) ** 0.5 / 2), scheme="fixup", layers=16, branch_layers=3),
    Sample("blocks", {"scheme": "blocks", "parts": BLOCKS}, _blocks, (-np.inf, np.inf)),
    Sample("sparse", {"scheme": "sparse", "sparsity": 0.3, "std": 0.01}, _not_zero(0.01), (-np.inf, np.inf)),
    Sample(
        "log of uniform",
        {"scheme": "log_of_uniform", "low": 0.01},
        lambda x: (np.exp(x).reshape(-1) - 0.01) / 15.99,
        (np.log(0.01), np.log(16)),
    ),
    Sample(
        "bias of time steps",
        {"scheme": "dt_bias"},
        lambda x: np.log(_softplus(x) / 0.001).reshape(-1) / np.log(100),
        (_inverse_softplus(0.001), _inverse_softplus(0.1)),
    ),
    Sample(
        "RG-LRU",
        {"scheme": "rg_lru"},
        lambda x: (np.exp(-2 * _softplus(x)).reshape(-1) - RADII[0] ** 2) / (RADII[1] ** 2 - RADII[0] ** 2),
        (_inverse_softplus(-np.log(RADII[1])), _inverse_softplus(-np.log(RADII[0]))),
    ),
    Sample(
        "RG-LRU of Griffin",
        {"scheme": "rg_lru", "variant": "griffin"},
        lambda x: (np.exp(-8 * _softplus(x)).reshape(-1) - RADII[0]) / (RADII[1] - RADII[0]),
        (_inverse_softplus(-np.log(RADII[1]) / 8), _inverse_softplus(-np.log(RADII[0]) / 8)),
    ),
    Sample(
        "LRU",
        {"scheme": "lru_nu"},
        lambda x: (np.exp(-2 * np.exp(x)).reshape(-1) - RADII[0] ** 2) / (RADII[1] ** 2 - RADII[0] ** 2),
        (np.log(-np.log(RADII[1])), np.log(-np.log(RADII[0]))),
    ),
    Sample(
        "uniform gates",
        {"scheme": "logit_of_uniform", "low": 1 / 512, "high": 511 / 512},
        lambda x: (1 / (1 + np.exp(-x)).reshape(-1) - 1 / 512) / (510 / 512),
        (-np.log(511), np.log(511)),
    ),
    _of("spectral", stats.norm(0, 0.7 * FAN_IN**-0.5), scheme="spectral_mup", gain=0.7),
    _of(
        "T-Fixup",
        _limits((3 / AVERAGE) ** 0.5 * 0.67 * 6**-0.25),
        scheme="t_fixup",
        layers=6,
        side="encoder",
    ),
    Sample("complex normal", {"scheme": "normal", "std": 2, "dtype": "C64"}, _parts(2), (0, np.inf)),
    Sample(
        "complex uniform",
        {"scheme": "uniform", "low": -3, "high": 3, "dtype": "C64"},
        _polar(lambda r: (r / 3) ** 2),
        (0, 3),
    ),
    Sample(
        "complex truncated normal",
        {"scheme": "truncated_normal", "std": 0.5, "low": -1.5, "high": 1.5, "dtype": "C64"},
        _polar(_complex_cut(0.5, 1.5)),
        (0, 0.75),
    ),
    Sample(
        "complex He uniform",
        {"scheme": "he_uniform", "dtype": "C64"},
        _polar(lambda r: r**2 * FAN_IN / 4),
        (0, (4 / FAN_IN) ** 0.5),
    ),
    Sample("complex Glorot normal", {"scheme": "glorot_normal", "dtype": "C64"}, _parts(AVERAGE**-0.5), (0, np.inf)),
    Sample(
        "complex LeCun normal",
        {"scheme": "lecun_normal", "truncated": True, "dtype": "C64"},
        _polar(_complex_cut(FAN_IN**-0.5 / COMPLEX_S, 2)),
        (0, 2 * FAN_IN**-0.5 / COMPLEX_S),
    ),
)
