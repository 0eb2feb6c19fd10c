"""The data: scikit-learn's copy of the UCI digits, 1,797 images of 8 x 8 pixels, which is part of that package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fanin

TEST = 360
"""Number of test images, a fifth of all images."""


@dataclass(frozen=True, slots=True)
class Split:
    """Images as rows of 64 float64 features, of mean 0 and variance 1 over the training images, and their labels."""

    images: NDArray[np.float64]
    labels: NDArray[np.intp]
    test_images: NDArray[np.float64]
    test_labels: NDArray[np.intp]


def digits() -> Split:
    """Return the same split every time. Pixels are ordered by 2 x 2 blocks, the places of a convolution."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    count = len(pixels)
    images = pixels.reshape(count, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(count, -1)
    order = permutations("split", 0, 1, count)[0]
    test, train = order[:TEST], order[TEST:]
    images = (images - images[train].mean()) / images[train].std()
    return Split(images[train], labels[train], images[test], labels[test])


def batches(seeds: Sequence[int], epochs: int, count: int) -> NDArray[np.intp]:
    """Return the order of `count` samples for each seed and epoch, with axes [seeds, epochs, count]."""
    return np.stack([permutations("order", seed, epochs, count) for seed in seeds])


def permutations(name: str, seed: int, rows: int, count: int) -> NDArray[np.intp]:
    """Return rows of shuffled numbers below `count`, sorted by Fanin's own uniform draws."""
    tensor: dict[str, Any] = {"shape": [rows, count], "scheme": "uniform", "low": 0.0, "high": 1.0, "dtype": "F64"}
    return np.argsort(fanin.materialize({"seed": seed, "tensors": {name: tensor}})[name], axis=1, kind="stable")
