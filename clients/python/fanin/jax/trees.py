"""Pytrees of arrays, such as the parameters of a model, filled from a recipe by the paths of their leaves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np
from jax.tree_util import GetAttrKey, keystr

from fanin.adapters import matching, slicers
from fanin.adapters.inputs import Given
from fanin.adapters.matching import Names, Wanted
from fanin.adapters.slicers import Service
from fanin.file.layout import FileLayoutLike
from fanin.jax.arrays import Placement, assembled

Tree = TypeVar("Tree")
NUMBERS = (bool, int, float, complex)
"""Types of leaves that JAX takes for arrays without axes."""


def init(
    tree: Tree,
    recipe: FileLayoutLike,
    *,
    seed: int | str | None = None,
    names: Names | None = None,
    strict: bool = True,
    service: Service | None = None,
    backend: str | None = None,
) -> Tree:
    """Return the tree with the recipe's tensors in place of its arrays.

    Arrays are also `jax.ShapeDtypeStruct` as `jax.eval_shape` and `nnx.eval_shape` return them. Their values are not
    read. If one has a sharding, each device generates its own shard of it. Other leaves stay as they are, such as the
    functions of an Equinox module, and numbers of Python for which the recipe has no tensor.

        >>> params = fanin.jax.init(jax.eval_shape(model.init, key, x)["params"], recipe, seed=42)

    Args:
        tree: Parameters of a Linen module, the state of an NNX module (`nnx.state(model, nnx.Param)`), or any pytree.
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`; the literals of a `Recording`
            are filled in too. A tensor has the name of its leaf's path: the keys, attributes and positions that lead to
            it, joined by "/", without a last attribute `value`, where Flax keeps a variable's array.
        seed: 0 to 2^64 - 1, in place of the recipe's own.
        names: By the path of a leaf, the name of its tensor, or `(name, axes)` if the leaf is
            `numpy.transpose(tensor, axes)`.
        strict: Whether every array must have a tensor and every tensor an array. If not, other arrays stay as they
            are.
        service: The URL of a service, or a `fanin.Client`, to fetch the shards from. By default they are generated
            here.
        backend: Name of the backend that generates them here.

    Raises:
        TypeError: a leaf is traced, as in `jax.jit` and `jax.vmap`: the arrays would be constants of the program.
        ModuleError: shape, type or name of a leaf and its tensor differ; one fault for each.
        ValueError: two leaves have the same path, a value of `names` is wrong, a sharding does not divide an array, or
            64-bit types are off.
        RecipeError, FileError, OSError: the recipe is wrong or cannot be read.
        BackendError, ServiceError: the tensors cannot be generated, or fetched.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    given = Given.of(recipe, seed)
    by_path: dict[str, Any] = {}
    paths: list[str | None] = []
    for keys, leaf in leaves:
        path = path_of(keys)
        is_filled = is_array(leaf) or (isinstance(leaf, NUMBERS) and (given.has(path) or path in (names or {})))
        paths.append(path if is_filled else None)
        if isinstance(leaf, jax.core.Tracer):
            raise TypeError(f"{path} is traced: call fanin.jax.init outside of jax.jit, jax.vmap and jax.eval_shape")
        if is_filled and path in by_path:
            raise ValueError(f"two leaves have the same path, {path!r}, as the keys 1 and '1' give")
        if is_filled:
            by_path[path] = leaf if is_array(leaf) else np.asarray(leaf, jax.dtypes.result_type(leaf))
    wanted = {path: Wanted(tuple(leaf.shape), str(leaf.dtype)) for path, leaf in by_path.items()}
    found = matching.fit(given, wanted, names, strict=strict)
    with slicers.slicer(service, backend=backend) as take:
        filled = {
            path: assembled(wanted[path].shape, fit.dtype, _placement(by_path[path]), partial(fit.part, take))
            for path, fit in found.items()
        }
    new = [leaf if path is None else filled.get(path, leaf) for path, (_, leaf) in zip(paths, leaves, strict=True)]
    made: Tree = jax.tree_util.tree_unflatten(structure, new)
    return made


def is_array(leaf: Any) -> bool:
    """Return whether a leaf is an array of any library, or the shape and type of one."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def path_of(keys: Sequence[Any]) -> str:
    """Return a leaf's path, as `init` defines it."""
    inner = keys[:-1] if keys and keys[-1] == GetAttrKey("value") else keys
    return keystr(tuple(inner), simple=True, separator="/")


def _placement(leaf: Any) -> Placement:
    """Return the placement of a leaf; `None` for an array whose placement JAX has chosen."""
    if isinstance(leaf, jax.Array) and not leaf.committed:
        return None
    sharding: Placement = getattr(leaf, "sharding", None)
    return sharding
