"""Modules of `mlx.nn`, filled from a recipe by the names of their parameters."""

from __future__ import annotations

from typing import Any, TypeVar

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from fanin.adapters import matching, slicers
from fanin.adapters.inputs import Given
from fanin.adapters.matching import Names, Wanted
from fanin.adapters.slicers import Service
from fanin.file.layout import FileLayoutLike
from fanin.mlx.arrays import converted

Module = TypeVar("Module")
"""A module of `mlx.nn`."""


def init_(
    module: Module,
    recipe: FileLayoutLike,
    *,
    seed: int | str | None = None,
    names: Names | None = None,
    strict: bool = True,
    service: Service | None = None,
    backend: str | None = None,
) -> Module:
    """Fill the parameters of a module in place, and return the module.

    MLX computes an array when it is used. The random numbers with which a module is created are therefore never
    computed if `init_` is called first.

        >>> fanin.mlx.init_(model, pathlib.Path("recipe.json"), seed=42)

    Args:
        module: Its `parameters()` are filled, also frozen ones such as the statistics of a batch normalization.
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`; the literals of a `Recording`
            are filled in too. A tensor has the name of its parameter, as `mlx.utils.tree_flatten` writes it:
            "layers.0.weight".
        seed: 0 to 2^64 - 1, in place of the recipe's own.
        names: By the name of a parameter, the name of its tensor, or `(name, axes)` if the parameter is
            `numpy.transpose(tensor, axes)`. MLX has kernels (out, \\*k, in): `(name, (0, 2, 3, 1))` of one of PyTorch.
        strict: Whether every parameter must have a tensor and every tensor a parameter. If not, other parameters stay
            as they are.
        service: The URL of a service, or a `fanin.Client`, to fetch the tensors from. By default they are generated
            here.
        backend: Name of the backend that generates them here.

    Raises:
        ModuleError: shape, type or name of a parameter and its tensor differ; one fault for each. Nothing was filled.
        ValueError: a value of `names` is wrong.
        RecipeError, FileError, OSError: the recipe is wrong or cannot be read.
        BackendError, ServiceError: the tensors cannot be generated, or fetched.
    """
    model: Any = module
    parameters: dict[str, Any] = dict(tree_flatten(model.parameters()))
    wanted = {path: Wanted(tuple(each.shape), name_of(each.dtype)) for path, each in parameters.items()}
    found = matching.fit(Given.of(recipe, seed), wanted, names, strict=strict)
    with slicers.slicer(service, backend=backend) as take:
        filled = [
            (path, converted(fit.part(take, [slice(None)] * len(wanted[path].shape)))) for path, fit in found.items()
        ]
    if filled:
        model.update(tree_unflatten(filled), strict=False)
    return module


def name_of(dtype: mx.Dtype) -> str:
    """Return NumPy's name of a type of MLX."""
    return str(dtype).rpartition(".")[2]
