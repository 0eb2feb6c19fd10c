"""Tensors of Keras' backend, made of NumPy arrays."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fanin.arrays import Array


def tensor(array: Array, dtype: str) -> Any:
    """The array as a tensor of this type, which is its own.

    Not every backend takes types that NumPy itself has not: they come in float32, which holds each of their values.
    """
    is_of_numpy = array.dtype.isbuiltin == 1
    return keras.ops.convert_to_tensor(array if is_of_numpy else array.astype(np.float32), dtype)
