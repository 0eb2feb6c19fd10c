"""Networks in plain NumPy, forward and backward, many at a time.

The first axis of every array is replicas, one for each set of weights; the second is samples, the last features. A
backward pass is linear in its first gradient. One forward pass with one replica therefore serves many gradients, and
so a Jacobian is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

import fanin

Array = NDArray[Any]
Parameters = Mapping[str, Array]
"""Parameters by name, each with replicas as its first axis."""

INPUTS, CLASSES = 64, 10
"""Number of features of a sample, an image of 8 x 8 pixels, and number of classes."""
WIDTH = 64
"""Units of a dense hidden layer. It equals the number of inputs, so that the matrix is square."""
SIDE, CHANNELS = 4, 8
"""A convolution sees the image as 4 x 4 places of 2 x 2 pixels, and has 8 channels."""
EPSILON = 1e-5
"""Number that batch norm adds to the variance, as in torch."""
NETWORKS = {
    "dense": "dense layers of 64 units",
    "conv": "convolutions, 3 x 3, 8 channels, with periodic borders",
    "batch_norm": "dense layers of 64 units with batch norm before each activation",
}
"""Kinds of networks, with descriptions."""


def _gelu(x: Array) -> Array:
    y: Array = 0.5 * x * (1 + np.tanh(_GELU * x * (1 + 0.044715 * x * x)))
    return y


def _gelu_slope(x: Array, _: Array) -> Array:
    t = np.tanh(_GELU * x * (1 + 0.044715 * x * x))
    slope: Array = 0.5 * (1 + t + x * (1 - t * t) * _GELU * (1 + 3 * 0.044715 * x * x))
    return slope


_GELU = (2 / np.pi) ** 0.5
_SELU, _ALPHA = 1.0507009873554805, 1.6732632423543772

ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "linear": (lambda x: x, lambda _, y: np.ones_like(y)),
    "sigmoid": (lambda x: 0.5 + 0.5 * np.tanh(0.5 * x), lambda _, y: y * (1 - y)),
    "tanh": (np.tanh, lambda _, y: 1 - y * y),
    "relu": (lambda x: np.maximum(x, 0), lambda _, y: (y > 0).astype(y.dtype)),
    "gelu": (_gelu, _gelu_slope),
    "selu": (
        lambda x: np.where(x > 0, _SELU * x, _SELU * _ALPHA * np.expm1(np.minimum(x, 0))),
        lambda x, y: np.where(x > 0, _SELU, y + _SELU * _ALPHA).astype(x.dtype),
    ),
}
"""Functions, and their derivatives as functions of input and output. GELU is the usual approximation by tanh
(Hendrycks & Gimpel 2016, arXiv:1606.08415); SELU is of Klambauer et al. 2017 (arXiv:1706.02515)."""


class Layer(Protocol):
    """A layer of a network."""

    def tensors(self, scheme: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the parameters as tensors of a recipe. `scheme` is the scheme of the weights."""

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        """Return the output, and the values that `backward` needs."""

    def backward(self, parameters: Parameters, saved: Any, gradient: Array) -> tuple[Array, dict[str, Array]]:
        """Return the gradients of the input and of the parameters, summed over samples, from that of the output."""


