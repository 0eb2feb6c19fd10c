"""Models of Keras, filled from a recipe."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

from fanin.adapters import matching, slicers
from fanin.adapters.matching import Names, Wanted
from fanin.adapters.slicers import Source
from fanin.file_layout import FileLayout, FileLayoutLike
from fanin.keras.tensors import tensor


def init_(
    model: keras.Model | keras.layers.Layer,
    recipe: FileLayoutLike,
    *,
    names: Names | None = None,
    strict: bool = True,
    source: Source = "local",
    backend: str | None = None,
) -> None:
    """Fill the weights of a built model, or layer, in place; on Keras' backend of JAX each device makes its own shard.

    Args:
        model: Its `weights` are filled; the state of its metrics and random numbers is not.
        recipe: A recipe, or its `FileLayout`. A tensor has the name of its variable's `path`.
        names: For the path of a variable, the name of its tensor, or `(name, axes)` where the variable is
            `numpy.transpose(tensor, axes)`.
        strict: Every weight has a tensor, and every tensor a weight. Else weights without one stay as they are.
        source: "local" to make them here; the URL of a service, or a `fanin.Client`, to fetch them.
        backend: What makes them here.

    Raises:
        ValueError: the model is not built, or two weights have the same path.
        ModuleError: shape, type or name of a weight and its tensor do not agree. Tells of all, and has filled nothing.
        RecipeError, BackendError, ServiceError: the recipe is wrong; it cannot be made, or fetched.
    """
    if not model.built:
        raise ValueError(f"{model.name!r} is not built, and has no weights yet: model.build(input_shape)")
    variables = {variable.path: variable for variable in model.weights}
    if len(variables) < len(model.weights):
        raise ValueError(f"weights of {model.name!r} share a path: give its layers names of their own")
    wanted = {
        path: Wanted(tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype))
        for path, variable in variables.items()
    }
    found = matching.fit(FileLayout.of(recipe), wanted, names, strict=strict)
    with slicers.slicer(source, backend=backend) as take:
        for path, fit in found.items():
            variables[path].assign(_value(variables[path], fit, take))


def _value(variable: keras.Variable, fit: matching.Fit, take: slicers.Slicer) -> Any:
    if keras.backend.backend() == "jax":
        from fanin.jax.arrays import assembled

        return assembled(tuple(variable.shape), fit.entry.dtype, variable.value.sharding, partial(fit.part, take))
    return tensor(fit.part(take, [slice(None)] * len(variable.shape)), variable.dtype)
