"""A recipe's tensors as arrays of MLX."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from fanin.adapters import slicers
from fanin.adapters.slicers import Service
from fanin.arrays import Array
from fanin.dtypes import DTYPE_NAMES
from fanin.file.layout import FileLayout, FileLayoutLike


def array(recipe: FileLayoutLike, name: str, *, service: Service | None = None, backend: str | None = None) -> mx.array:
    """Return the tensor `name` of the recipe. Its bits are those of `fanin.materialize`; nothing else is generated.

        >>> fanin.mlx.array(recipe, "embedding.weight")

    Args:
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`.
        name: One of its tensors.
        service: The URL of a service, or a `fanin.Client`, to fetch the tensor from. By default it is generated here.
        backend: Name of the backend that generates it here.

    Raises:
        RecipeError: the recipe is wrong.
        KeyError: it has no tensor of this name.
        TypeError: MLX has no type for its elements, as for F8_E4M3.
        BackendError: the backend cannot be used here.
        ServiceError: the service cannot be reached or refuses.
    """
    layout = FileLayout.of(recipe)
    type_of(layout.entry(name).dtype.numpy)
    with slicers.slicer(service, backend=backend) as take:
        return converted(take(layout, name, ...))


def arrays(
    recipe: FileLayoutLike, *, service: Service | None = None, backend: str | None = None
) -> dict[str, mx.array]:
    """Return every tensor of the recipe by name, each as `array` does.

    Raises:
        RecipeError, TypeError, BackendError, ServiceError: as `array`. Nothing was generated then.
    """
    layout = FileLayout.of(recipe)
    for entry in layout.entries:
        type_of(entry.dtype.numpy)
    with slicers.slicer(service, backend=backend) as take:
        return {name: converted(take(layout, name, ...)) for name in layout.recipe.tensors}


def type_of(dtype: np.dtype[Any]) -> mx.Dtype:
    """Return the type of MLX for a type of NumPy.

    Raises:
        TypeError: MLX has none.
    """
    found = getattr(mx, "bool_" if dtype.name == "bool" else dtype.name, None)
    if not isinstance(found, mx.Dtype):
        raise TypeError(f"dtype {DTYPE_NAMES.get(dtype.name, dtype.name)}: MLX has no such type")
    return found


def name_of(dtype: mx.Dtype) -> str:
    """Return NumPy's name of a type of MLX."""
    return str(dtype).rpartition(".")[2]


def converted(values: Array) -> mx.array:
    """Return a copy of a NumPy array as an array of MLX, with the same bits.

    Raises:
        TypeError: MLX has no type for its elements.
    """
    # Without a type, MLX would round float64 to float32.
    return mx.array(values, dtype=type_of(values.dtype))