@dataclass(frozen=True)
class Dense:
    """y = x W + b."""

    name: str
    inputs: int
    outputs: int

    def tensors(self, scheme: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        return {
            f"{self.name}.weight": {"shape": [self.inputs, self.outputs], **scheme},
            f"{self.name}.bias": {"shape": [self.outputs], "scheme": "zeros"},
        }

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        return x @ parameters[f"{self.name}.weight"] + parameters[f"{self.name}.bias"][:, None], x

    def backward(self, parameters: Parameters, saved: Any, gradient: Array) -> tuple[Array, dict[str, Array]]:
        weight = parameters[f"{self.name}.weight"]
        return gradient @ weight.swapaxes(1, 2), {
            f"{self.name}.weight": saved.swapaxes(1, 2) @ gradient,
            f"{self.name}.bias": gradient.sum(axis=1),
        }


PLACES = np.arange(SIDE * SIDE)


def _neighbours() -> NDArray[np.intp]:
    """Return the place that each tap of the kernel reads, with axes [places, 9]."""
    row, column = np.divmod(PLACES[:, None], SIDE)
    down, right = np.divmod(np.arange(9), 3)
    seen: NDArray[np.intp] = (row + down - 1) % SIDE * SIDE + (column + right - 1) % SIDE
    return seen


NEIGHBOURS = _neighbours()


@dataclass(frozen=True)
class Convolution:
    """A 3 x 3 convolution of stride 1 on a torus: every place has nine neighbours, so no border loses variance.

    The borders are periodic as in Xiao et al. 2018 (arXiv:1806.05393). Features are places, then channels. On this
    small image one dense matrix with shared weights is fastest.
    """

    name: str
    inputs: int
    outputs: int

    def tensors(self, scheme: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        return {
            f"{self.name}.weight": {"shape": [3, 3, self.inputs, self.outputs], **scheme},
            f"{self.name}.bias": {"shape": [self.outputs], "scheme": "zeros"},
        }

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        weight = parameters[f"{self.name}.weight"]
        count = len(weight)
        blocks = np.zeros((count, len(PLACES), self.inputs, len(PLACES), self.outputs), weight.dtype)
        taps = weight.reshape(count, 9, self.inputs, self.outputs)
        blocks[:, NEIGHBOURS, :, PLACES[:, None]] = taps.swapaxes(0, 1)
        matrix = blocks.reshape(count, len(PLACES) * self.inputs, -1)
        bias = np.tile(parameters[f"{self.name}.bias"], len(PLACES))
        return x @ matrix + bias[:, None], (x, matrix)

    def backward(self, parameters: Parameters, saved: Any, gradient: Array) -> tuple[Array, dict[str, Array]]:
        x, matrix = saved
        shape = len(PLACES), self.inputs, len(PLACES), self.outputs
        of_matrix = (x.swapaxes(1, 2) @ gradient).reshape(-1, *shape)
        of_taps = of_matrix[:, NEIGHBOURS, :, PLACES[:, None]].sum(axis=0).swapaxes(0, 1)
        of_bias = gradient.sum(axis=1).reshape(-1, len(PLACES), self.outputs).sum(axis=1)
        weight = parameters[f"{self.name}.weight"]
        return gradient @ matrix.swapaxes(1, 2), {
            f"{self.name}.weight": of_taps.reshape(-1, *weight.shape[1:]),
            f"{self.name}.bias": of_bias,
        }


@dataclass(frozen=True)
class BatchNorm:
    """Normalizes each feature to mean 0 and variance 1 over the samples, then applies gamma and beta.

    Ioffe & Szegedy 2015 (arXiv:1502.03167).
    """

    name: str
    features: int

    def tensors(self, scheme: Mapping[str, Any]) -> dict[str, dict[str, Any]]:  # noqa: ARG002
        return {
            f"{self.name}.gamma": {"shape": [self.features], "scheme": "batch_norm_gamma"},
            f"{self.name}.beta": {"shape": [self.features], "scheme": "batch_norm_beta"},
        }

    def forward(
        self, parameters: Parameters, x: Array, statistics: tuple[Array, Array] | None = None
    ) -> tuple[Array, Any]:
        """Normalize by the statistics of the samples, or by the given mean and variance."""
        mean, variance = statistics or (x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True))
        scale = 1 / np.sqrt(variance + EPSILON)
        normal = (x - mean) * scale
        y = normal * parameters[f"{self.name}.gamma"][:, None] + parameters[f"{self.name}.beta"][:, None]
        return y, (normal, scale, (mean, variance))

    def backward(self, parameters: Parameters, saved: Any, gradient: Array) -> tuple[Array, dict[str, Array]]:
        normal, scale, _ = saved
        of_gamma = (gradient * normal).sum(axis=1)
        of_beta = gradient.sum(axis=1)
        count = gradient.shape[1]
        centred = gradient - (of_beta[:, None] + normal * of_gamma[:, None]) / count
        to_input = centred * (scale * parameters[f"{self.name}.gamma"][:, None])
        return to_input, {f"{self.name}.gamma": of_gamma, f"{self.name}.beta": of_beta}


@dataclass(frozen=True)
class Activation:
    """An elementwise function of the features."""

    name: str

    def tensors(self, scheme: Mapping[str, Any]) -> dict[str, dict[str, Any]]:  # noqa: ARG002
        return {}

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:  # noqa: ARG002
        y = ACTIVATIONS[self.name][0](x)
        return y, (x, y)

    def backward(self, parameters: Parameters, saved: Any, gradient: Array) -> tuple[Array, dict[str, Array]]:  # noqa: ARG002
        return gradient * ACTIVATIONS[self.name][1](*saved), {}


Trace = list[tuple[Array, Any]]
"""Output of each layer, and the values that it saved."""


@dataclass(frozen=True)
class Network:
    """A network of `depth` hidden layers of one kind and an output layer. Weights have one scheme, biases are 0."""

    kind: str
    activation: str
    depth: int

    @cached_property
    def layers(self) -> list[Layer]:
        """Layers, from the input to the output."""
        layers: list[Layer] = []
        for place in range(self.depth):
            name = f"hidden.{place}"
            if self.kind == "conv":
                layers.append(Convolution(name, CHANNELS if place else INPUTS // SIDE**2, CHANNELS))
            else:
                layers.append(Dense(name, WIDTH if place else INPUTS, WIDTH))
            if self.kind == "batch_norm":
                layers.append(BatchNorm(f"{name}.norm", WIDTH))
            layers.append(Activation(self.activation))
        return [*layers, Dense("output", self.features, CLASSES)]

    @property
    def features(self) -> int:
        """Number of features of a hidden layer."""
        return SIDE * SIDE * CHANNELS if self.kind == "conv" else WIDTH

    @property
    def units(self) -> int:
        """Number of hidden units with separate weights: channels of a convolution."""
        return CHANNELS if self.kind == "conv" else WIDTH

    def recipe(self, scheme: Mapping[str, Any], seed: int) -> dict[str, Any]:
        """Return the Fanin recipe of the initial weights."""
        tensors = [layer.tensors(scheme) for layer in self.layers]
        return {"seed": seed, "tensors": {name: tensor for each in tensors for name, tensor in each.items()}}

    def weights(self, scheme: Mapping[str, Any], seeds: Sequence[int], dtype: DTypeLike) -> dict[str, Array]:
        """Return initial weights, with a replica for each seed."""
        made = [fanin.materialize(self.recipe(scheme, seed)) for seed in seeds]
        return {name: np.stack([each[name] for each in made]).astype(dtype) for name in made[0]}

    def forward(self, parameters: Parameters, x: Array, like: Trace | None = None) -> Trace:
        """Return every layer's output. Batch norm uses the statistics of `x`, or those of an earlier pass, `like`."""
        trace: Trace = []
        for place, layer in enumerate(self.layers):
            if like and isinstance(layer, BatchNorm):
                trace.append(layer.forward(parameters, x, like[place][1][2]))
            else:
                trace.append(layer.forward(parameters, x))
            x = trace[-1][0]
        return trace

    def backward(
        self, parameters: Parameters, trace: Trace, gradient: Array
    ) -> Iterator[tuple[Layer, Array, dict[str, Array]]]:
        """Yield layer, gradient of its input and gradients of its parameters, from the last layer to the first."""
        for layer, (_, saved) in reversed(list(zip(self.layers, trace))):
            gradient, of_parameters = layer.backward(parameters, saved, gradient)
            yield layer, gradient, of_parameters

    def hidden(self, trace: Trace) -> list[Array]:
        """Return the activations of each hidden layer."""
        return [output for layer, (output, _) in zip(self.layers, trace) if isinstance(layer, Activation)]


def loss(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Return the cross-entropy of each sample, in nats, and its gradient."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exponents = np.exp(shifted)
    sums = exponents.sum(axis=-1, keepdims=True)
    wanted = np.take_along_axis(shifted, labels[..., None], -1)
    hot = (labels[..., None] == np.arange(logits.shape[-1])).astype(logits.dtype)
    return (np.log(sums) - wanted)[..., 0], exponents / sums - hot
