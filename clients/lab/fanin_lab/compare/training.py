"""Train by stochastic gradient descent with momentum, for many seeds at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fanin_lab.compare.data import Split, batches
from fanin_lab.compare.networks import Array, Network, loss

BATCH = 64
MOMENTUM = 0.9
SEEN = 512
"""Number of training images for the reported loss."""
LOOKED_AT = 32
"""Number of test images by which units are compared."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Results of training, with axes [seeds, epochs + 1]. Epoch 0 is before training."""

    loss: Array
    """Mean cross-entropy of `SEEN` training images, in nats; NaN after an overflow."""
    accuracy: Array
    """Share of test images that are recognized."""
    units: Array
    """Number of different units of the first hidden layer after training, with axes [seeds]."""

    def __add__(self, other: Curves) -> Curves:
        """Return the curves of the seeds of both."""
        return Curves(*(np.concatenate([getattr(each, name) for each in (self, other)]) for name in self.__slots__))


def train(
    network: Network, scheme: Mapping[str, Any], seeds: Sequence[int], rate: float, epochs: int, data: Split
) -> Curves:
    """Train a network from each seed, in float32. The seed decides initial weights and the order of images."""
    weights = network.weights(scheme, seeds, np.float32)
    momentum = {name: np.zeros_like(array) for name, array in weights.items()}
    images, test_images = data.images.astype(np.float32), data.test_images.astype(np.float32)
    order = batches(seeds, epochs, len(images))
    losses, accuracies = [], []
    with np.errstate(all="ignore"):  # divergence is part of the figures
        for epoch in range(epochs + 1):
            if epoch:
                for first in range(0, len(images) - BATCH + 1, BATCH):
                    chosen = order[:, epoch - 1, first : first + BATCH]
                    trace = network.forward(weights, images[chosen])
                    _, gradient = loss(trace[-1][0], data.labels[chosen])
                    for _, _, of_parameters in network.backward(weights, trace, gradient / BATCH):
                        for name, value in of_parameters.items():
                            momentum[name] = MOMENTUM * momentum[name] + value
                            weights[name] -= rate * momentum[name]
            # Batch norm is tested with the statistics of training images (Ioffe & Szegedy 2015, algorithm 2).
            trained = network.forward(weights, images[None, :SEEN])
            tested = network.forward(weights, test_images[None], like=trained)
            losses.append(loss(trained[-1][0], data.labels[None, :SEEN])[0].mean(axis=1))
            accuracies.append((tested[-1][0].argmax(axis=-1) == data.test_labels).mean(axis=1))
        first_layer = network.hidden(tested)[0][:, :LOOKED_AT]
        units = [_different(replica.reshape(-1, network.units)) for replica in first_layer]
    return Curves(np.stack(losses, axis=1), np.stack(accuracies, axis=1), np.array(units))


def _different(outputs: Array) -> float:
    """Count units of [samples, units] that differ from all earlier units by a thousandth of the largest value."""
    largest = np.abs(outputs).max()
    if not np.isfinite(largest):
        return np.nan
    distance = np.abs(outputs[:, :, None] - outputs[:, None]).max(axis=0)
    return len(distance) - int(np.tril(distance <= largest / 1000, -1).any(axis=1).sum())
