"""Modules of `mlx.nn`, filled from a recipe by the names of their parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import mlx.core as mx
from mlx.nn.layers.base import Module as MLXModule

from fanin.adapters import matching, slicers
from fanin.adapters.inputs import Given
from fanin.adapters.matching import Names, Wanted
from fanin.adapters.slicers import Service
from fanin.errors import Fault, ModuleError, pointer
from fanin.file.layout import FileLayoutLike
from fanin.mlx.arrays import converted, name_of

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
            "layers.0.weight". A module that is used twice has its parameters once, under any one of their names.
        seed: 0 to 2^64 - 1, in place of the recipe's own.
        names: By the name of a parameter, the name of its tensor, or `(name, axes)` if the parameter is
            `numpy.transpose(tensor, axes)`. MLX has kernels (out, \\*k, in): `(name, (0, 2, 3, 1))` of one of PyTorch.
        strict: Whether every parameter must have a tensor and every tensor a parameter. If not, other parameters stay
            as they are.
        service: The URL of a service, or a `fanin.Client`, to fetch the tensors from. By default they are generated
            here.
        backend: Name of the backend that generates them here.

    Raises:
        TypeError: `module` is not a module of MLX.
        ModuleError: shape, type or name of a parameter and its tensor differ; one fault for each. Nothing was filled.
        ValueError: two parameters have the same path, or a value of `names` is wrong.
        RecipeError, FileError, OSError: the recipe is wrong or cannot be read.
        BackendError, ServiceError: the tensors cannot be generated, or fetched.
    """
    if not isinstance(module, MLXModule):
        raise TypeError(f"module must be an mlx.nn.Module, not {type(module).__name__}")
    given, names = Given.of(recipe, seed), names or {}
    places = _chosen(_places(module), given, names, strict=strict)
    wanted = {path: Wanted(tuple(place.array.shape), name_of(place.array.dtype)) for path, place in places.items()}
    aliases = {path for place in places.values() for path in place.paths} - places.keys()
    of_places = {path: said for path, said in names.items() if path not in aliases}
    found = matching.fit(given, wanted, of_places, strict=strict)
    with slicers.slicer(service, backend=backend) as take:
        made = {path: converted(fit.part(take, [slice(None)] * len(wanted[path].shape))) for path, fit in found.items()}
    for path, array in made.items():
        places[path].put(array)
    return module


@dataclass
class _Place:
    """Where a module holds a parameter: a module, a dict or a list, and the key or index in it."""

    holder: Any
    key: Any
    paths: list[str] = field(default_factory=list)
    """Several if the module holds `holder` several times."""

    @property
    def array(self) -> mx.array:
        found: mx.array = self.holder[self.key]
        return found

    def put(self, array: mx.array) -> None:
        self.holder[self.key] = array


def _places(module: object) -> list[_Place]:
    """Return the places of all parameters of a module, those of `parameters()`, in that order."""
    found: dict[tuple[int, Any], _Place] = {}
    for path, holder, key in _held(module, ""):
        found.setdefault((id(holder), key), _Place(holder, key)).paths.append(path)
    return list(found.values())


def _held(holder: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the path of each array in a holder, the object that holds it, and its key there."""
    for key, value in list(enumerate(holder) if isinstance(holder, list) else holder.items()):
        if isinstance(holder, MLXModule) and not MLXModule.valid_parameter_filter(holder, key, value):
            continue
        if isinstance(value, mx.array):
            yield f"{prefix}{key}", holder, key
        elif isinstance(value, dict | list):
            yield from _held(value, f"{prefix}{key}.")


def _chosen(places: list[_Place], given: Given, names: Names, *, strict: bool) -> dict[str, _Place]:
    """Return each place by the first of its paths that has a tensor.

    Raises:
        ModuleError: paths of one place have different tensors. If not `strict`, the first one is chosen.
        ValueError: two places have the same path.
    """
    chosen: dict[str, _Place] = {}
    faults = []
    for place in places:
        tensors = {path: matching.name_and_axes(path, names.get(path, path))[0] for path in place.paths}
        known = [path for path, name in tensors.items() if path in names or given.has(name)]
        path = known[0] if known else place.paths[0]
        if path in chosen:
            raise ValueError(f"two arrays of the module have the same path, {path!r}, as the keys 1 and '1' give")
        if strict and len({tensors[each] for each in known}) > 1:
            also = " and ".join(known[1:])
            faults.append(Fault(pointer([path]), f"the model has one array for it and {also}, the recipe two"))
        chosen[path] = place
    if faults:
        raise ModuleError(faults)
    return chosen
