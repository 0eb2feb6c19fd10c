"""Match the arrays of a model with the tensors of a recipe. All pairs are checked before any array is filled."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fanin.adapters.inputs import Given
from fanin.adapters.slicers import Slicer
from fanin.arrays import Array
from fanin.dtypes import FLOATING_NAMES
from fanin.errors import Fault, ModuleError, pointer
from fanin.file.layout import FileLayout
from fanin.recipe.assumed_layouts import is_assumed

Names = Mapping[str, str | tuple[str, Sequence[int]]]
"""By the path of an array in a model: the name of its tensor, or that name and the tensor's axes in the array's order.

The axes are those of `numpy.transpose`. An array that is not named is filled by the tensor whose name is its path."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Shape and type of an array of a model."""

    shape: tuple[int, ...]
    dtype: str
    """NumPy's name of the type."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The tensor that fills an array of a model."""

    layout: FileLayout
    name: str
    axes: tuple[int, ...] | None
    """Axis i of the array is axis axes[i] of the tensor; `None` if they have the same."""
    literal: Array | None
    """The tensor's values, if the recipe does not have it."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the elements."""
        return self.layout.entry(self.name).dtype.numpy if self.literal is None else self.literal.dtype

    def part(self, take: Slicer, index: Sequence[slice]) -> Array:
        """Return `array[index]`, with one slice for each axis of the array."""
        if self.axes is None:
            return self._of_tensor(take, tuple(index))
        of_tensor = [slice(None)] * len(self.axes)
        for axis, part in zip(self.axes, index, strict=True):
            of_tensor[axis] = part
        return self._of_tensor(take, tuple(of_tensor)).transpose(self.axes).copy()

    def _of_tensor(self, take: Slicer, index: tuple[slice, ...]) -> Array:
        return take(self.layout, self.name, index) if self.literal is None else np.asarray(self.literal[index])


def fit(
    given: Given, wanted: Mapping[str, Wanted], names: Names | None = None, *, strict: bool = True
) -> dict[str, Fit]:
    """Return the tensor of each array of a model, by the path of the array.

    If not `strict`, arrays that `names` does not name may have no tensor, and tensors no array.

    Raises:
        ModuleError: an array and its tensor differ in shape or storage type, or one of them is alone.
        ValueError: a value of `names` is not one.
    """
    names = names or {}
    layout = given.layout
    fits: dict[str, Fit] = {}
    faults = [_fault(path, "given in names, but the model has no such array") for path in names if path not in wanted]
    for path, array in wanted.items():
        name, axes = name_and_axes(path, names.get(path, path))
        if not given.has(name):
            if strict or path in names:
                faults.append(_fault(path, f"the recipe has no tensor {name!r}"))
            continue
        literal = None if name in layout.places else np.asarray(given.literals[name])
        fits[path] = Fit(layout, name, axes, literal)
        if difference := _difference(fits[path], array):
            faults.append(_fault(path, difference))
    if strict:
        used = {each.name for each in fits.values()}
        unused = [name for name in (*(entry.name for entry in layout.entries), *given.literals) if name not in used]
        faults += [_fault(name, "a tensor of the recipe that the model has no array for") for name in unused]
    if faults:
        raise ModuleError(faults)
    return fits


def name_and_axes(path: str, said: Any) -> tuple[str, tuple[int, ...] | None]:
    """Return what `names` says about an array.

    Raises:
        ValueError: it is neither a name nor a name and axes.
    """
    if isinstance(said, str):
        return said, None
    try:
        name, axes = said
        if isinstance(name, str):
            return name, tuple(map(operator.index, axes))
    except (TypeError, ValueError):
        pass
    raise ValueError(f"names: {path!r} is given {said!r}, which is neither a name nor (name, axes)")


def _fault(path: str, detail: str) -> Fault:
    return Fault(pointer(path.split("/")), detail)


def _difference(fit: Fit, array: Wanted) -> str | None:
    """Return how a tensor differs from its array."""
    axes, name = fit.axes, fit.name
    of_tensor = fit.layout.entry(name).shape if fit.literal is None else fit.literal.shape
    if axes is not None and sorted(axes) != list(range(len(of_tensor))):
        return f"axes {axes} are not a permutation of the {len(of_tensor)} axes of the tensor {name!r}"
    shape = of_tensor if axes is None else tuple(of_tensor[axis] for axis in axes)
    if shape != array.shape:
        ordered = "" if axes is None else f", in the order {axes}"
        return f"the model has shape {array.shape}, the tensor {name!r} {shape}{ordered}"
    is_moved = axes not in (None, tuple(range(len(shape))))
    if is_moved and fit.literal is None and is_assumed(fit.layout.recipe.tensors[name]):
        reason = f"axes of the tensor {name!r} are reordered, so its distribution needs a layout"
        return f'{reason}: add "layout": "torch"'
    if fit.dtype.name != array.dtype:
        return f"the model has {array.dtype}, the tensor {name!r} {FLOATING_NAMES.get(fit.dtype.name, fit.dtype.name)}"
    return None
