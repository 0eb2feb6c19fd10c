"""Models of Keras, filled from a recipe."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar

import keras

from fanin.adapters import matching, slicers
from fanin.adapters.inputs import Given
from fanin.adapters.matching import Names, Wanted
from fanin.adapters.slicers import Service
from fanin.file.layout import FileLayoutLike
from fanin.keras.tensors import tensor

Model = TypeVar("Model", bound="keras.Model | keras.layers.Layer")


def init_(
    model: Model,
    recipe: FileLayoutLike,
    *,
    seed: int | str | None = None,
    names: Names | None = None,
    strict: bool = True,
    service: Service | None = None,
    backend: str | None = None,
) -> Model:
    """Fill the weights of a built model or layer in place, and return the model or layer.

    On Keras's backend of JAX, each device generates its own shard.

        >>> fanin.keras.init_(model, pathlib.Path("recipe.json"), seed=42)

    Args:
        model: Its `weights` are filled. The state of its metrics and random numbers is not.
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`; the literals of a `Recording`
            are filled in too. A tensor has the name of its variable's `path`.
        seed: 0 to 2^64 - 1, in place of the recipe's own.
        names: By the path of a variable, the name of its tensor, or `(name, axes)` if the variable is
            `numpy.transpose(tensor, axes)`.
        strict: Whether every weight must have a tensor and every tensor a weight. If not, other weights stay as they
            are.
        service: The URL of a service, or a `fanin.Client`, to fetch the weights from. By default they are generated
            here.
        backend: Name of the backend that generates them here.

    Raises:
        ValueError: the model is not built, two weights have the same path, or a value of `names` is wrong.
        ModuleError: shape, type or name of a weight and its tensor differ; one fault for each. Nothing was filled.
        RecipeError, FileError, OSError: the recipe is wrong or cannot be read.
        BackendError, ServiceError: the weights cannot be generated, or fetched.
    """
    if not model.built:
        raise ValueError(f"{model.name!r} is not built, and has no weights yet: model.build(input_shape)")
    variables = {variable.path: variable for variable in model.weights}
    if len(variables) < len(model.weights):
        raise ValueError(f"weights of {model.name!r} share a path: give its layers different names")
    wanted = {
        path: Wanted(tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype))
        for path, variable in variables.items()
    }
    found = matching.fit(Given.of(recipe, seed), wanted, names, strict=strict)
    with slicers.slicer(service, backend=backend) as take:
        for path, fit in found.items():
            variables[path].assign(_value(variables[path], fit, take))
    return model


def _value(variable: keras.Variable, fit: matching.Fit, take: slicers.Slicer) -> Any:
    if keras.backend.backend() == "jax":
        from fanin.jax.arrays import assembled

        return assembled(tuple(variable.shape), fit.dtype, variable.value.sharding, partial(fit.part, take))
    return tensor(fit.part(take, [slice(None)] * len(variable.shape)), variable.dtype)
