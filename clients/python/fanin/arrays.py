"""Arrays in memory: tensors of a recipe, or slices of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin import backends, strided
from fanin.backends import Backend
from fanin.backends.memory import ALIGNMENT, aligned
from fanin.dtypes import STORAGE
from fanin.file.layout import Entries, Entry, FileLayout, FileLayoutLike
from fanin.region import Index, Region, Run
from fanin.schemes import SCHEMES
from fanin.schemes.base import Tensor
from fanin.single import single

Array = NDArray[Any]

SHARED = 8 << 20
"""Most bytes of an allocation that several tensors share. It is large enough for huge pages. Separate allocations of
small tensors would take longer than their elements."""
STRIDED_SPAN = 1 << 16
"""Elements that are generated at a time if only every n-th of them is needed."""


def materialize(recipe: FileLayoutLike, *, backend: str | None = None) -> dict[str, Array]:
    """Return every tensor of the recipe as a NumPy array by name, in the recipe's order.

    BF16, F8 and F4 tensors have the NumPy types of `ml_dtypes`. Tensors share allocations of up to 8 MiB. The backend
    `cuda` returns CuPy arrays, which stay on the GPU (docs/gpu.md). The literals of a `Recording` are not among them.

        >>> fanin.materialize({"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42})["weight"].shape
        (784, 10)

    Args:
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`.
        backend: Name of the backend; by default the fastest one for a CPU, or the one that FANIN_BACKEND names.

    Raises:
        RecipeError: the recipe is wrong.
        FileError, OSError: its file has no recipe or cannot be read.
        BackendError: the backend cannot be used here.
        MemoryError: the arrays do not fit in memory.
    """
    layout, maker = FileLayout.of(recipe), backends.get(backend)
    if maker.supports_device_arrays:
        return {name: _filled(layout.entry(name), maker) for name in layout.recipe.tensors}
    made, addresses = _empty(layout.entries, layout.packed)
    maker.fill_tensors(layout.entries, addresses)
    return {name: made[layout.places[name]] for name in layout.recipe.tensors}


def slice(recipe: FileLayoutLike, name: str, index: Index, *, backend: str | None = None) -> Array:
    """Return `materialize(recipe)[name][index]`, and generate only the elements that the index selects.

    Columns of a square or tall orthogonal matrix, and rows of a wide one, are generated without the others. Any other
    part of such a matrix needs the complete matrix.

        >>> rows = fanin.slice(recipe, "emb.weight", (slice(8000, 16000), ...))

    Args:
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`.
            A `FileLayout` saves the preparation of each call.
        name: One of its tensors.
        index: Integers, slices with any step and one ellipsis, as NumPy takes them.
        backend: Name of the backend; by default the fastest one for a CPU, or the one that FANIN_BACKEND names.

    Raises:
        RecipeError: the recipe is wrong.
        FileError, OSError: its file has no recipe or cannot be read.
        KeyError: it has no tensor of this name.
        IndexError: the index does not fit the tensor.
        BackendError: the backend cannot be used here.
    """
    maker = backends.get(backend)
    entry = FileLayout.of(recipe).entry(name)
    return of_region(entry, Region.of(entry.shape, index), maker)


def of_region(entry: Entry, region: Region, maker: Backend) -> Array:
    """Return the elements of a region of a tensor, as `slice`, in the region's shape."""
    result: Array = maker.empty(region.count, entry.dtype)
    if region.has_runs and not maker.supports_device_arrays:
        strides = strided.dense(region.lengths, entry.dtype.itemsize)
        strided.place(entry, region, result.ctypes.data, strides, maker)
        return result.reshape(region.shape)
    at = 0
    for run in region.runs():
        _fill_run(entry, run, result[at : at + run.count], maker)
        at += run.count
    return result.reshape(region.shape)


def _filled(entry: Entry, maker: Backend) -> Array:
    array: Array = maker.empty(entry.count, entry.dtype)
    maker.fill_array(entry.draw, entry.stream, entry.dtype, 0, array)
    return array.reshape(entry.shape)


def _empty(entries: Entries, packed: range) -> tuple[list[Array], NDArray[np.uint64]]:
    """Return an array for each tensor, and the addresses of all. Allocations are shared up to `SHARED` bytes."""
    sizes = [-(-(stop - start) // ALIGNMENT) * ALIGNMENT for start, stop in pairwise(entries.offsets)]
    for place in packed:  # they take more memory than bytes of the file
        sizes[place] = -(-entries[place].count // ALIGNMENT) * ALIGNMENT
    cuts, total = [0], 0
    for place, size in enumerate(sizes):
        if total and total + size > SHARED:
            cuts.append(place)
            total = 0
        total += size
    arrays: list[Array] = []
    addresses = np.empty(len(entries), np.uint64)
    for first, last in pairwise([*cuts, len(entries)]):
        offsets = [0, *accumulate(sizes[first:last])]
        memory = aligned(offsets[-1])
        arrays += [
            np.ndarray(tensor.shape, STORAGE[tensor.dtype].numpy, memory, offset)
            for tensor, offset in zip(entries.tensors[first:last], offsets)
        ]
        addresses[first:last] = np.array(offsets[:-1], np.uint64) + np.uint64(memory.ctypes.data)
    return arrays, addresses


def _fill_run(entry: Entry, run: Run, out: Array, maker: Backend) -> None:
    if run.step == 1:
        maker.fill_array(entry.draw, entry.stream, entry.dtype, run.first, out)
        return
    per_span = max(1, STRIDED_SPAN // abs(run.step))
    for at in range(0, run.count, per_span):
        target = out[at : at + per_span]
        start, stop = Run(run.first + at * run.step, len(target), run.step).span
        span = maker.empty(stop - start, entry.dtype)
        maker.fill_array(entry.draw, entry.stream, entry.dtype, start, span)
        target[:] = span[:: run.step]


def one(scheme: str, given: Mapping[str, Any]) -> Array:
    """Return the only tensor of a recipe, from the arguments of a function of `fanin.initializers`."""
    defaults = _defaults(scheme)
    members = {
        field: given[field]
        for field, default in defaults.items()
        if field in given and not _is_default(given[field], default)
    }
    made, stream = single(given["seed"], given["name"], given["shape"], given["dtype"], scheme=scheme, **members)
    maker = backends.get(given["backend"])
    array: Array = maker.empty(made.count, made.dtype)
    if maker.supports_device_arrays:
        maker.fill_array(made.draw, stream, made.dtype, 0, array)
    else:
        made.filler(maker)(stream, made.count, array.ctypes.data)
    return array.reshape(made.tensor.shape)


def _is_default(value: Any, default: Any) -> bool:
    """Return whether a value is the default itself. One of another type is validated, such as True or an array."""
    return type(value) is type(default) and bool(value == default)


@lru_cache
def _defaults(scheme: str) -> dict[str, Any]:
    """Return the default of each parameter of a scheme; pydantic's `PydanticUndefined` for a required one."""
    fields = SCHEMES[scheme].model_fields.items()
    return {name: field.default for name, field in fields if name not in Tensor.model_fields}
