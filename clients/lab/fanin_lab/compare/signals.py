"""Signals in networks before training: variances layer by layer, and the Jacobian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fanin_lab.compare.networks import Array, BatchNorm, Convolution, Dense, Network, Parameters, loss

SAMPLES = 128
"""Number of images for the measurement."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Variances over units and samples, with axes [replicas, depth]."""

    activations: Array
    """Variance of the activations of each hidden layer."""
    gradients: Array
    """Variance of the gradients of each sample's loss with respect to those activations."""
    silent: Array
    """Number of layers, with the output layer, whose weight gradients are all exactly 0. Axes [replicas]."""


def signals(network: Network, weights: Parameters, images: Array, labels: Array) -> Signals:
    """Return the signals of one forward and one backward pass of `images`, [samples, 64]."""
    trace = network.forward(weights, images[None])
    _, gradient = loss(trace[-1][0], labels[None])
    arrived, quiet = [], []
    for layer, of_input, of_parameters in network.backward(weights, trace, gradient):
        if isinstance(layer, (Dense, Convolution)):
            arrived.append(of_input.var(axis=(1, 2)))
            weight = of_parameters[f"{layer.name}.weight"]
            quiet.append(~weight.reshape(len(weight), -1).any(axis=1))
    return Signals(
        activations=np.stack([output.var(axis=(1, 2)) for output in network.hidden(trace)], axis=1),
        gradients=np.stack(arrived[-2::-1], axis=1),  # the last gradient is that of the images
        silent=np.sum(quiet, axis=0),
    )


def jacobian(network: Network, weights: Parameters, images: Array) -> Array:
    """Return the Jacobian of the last hidden layer's activations for the first image, with axes [features, 64].

    `weights` has one replica. One pass computes the rows of all features together.
    """
    if not any(isinstance(layer, BatchNorm) for layer in network.layers):
        images = images[:1]  # without batch norm the other images have no influence
    trace = network.forward(weights, images[None])[:-1]
    gradient = np.zeros((network.features, len(images), network.features))
    gradient[:, 0] = np.eye(network.features)
    for _, of_input, _ in network.backward(weights, trace, gradient):
        gradient = of_input
    return gradient[:, 0]


def spectra(network: Network, weights: Parameters, images: Array) -> Array:
    """Return singular values of the Jacobian, the largest first, [replicas, 64]; NaN where it overflowed."""
    matrices = (
        jacobian(network, {name: array[place : place + 1] for name, array in weights.items()}, images)
        for place in range(len(weights["output.bias"]))
    )
    return np.stack([_singular(matrix) for matrix in matrices])


def _singular(matrix: Array) -> Array:
    if not np.isfinite(matrix).all():
        return np.full(min(matrix.shape), np.nan)
    values: Array = np.linalg.svd(matrix, compute_uv=False)
    # Singular values below this limit are rounding errors, by the rule of `numpy.linalg.matrix_rank`.
    values[values <= values[0] * max(matrix.shape) * np.finfo(matrix.dtype).eps] = 0
    return values
