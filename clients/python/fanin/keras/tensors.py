"""Convert NumPy arrays to tensors of Keras' backend."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fanin.arrays import Array


def tensor(array: Array, dtype: str) -> Any:
    """Return the array as a tensor of its type, `dtype`.

    Some backends reject types that NumPy lacks. Arrays of such types are converted to float32 first, which represents
    each of their values.
    """
    is_of_numpy = array.dtype.isbuiltin == 1
    return keras.ops.convert_to_tensor(array if is_of_numpy else array.astype(np.float32), dtype)
