"""One recipe fills the same network in PyTorch, Flax and Keras: the same bits, and the same outputs.

    KERAS_BACKEND=jax python docs/examples/parity.py

It needs torch, flax and keras. The recipes have PyTorch's names and layouts; a table for each says which tensor fills
which array of the other two, and in what order of axes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import flax.nnx as nnx
import keras
import numpy as np
import torch
from jax import Array

import fanin.jax
import fanin.keras
import fanin.torch

Recipe = dict[str, Any]
Names = dict[str, str | tuple[str, tuple[int, ...]]]

MLP: Recipe = {
    "seed": 42,
    "dialect": "torch",
    "tensors": {
        "hidden.weight": {"shape": [64, 20], "scheme": "kaiming_normal_", "nonlinearity": "relu"},
        "hidden.bias": {"shape": [64], "scheme": "uniform_", "a": -0.1, "b": 0.1},
        "head.weight": {"shape": [10, 64], "scheme": "xavier_uniform_"},
        "head.bias": {"shape": [10], "scheme": "zeros_"},
    },
}
CNN: Recipe = {
    "seed": 42,
    "dialect": "torch",
    "tensors": {
        "first.weight": {"shape": [8, 3, 3, 3], "scheme": "kaiming_normal_", "nonlinearity": "relu"},
        "first.bias": {"shape": [8], "scheme": "uniform_", "a": -0.1, "b": 0.1},
        "second.weight": {"shape": [16, 8, 5, 5], "scheme": "trunc_normal_", "std": 0.05},
        "second.bias": {"shape": [16], "scheme": "zeros_"},
        "head.weight": {"shape": [10, 16], "scheme": "xavier_uniform_"},
        "head.bias": {"shape": [10], "scheme": "zeros_"},
    },
}
# PyTorch has kernels (out, in) and (out, in, height, width); Flax and Keras (in, out) and (height, width, in, out).
MLP_NAMES: Names = {
    "hidden/kernel": ("hidden.weight", (1, 0)),
    "hidden/bias": "hidden.bias",
    "head/kernel": ("head.weight", (1, 0)),
    "head/bias": "head.bias",
}
CNN_NAMES: Names = {
    "first/kernel": ("first.weight", (2, 3, 1, 0)),
    "first/bias": "first.bias",
    "second/kernel": ("second.weight", (2, 3, 1, 0)),
    "second/bias": "second.bias",
    "head/kernel": ("head.weight", (1, 0)),
    "head/bias": "head.bias",
}


# ---- PyTorch ------------------------------------------------------------------------------------------------------


class TorchMLP(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = torch.nn.Linear(20, 64), torch.nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(torch.relu(self.hidden(x)))


class TorchCNN(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 16, 5, stride=2)
        self.head = torch.nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> Any:
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.head(x.mean((2, 3)))


# ---- Flax ---------------------------------------------------------------------------------------------------------


class FlaxMLP(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.hidden, self.head = nnx.Linear(20, 64, rngs=rngs), nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return self.head(nnx.relu(self.hidden(x)))


class FlaxCNN(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Conv(3, 8, (3, 3), padding="VALID", rngs=rngs)
        self.second = nnx.Conv(8, 16, (5, 5), strides=2, padding="VALID", rngs=rngs)
        self.head = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = nnx.relu(self.second(nnx.relu(self.first(x))))
        return self.head(x.mean((1, 2)))


# ---- Keras --------------------------------------------------------------------------------------------------------


def keras_mlp() -> keras.Model:
    inputs = keras.Input((20,))
    x = keras.layers.Dense(64, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(10, name="head")(x))


def keras_cnn() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="first")(inputs)
    x = keras.layers.Conv2D(16, 5, strides=2, activation="relu", name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="head")(x))


# ---- compared -----------------------------------------------------------------------------------------------------


def sha256(weights: Mapping[str, Any], names: Names) -> str:
    """Digest of all weights, which are given by their paths, in the recipe's layout and by its names."""
    back = {}
    for path, weight in weights.items():
        said = names.get(path, path)
        name, axes = said if isinstance(said, tuple) else (said, range(weight.ndim))
        back[name] = np.transpose(weight, np.argsort(axes)).tobytes()
    return hashlib.sha256(b"".join(back[name] for name in sorted(back))).hexdigest()


def torch_side(model: torch.nn.Module, recipe: Recipe, inputs: np.ndarray) -> tuple[str, np.ndarray]:
    """SHA-256 of the filled model's weights, and its outputs."""
    fanin.torch.init_(model, recipe)
    with torch.no_grad():
        outputs = model(torch.from_numpy(inputs).movedim(-1, 1)).numpy()  # channels come first
    return sha256({name: weight.numpy(force=True) for name, weight in model.named_parameters()}, {}), outputs


def flax_side(
    build: Callable[[nnx.Rngs], Any], recipe: Recipe, names: Names, inputs: np.ndarray
) -> tuple[str, np.ndarray]:
    """The same, of a model that never had other weights."""
    graph, shapes = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))))
    state = fanin.jax.init(shapes, recipe, names=names)
    weights = {"/".join(path): np.asarray(weight) for path, weight in nnx.to_flat_state(state)}
    return sha256(weights, names), np.asarray(nnx.merge(graph, state)(inputs))


def keras_side(model: keras.Model, recipe: Recipe, names: Names, inputs: np.ndarray) -> tuple[str, np.ndarray]:
    """The same, on the current backend of Keras."""
    fanin.keras.init_(model, recipe, names=names)
    weights = {weight.path: keras.ops.convert_to_numpy(weight.value) for weight in model.weights}
    return sha256(weights, names), keras.ops.convert_to_numpy(model(inputs))


def main() -> None:
    draw = np.random.default_rng(0).standard_normal
    images, rows = draw((4, 16, 16, 3), np.float32), draw((4, 20), np.float32)
    for title, recipe, names, inputs, in_torch, in_flax, in_keras in (
        ("MLP", MLP, MLP_NAMES, rows, TorchMLP, FlaxMLP, keras_mlp),
        ("CNN", CNN, CNN_NAMES, images, TorchCNN, FlaxCNN, keras_cnn),
    ):
        digest, outputs = torch_side(in_torch(), recipe, inputs)
        print(f"{title} in PyTorch: {digest}")
        for framework, (bits, made) in {
            "Flax": flax_side(in_flax, recipe, names, inputs),
            f"Keras on {keras.backend.backend()}": keras_side(in_keras(), recipe, names, inputs),
        }.items():
            print(f"{title} in {framework}: {bits}, outputs differ by {np.abs(made - outputs).max():.1e}")
            if bits != digest or not np.allclose(made, outputs, rtol=1e-5, atol=1e-6):
                raise SystemExit(f"{framework} differs")


if __name__ == "__main__":
    main()
