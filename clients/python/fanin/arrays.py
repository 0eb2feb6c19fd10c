"""Arrays: tensors, or slices of them, made in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin import backends
from fanin.backends import Backend
from fanin.layout import Entry, Layout, LayoutLike
from fanin.region import Index, Region, Run

Array = NDArray[Any]

STRIDED_SPAN = 1 << 16
"""Elements generated at a time to pick every n-th of them."""


def materialize(recipe: LayoutLike, *, backend: str | None = None) -> dict[str, Array]:
    """Every tensor of the recipe as a NumPy array, in the recipe's order.

    BF16 and F8 tensors have the NumPy types of `ml_dtypes`.

    Raises:
        RecipeError: the recipe is wrong.
        BackendError: the backend asked for cannot be used here.
    """
    layout, maker = Layout.of(recipe), backends.get(backend)
    return {name: _whole(layout.entry(name), maker) for name in layout.recipe.tensors}


def slice(recipe: LayoutLike, name: str, index: Index, *, backend: str | None = None) -> Array:
    """`materialize(recipe)[name][index]`, making only the elements it selects.

    Takes integers, slices with any step and an ellipsis. For many slices of one recipe pass its `Layout`.

    Raises:
        RecipeError: the recipe is wrong.
        KeyError: it has no tensor of this name.
        IndexError: the index does not fit the tensor.
        BackendError: the backend asked for cannot be used here.
    """
    maker = backends.get(backend)
    entry = Layout.of(recipe).entry(name)
    region = Region.of(entry.shape, index)
    result = np.empty(region.count, entry.dtype.numpy)
    at = 0
    for run in region.runs():
        _fill_run(entry, run, result[at : at + run.count], maker)
        at += run.count
    return result.reshape(region.shape)


def _whole(entry: Entry, backend: Backend) -> Array:
    array = np.empty(entry.count, entry.dtype.numpy)
    _fill(entry, 0, array, backend)
    return array.reshape(entry.shape)


def _fill_run(entry: Entry, run: Run, out: Array, backend: Backend) -> None:
    if run.step == 1:
        _fill(entry, run.first, out, backend)
        return
    per_span = max(1, STRIDED_SPAN // abs(run.step))
    for at in range(0, run.count, per_span):
        part = out[at : at + per_span]
        ends = run.first + at * run.step, run.first + (at + len(part) - 1) * run.step
        span = np.empty(max(ends) - min(ends) + 1, entry.dtype.numpy)
        _fill(entry, min(ends), span, backend)
        part[:] = span[:: run.step]


def _fill(entry: Entry, first: int, out: Array, backend: Backend) -> None:
    """`out` is one-dimensional and contiguous."""
    if len(out):
        backend.fill(entry.draw, entry.stream, entry.dtype, first, out.view(np.uint8).data)
