"""Arrays of JAX made of a recipe's tensors, each shard alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from fanin.adapters import slicers
from fanin.adapters.slicers import Slicer, Source
from fanin.dtypes import DType
from fanin.file_layout import FileLayout, FileLayoutLike

Placement: TypeAlias = Sharding | PartitionSpec | jax.Device | None
"""Where an array is to be: none for JAX's default device; a specification is of the mesh of `jax.set_mesh`."""


def array(
    recipe: FileLayoutLike,
    name: str,
    sharding: Placement = None,
    *,
    source: Source = "local",
    backend: str | None = None,
) -> jax.Array:
    """The tensor `name` of the recipe. Each device gets its shard, and no more than these shards is made.

    The bits are those of `fanin.materialize`, whatever the mesh. On a CPU the array is the memory that Fanin has
    filled; the backend `cuda` fills memory of the GPU.

    Args:
        recipe: A recipe, or its `FileLayout`.
        name: One of its tensors.
        sharding: Where the array is to be.
        source: "local" to make the shards here; the URL of a service, or a `fanin.Client`, to fetch them.
        backend: What makes them here.

    Raises:
        RecipeError: the recipe is wrong.
        KeyError: it has no tensor of this name.
        ValueError: the sharding does not divide the tensor, or the type is F64 and JAX' 64-bit types are off.
        BackendError, ServiceError: it cannot be made, or fetched.
    """
    with slicers.slicer(source, backend=backend) as take:
        return _tensor(FileLayout.of(recipe), name, sharding, take)


def arrays(
    recipe: FileLayoutLike,
    shardings: Placement | Mapping[str, Placement] = None,
    *,
    source: Source = "local",
    backend: str | None = None,
) -> dict[str, jax.Array]:
    """Every tensor of the recipe, by name, as `array` makes it.

    `shardings` is one for all, or one for each name; a tensor that has none is on JAX's default device.

    Raises:
        KeyError: a sharding is of no tensor.
        RecipeError, ValueError, BackendError, ServiceError: as `array`.
    """
    layout = FileLayout.of(recipe)
    each = shardings if isinstance(shardings, Mapping) else dict.fromkeys(layout.recipe.tensors, shardings)
    for name in each:
        layout.entry(name)
    with slicers.slicer(source, backend=backend) as take:
        return {name: _tensor(layout, name, each.get(name), take) for name in layout.recipe.tensors}


def _tensor(layout: FileLayout, name: str, placement: Placement, take: Slicer) -> jax.Array:
    entry = layout.entry(name)
    return assembled(entry.shape, entry.dtype, placement, lambda index: take(layout, name, tuple(index)))


def assembled(
    shape: Sequence[int], dtype: DType, placement: Placement, part: Callable[[Sequence[slice]], Any]
) -> jax.Array:
    """The array of which `part(index)` gives each shard, asked once for the shards that are alike.

    Raises:
        ValueError: it cannot be placed so, or JAX has no such type now.
    """
    if jax.dtypes.canonicalize_dtype(dtype.numpy) != dtype.numpy:
        raise ValueError(f"{dtype.name} needs jax.config.update('jax_enable_x64', True)")
    made: dict[tuple[tuple[int, int], ...], Any] = {}

    def shard(index: Any) -> Any:
        spans = tuple(each.indices(size)[:2] for each, size in zip(index, shape, strict=True))
        if spans not in made:
            made[spans] = _for_jax(part([slice(*span) for span in spans]), dtype)
        return made[spans]

    if placement is None:
        array: jax.Array = jax.device_put(shard([slice(None)] * len(shape)))
        return array
    return jax.make_array_from_callback(tuple(shape), _sharding(placement), shard, dtype.numpy)


def _sharding(placement: Sharding | PartitionSpec | jax.Device) -> Sharding:
    """The sharding, on devices: a specification, and a sharding of an abstract mesh, are of the mesh that is set.

    Raises:
        ValueError: no mesh is set, or one of other axes.
    """
    if isinstance(placement, jax.Device):
        return SingleDeviceSharding(placement)
    if isinstance(placement, PartitionSpec):
        return NamedSharding(_mesh(placement), placement)
    if isinstance(placement, NamedSharding) and isinstance(placement.mesh, AbstractMesh):
        mesh = _mesh(placement.spec)
        if mesh.shape != placement.mesh.shape:
            raise ValueError(f"{placement.spec} is of a mesh {dict(placement.mesh.shape)}; set is {dict(mesh.shape)}")
        return NamedSharding(mesh, placement.spec, memory_kind=placement.memory_kind)
    return placement


def _mesh(spec: PartitionSpec) -> Mesh:
    mesh = jax.sharding.get_mesh()
    if mesh.empty:
        raise ValueError(f"{spec} needs a mesh: give a NamedSharding of devices, or jax.set_mesh(mesh)")
    return mesh


def _for_jax(array: Any, dtype: DType) -> Any:
    """NumPy's arrays as they are; those of a GPU by DLPack, types that not both sides know as their bits."""
    if isinstance(array, np.ndarray):
        return array
    if dtype.name in ("F64", "C64", "F32", "F16"):
        return jax.dlpack.from_dlpack(array)
    return jax.dlpack.from_dlpack(array.view(f"uint{8 * dtype.itemsize}")).view(dtype.numpy)
