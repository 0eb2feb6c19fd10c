"""The compared initializers, as tensors of Fanin recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Compared:
    """A scheme with its parameters."""

    label: str
    """Name for readers."""
    tensor: dict[str, Any]
    """Recipe members of a weight, without its shape."""
    about: str
    """Reason to compare it."""


SCHEMES: dict[str, Compared] = {
    "zeros": Compared("zeros", {"scheme": "zeros"}, "the first thing one might try"),
    "constant": Compared("constant 0.05", {"scheme": "constant", "value": 0.05}, "all weights equal, and not zero"),
    "small_normal": Compared(
        "normal, std 0.01", {"scheme": "normal", "std": 0.01}, "the same deviation for every layer, too small here"
    ),
    "large_normal": Compared(
        "normal, std 1", {"scheme": "normal", "std": 1.0}, "the same deviation for every layer, too large here"
    ),
    "torch_default": Compared(
        "torch's default",
        {"scheme": "variance_scaling", "scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
        "torch.nn.Linear and Conv2d: U(+-1/sqrt(fan_in)), a variance of 1 / (3 fan_in)",
    ),
    "lecun_normal": Compared("LeCun normal", {"scheme": "lecun_normal"}, "variance 1 / fan_in (LeCun et al. 1998)"),
    "glorot_uniform": Compared(
        "Glorot uniform", {"scheme": "glorot_uniform"}, "variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010)"
    ),
    "he_normal": Compared("He normal", {"scheme": "he_normal"}, "variance 2 / fan_in (He et al. 2015)"),
    "orthogonal": Compared(
        "orthogonal", {"scheme": "orthogonal"}, "orthonormal rows or columns, gain 1 (Saxe et al. 2013)"
    ),
    "orthogonal_relu": Compared(
        "√2 orthogonal", {"scheme": "orthogonal", "gain": 2**0.5}, "the same, with the gain for ReLU"
    ),
}
"""Compared initializers, by the names of the option `--schemes`."""
SYMMETRIC = ("zeros", "constant")
"""Schemes that start all units of a layer with equal weights."""
