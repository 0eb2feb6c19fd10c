"""Runs initializers of one library, in a process of its own: python sample.py LIBRARY CASES OUT.

CASES is JSON, OUT an .npz with what each gave. JAX and Keras start threads, which the tests' process must not have.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Draw = Callable[[str, dict[str, Any], list[int]], Any]


def torch_draws() -> Draw:
    import torch

    torch.manual_seed(1)

    def draw(name: str, parameters: dict[str, Any], shape: list[int]) -> Any:
        return getattr(torch.nn.init, name)(torch.full(shape, torch.nan), **parameters).numpy()

    return draw


def keras_draws() -> Draw:
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    keras.utils.set_random_seed(1)

    def draw(name: str, parameters: dict[str, Any], shape: list[int]) -> Any:
        return np.asarray(getattr(keras.initializers, name)(**parameters)(shape, "float32"))

    return draw


def jax_draws() -> Draw:
    import jax

    keys = iter(jax.random.split(jax.random.key(1), 1000))
    plain = {"zeros", "ones"}

    def draw(name: str, parameters: dict[str, Any], shape: list[int]) -> Any:
        initializer = getattr(jax.nn.initializers, name)
        return np.asarray((initializer if name in plain else initializer(**parameters))(next(keys), tuple(shape)))

    return draw


if __name__ == "__main__":
    library, cases, out = sys.argv[1:]
    draws: Draw = {"torch": torch_draws, "keras": keras_draws, "jax": jax_draws}[library]()
    np.savez(out, *[draws(name, parameters, shape) for _, name, parameters, shape in json.loads(cases)])
