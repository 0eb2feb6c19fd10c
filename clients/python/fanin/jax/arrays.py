"""A recipe's tensors as arrays of JAX. Each shard is generated separately."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from fanin.adapters import slicers
from fanin.adapters.slicers import Service, Slicer
from fanin.file.layout import FileLayout, FileLayoutLike

Placement: TypeAlias = Sharding | PartitionSpec | jax.Device | None
"""Device or sharding of an array; `None` is JAX's default device. A specification is for the mesh of `jax.set_mesh`."""


def array(
    recipe: FileLayoutLike,
    name: str,
    sharding: Placement = None,
    *,
    service: Service | None = None,
    backend: str | None = None,
) -> jax.Array:
    """Return the tensor `name` of the recipe; each device gets its shard, and nothing else is generated.

    The bits are those of `fanin.materialize` on any mesh. On a CPU the array is the memory that Fanin has filled; the
    backend `cuda` fills memory of the GPU.

        >>> fanin.jax.array(recipe, "embedding", NamedSharding(mesh, P("model", None)))

    Args:
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`.
        name: One of its tensors.
        sharding: Where to put the array: a sharding, a device, or a `PartitionSpec` of the mesh of `jax.set_mesh`. By
            default JAX's default device.
        service: The URL of a service, or a `fanin.Client`, to fetch the shards from. By default they are generated
            here.
        backend: Name of the backend that generates them here.

    Raises:
        RecipeError: the recipe is wrong.
        KeyError: it has no tensor of this name.
        ValueError: the sharding does not divide the tensor or has more axes, or the type is F64 and JAX's 64-bit types
            are off.
        BackendError: the backend cannot be used here.
        ServiceError: the service cannot be reached or refuses.
    """
    with slicers.slicer(service, backend=backend) as take:
        return _tensor(FileLayout.of(recipe), name, sharding, take)


def arrays(
    recipe: FileLayoutLike,
    shardings: Placement | Mapping[str, Placement] = None,
    *,
    service: Service | None = None,
    backend: str | None = None,
) -> dict[str, jax.Array]:
    """Return every tensor of the recipe by name, each as `array` does.

    Args:
        recipe: As `array` takes it.
        shardings: One for all tensors, or a mapping of names. A tensor without one is put on JAX's default device.
        service: As `array` takes it.
        backend: As `array` takes it.

    Raises:
        KeyError: a sharding names no tensor.
        RecipeError, ValueError, BackendError, ServiceError: as `array`.
    """
    layout = FileLayout.of(recipe)
    each = shardings if isinstance(shardings, Mapping) else dict.fromkeys(layout.recipe.tensors, shardings)
    for name in each:
        layout.entry(name)
    with slicers.slicer(service, backend=backend) as take:
        return {name: _tensor(layout, name, each.get(name), take) for name in layout.recipe.tensors}


def _tensor(layout: FileLayout, name: str, placement: Placement, take: Slicer) -> jax.Array:
    entry = layout.entry(name)
    return assembled(entry.shape, entry.dtype.numpy, placement, lambda index: take(layout, name, tuple(index)))


def assembled(
    shape: Sequence[int], dtype: np.dtype[Any], placement: Placement, part: Callable[[Sequence[slice]], Any]
) -> jax.Array:
    """Return the array whose shards `part(index)` returns. It is called once for equal shards.

    Raises:
        ValueError: the array cannot have this sharding, or the type is F64 and JAX's 64-bit types are off.
    """
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
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
    sharding = _sharding(placement)
    if isinstance(sharding, NamedSharding) and len(sharding.spec) > len(shape):
        # JAX would raise an IndexError that names nothing.
        raise ValueError(f"{sharding.spec} is for {len(sharding.spec)} axes or more; the tensor has {len(shape)}")
    return jax.make_array_from_callback(tuple(shape), sharding, shard, dtype)


def _sharding(placement: Sharding | PartitionSpec | jax.Device) -> Sharding:
    """Return the sharding on devices. A specification or a sharding of an abstract mesh is put on the mesh that is set.

    Raises:
        ValueError: no mesh is set, or its axes differ.
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


def _for_jax(array: Any, dtype: np.dtype[Any]) -> Any:
    """Return a NumPy array unchanged, and an array of a GPU through DLPack, as bits if the libraries share no type."""
    if isinstance(array, np.ndarray):
        return array
    if dtype.name in ("float64", "complex64", "float32", "float16"):
        return jax.dlpack.from_dlpack(array)
    return jax.dlpack.from_dlpack(array.view(f"uint{8 * dtype.itemsize}")).view(dtype)
