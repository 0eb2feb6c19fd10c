"""Arrays: tensors, or slices of them, made in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin import backends, strided
from fanin.backends import ArrayBackend, Backend
from fanin.draws import Draw
from fanin.dtypes import DType
from fanin.file_layout import Entry, FileLayout, FileLayoutLike
from fanin.recipe import as_recipe
from fanin.region import Index, Region, Run
from fanin.schemes import SCHEMES
from fanin.streams import Stream

Array = NDArray[Any]

SHARED = 8 << 20
"""Bytes up to which tensors share an allocation: enough for huge pages; one for each small tensor would cost more than
its elements."""
ALIGNMENT = 64
"""Bytes: a vector, a cache line, and what JAX asks of memory that it takes over without a copy."""
STRIDED_SPAN = 1 << 16
"""Elements generated at a time to pick every n-th of them."""


class _HostArrays:
    """NumPy arrays, filled by any backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def empty(self, count: int, dtype: DType) -> Array:
        return empty(count, dtype)

    def fill_array(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: Array) -> None:
        if len(out):
            self._backend.fill(draw, stream, dtype, first, out.view(np.uint8).data)


def _maker(name: str | None) -> ArrayBackend:
    backend = backends.get(name)
    return backend if isinstance(backend, ArrayBackend) else _HostArrays(backend)


def materialize(recipe: FileLayoutLike, *, backend: str | None = None) -> dict[str, Array]:
    """Every tensor of the recipe as a NumPy array, in the recipe's order.

    BF16 and F8 tensors have the NumPy types of `ml_dtypes`; tensors share allocations of up to 8 MiB. The backend
    `cuda` makes CuPy arrays, which stay on the GPU (docs/gpu.md).

    Raises:
        RecipeError: the recipe is wrong.
        BackendError: the backend asked for cannot be used here.
    """
    layout, maker = FileLayout.of(recipe), backends.get(backend)
    if isinstance(maker, ArrayBackend):
        return {name: _whole(layout.entry(name), maker) for name in layout.recipe.tensors}
    made, addresses = _empty(layout.entries)
    maker.fill_tensors(layout.tensors, addresses)
    return {name: made[layout.places[name]] for name in layout.recipe.tensors}


def slice(recipe: FileLayoutLike, name: str, index: Index, *, backend: str | None = None) -> Array:
    """`materialize(recipe)[name][index]`, making only the elements it selects.

    Takes integers, slices with any step and an ellipsis. For many slices of one recipe pass its `FileLayout`.

    Raises:
        RecipeError: the recipe is wrong.
        KeyError: it has no tensor of this name.
        IndexError: the index does not fit the tensor.
        BackendError: the backend asked for cannot be used here.
    """
    chosen, maker = backends.get(backend), _maker(backend)
    entry = FileLayout.of(recipe).entry(name)
    region = Region.of(entry.shape, index)
    result: Array = maker.empty(region.count, entry.dtype)
    if region.has_runs and not isinstance(chosen, ArrayBackend):
        strides = strided.dense(region.lengths, entry.dtype.itemsize)
        strided.place(entry, region, result.ctypes.data, strides, chosen)
        return result.reshape(region.shape)
    at = 0
    for run in region.runs():
        _fill_run(entry, run, result[at : at + run.count], maker)
        at += run.count
    return result.reshape(region.shape)


def empty(count: int, dtype: DType) -> Array:
    """An array of one dimension, not yet written, where `ALIGNMENT` lets others take it over without a copy."""
    return empty_bytes(count * dtype.itemsize).view(dtype.numpy)


def empty_bytes(size: int) -> NDArray[np.uint8]:
    """Return that many bytes, not yet written, aligned to `ALIGNMENT`."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def _whole(entry: Entry, maker: ArrayBackend) -> Array:
    array: Array = maker.empty(entry.count, entry.dtype)
    maker.fill_array(entry.draw, entry.stream, entry.dtype, 0, array)
    return array.reshape(entry.shape)


def _empty(entries: Sequence[Entry]) -> tuple[list[Array], NDArray[np.uint64]]:
    """An array for each tensor, and their addresses. Allocations are shared up to `SHARED` bytes."""
    sizes = [-(-(entry.stop - entry.start) // ALIGNMENT) * ALIGNMENT for entry in entries]
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
        memory = empty_bytes(offsets[-1])
        arrays += [
            np.ndarray(entry.shape, entry.dtype.numpy, memory, offset)
            for entry, offset in zip(entries[first:last], offsets)
        ]
        addresses[first:last] = np.array(offsets[:-1], np.uint64) + np.uint64(memory.ctypes.data)
    return arrays, addresses


def _fill_run(entry: Entry, run: Run, out: Array, maker: ArrayBackend) -> None:
    if run.step == 1:
        maker.fill_array(entry.draw, entry.stream, entry.dtype, run.first, out)
        return
    per_span = max(1, STRIDED_SPAN // abs(run.step))
    for at in range(0, run.count, per_span):
        part = out[at : at + per_span]
        ends = run.first + at * run.step, run.first + (at + len(part) - 1) * run.step
        span = maker.empty(max(ends) - min(ends) + 1, entry.dtype)
        maker.fill_array(entry.draw, entry.stream, entry.dtype, min(ends), span)
        part[:] = span[:: run.step]


def one(scheme: str, given: Mapping[str, Any]) -> Array:
    """Return the only tensor of a recipe, from the arguments of a function of `fanin.initializers`."""
    options = {field: given[field] for field in ("seed", "dtype")}
    fields = SCHEMES[scheme].model_fields
    members = {
        field: value
        for field, value in given.items()
        if field in fields and field != "dtype" and (fields[field].is_required() or value != fields[field].default)
    }
    recipe = as_recipe({**options, "tensors": {given["name"]: {"scheme": scheme, **members}}})
    return materialize(recipe, backend=given["backend"])[given["name"]]
