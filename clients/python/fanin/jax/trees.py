"""Pytrees of arrays, such as the parameters of a model, filled from a recipe by the paths of their leaves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

import jax
from jax.tree_util import GetAttrKey, keystr

from fanin.adapters import matching, slicers
from fanin.adapters.matching import Names, Wanted
from fanin.adapters.slicers import Source
from fanin.file_layout import FileLayout, FileLayoutLike
from fanin.jax.arrays import Placement, assembled

Tree = TypeVar("Tree")


def init(
    tree: Tree,
    recipe: FileLayoutLike,
    *,
    names: Names | None = None,
    strict: bool = True,
    source: Source = "local",
    backend: str | None = None,
) -> Tree:
    """The tree with the recipe's tensors for its arrays.

    Leaves are arrays, or `jax.ShapeDtypeStruct` as `jax.eval_shape` and `nnx.eval_shape` give them: their values are
    not looked at, and where they have a sharding each device makes its own shard of it.

    Args:
        tree: Parameters of a Linen module, the state of an NNX module (`nnx.state(model, nnx.Param)`), or any pytree.
        recipe: A recipe, or its `FileLayout`. A tensor has the name of its leaf's path: the keys, attributes and
            positions that lead to it, joined by "/", without a last attribute `value`, where Flax keeps a variable's
            array.
        names: For the path of a leaf, the name of its tensor, or `(name, axes)` where the leaf is
            `numpy.transpose(tensor, axes)`.
        strict: Every leaf has a tensor, and every tensor a leaf. Else leaves without one stay as they are.
        source: "local" to make the shards here; the URL of a service, or a `fanin.Client`, to fetch them.
        backend: What makes them here.

    Raises:
        TypeError: a leaf is traced, as in `jax.jit` and `jax.vmap`: the arrays would be constants of the program.
        ModuleError: shape, type or name of a leaf and its tensor do not agree. Tells of all.
        ValueError: two leaves have the same path; a sharding does not divide an array; 64-bit types are off.
        RecipeError, BackendError, ServiceError: the recipe is wrong; it cannot be made, or fetched.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    by_path = {path_of(keys): leaf for keys, leaf in leaves}
    if traced := next((path for path, leaf in by_path.items() if isinstance(leaf, jax.core.Tracer)), None):
        raise TypeError(f"{traced} is traced: call fanin.jax.init outside of jax.jit, jax.vmap and jax.eval_shape")
    if len(by_path) < len(leaves):
        raise ValueError("two leaves have the same path, as the keys 1 and '1' give")
    wanted = {path: Wanted(tuple(leaf.shape), str(leaf.dtype)) for path, leaf in by_path.items()}
    found = matching.fit(FileLayout.of(recipe), wanted, names, strict=strict)
    with slicers.slicer(source, backend=backend) as take:
        filled = {
            path: assembled(wanted[path].shape, fit.entry.dtype, _placement(by_path[path]), partial(fit.part, take))
            for path, fit in found.items()
        }
    made: Tree = jax.tree_util.tree_unflatten(structure, [filled.get(path, leaf) for path, leaf in by_path.items()])
    return made


def path_of(keys: Sequence[Any]) -> str:
    """A leaf's path, as `init` has it."""
    inner = keys[:-1] if keys and keys[-1] == GetAttrKey("value") else keys
    return keystr(tuple(inner), simple=True, separator="/")


def _placement(leaf: Any) -> Placement:
    """Where a leaf is, or is to be; none for an array that JAX has put where it likes."""
    if isinstance(leaf, jax.Array) and not leaf.committed:
        return None
    sharding: Placement = getattr(leaf, "sharding", None)
    return sharding
