"""Pytrees of arrays, such as the parameters of a model, filled from a recipe by the paths of their leaves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import jax
from jax.tree_util import GetAttrKey, keystr

from fanin.adapters import matching, slicers
from fanin.adapters.inputs import Given
from fanin.adapters.matching import Names, Wanted
from fanin.adapters.slicers import Service
from fanin.file.layout import FileLayoutLike
from fanin.jax.arrays import Placement, assembled

Tree = TypeVar("Tree")


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

    Leaves are arrays, or `jax.ShapeDtypeStruct` as `jax.eval_shape` and `nnx.eval_shape` return them. Their values are
    not read. If a leaf has a sharding, each device generates its own shard of it.

        >>> params = fanin.jax.init(jax.eval_shape(model.init, key, x)["params"], recipe, seed=42)

    Args:
        tree: Parameters of a Linen module, the state of an NNX module (`nnx.state(model, nnx.Param)`), or any pytree.
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`; the literals of a `Recording`
            are filled in too. A tensor has the name of its leaf's path: the keys, attributes and positions that lead to
            it, joined by "/", without a last attribute `value`, where Flax keeps a variable's array.
        seed: 0 to 2^64 - 1, in place of the recipe's own.
        names: By the path of a leaf, the name of its tensor, or `(name, axes)` if the leaf is
            `numpy.transpose(tensor, axes)`.
        strict: Whether every leaf must have a tensor and every tensor a leaf. If not, other leaves stay as they are.
        service: The URL of a service, or a `fanin.Client`, to fetch the shards from. By default they are generated
            here.
        backend: Name of the backend that generates them here.

    Raises:
        TypeError: a leaf is traced, as in `jax.jit` and `jax.vmap`: the arrays would be constants of the program.
        ModuleError: shape, type or name of a leaf and its tensor differ; one fault for each.
        ValueError: two leaves have the same path, a sharding does not divide an array, or 64-bit types are off.
        RecipeError, FileError, OSError: the recipe is wrong or cannot be read.
        BackendError, ServiceError: the tensors cannot be generated, or fetched.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    by_path = {path_of(keys): leaf for keys, leaf in leaves}
    if traced := next((path for path, leaf in by_path.items() if isinstance(leaf, jax.core.Tracer)), None):
        raise TypeError(f"{traced} is traced: call fanin.jax.init outside of jax.jit, jax.vmap and jax.eval_shape")
    if len(by_path) < len(leaves):
        raise ValueError("two leaves have the same path, as the keys 1 and '1' give")
    wanted = {path: Wanted(tuple(leaf.shape), str(leaf.dtype)) for path, leaf in by_path.items()}
    found = matching.fit(Given.of(recipe, seed), wanted, names, strict=strict)
    with slicers.slicer(service, backend=backend) as take:
        filled = {
            path: assembled(wanted[path].shape, fit.dtype, _placement(by_path[path]), partial(fit.part, take))
            for path, fit in found.items()
        }
    made: Tree = jax.tree_util.tree_unflatten(structure, [filled.get(path, leaf) for path, leaf in by_path.items()])
    return made


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
