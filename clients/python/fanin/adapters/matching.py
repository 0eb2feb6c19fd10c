"""Fits: which tensor of a recipe fills which array of a model, looked at as a whole before anything is filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fanin.adapters.slicers import Slicer
from fanin.arrays import Array
from fanin.dtypes import DTYPE_NAMES
from fanin.errors import Fault, ModuleError, pointer
from fanin.file_layout import Entry, FileLayout
from fanin.recipe.assumed_layouts import is_assumed

Names = Mapping[str, str | tuple[str, Sequence[int]]]
"""For an array of a model, by its path: the name of its tensor, or that and the tensor's axes in the array's order, as
`numpy.transpose` takes them. An array that is not named has the tensor of its path."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an array of a model is."""

    shape: tuple[int, ...]
    dtype: str
    """As NumPy names it."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The tensor of an array."""

    layout: FileLayout
    entry: Entry
    axes: tuple[int, ...] | None
    """Axis i of the array is axis axes[i] of the tensor; none if they have the same."""

    def part(self, take: Slicer, index: Sequence[slice]) -> Array:
        """`array[index]`, one slice for each of its axes."""
        if self.axes is None:
            return take(self.layout, self.entry.name, tuple(index))
        of_tensor = [slice(None)] * len(self.axes)
        for axis, part in zip(self.axes, index, strict=True):
            of_tensor[axis] = part
        return take(self.layout, self.entry.name, tuple(of_tensor)).transpose(self.axes).copy()


def fit(
    layout: FileLayout, wanted: Mapping[str, Wanted], names: Names | None = None, *, strict: bool = True
) -> dict[str, Fit]:
    """The tensor of each array of a model, which is given by paths.

    Not `strict`, arrays that `names` does not name may have no tensor, and tensors no array.

    Raises:
        ModuleError: an array and its tensor are not of one shape and storage type, or one of them is alone.
    """
    names = names or {}
    fits: dict[str, Fit] = {}
    faults = [_fault(path, "named, but the model has no such array") for path in names if path not in wanted]
    for path, array in wanted.items():
        said = names.get(path, path)
        name, axes = (said, None) if isinstance(said, str) else (said[0], tuple(said[1]))
        if name not in layout.places:
            if strict or path in names:
                faults.append(_fault(path, f"the recipe has no tensor {name!r}"))
            continue
        entry = layout.entry(name)
        if difference := _difference(layout, entry, axes, array):
            faults.append(_fault(path, difference))
        fits[path] = Fit(layout, entry, axes)
    if strict:
        used = {each.entry.name for each in fits.values()}
        faults += [
            _fault(entry.name, "a tensor of the recipe that the model has no array for")
            for entry in layout.entries
            if entry.name not in used
        ]
    if faults:
        raise ModuleError(faults)
    return fits


def _fault(path: str, detail: str) -> Fault:
    return Fault(pointer(path.split("/")), detail)


def _difference(layout: FileLayout, entry: Entry, axes: tuple[int, ...] | None, array: Wanted) -> str | None:
    """In what a tensor differs from its array."""
    if axes is not None and sorted(axes) != list(range(len(entry.shape))):
        return f"axes {axes} are no order of the {len(entry.shape)} axes of the tensor {entry.name!r}"
    shape = entry.shape if axes is None else tuple(entry.shape[axis] for axis in axes)
    if shape != array.shape:
        ordered = "" if axes is None else f", in the order {axes}"
        return f"the model has shape {array.shape}, the tensor {entry.name!r} {shape}{ordered}"
    if axes not in (None, tuple(range(len(shape)))) and is_assumed(layout.recipe.tensors[entry.name]):
        reason = f"axes of the tensor {entry.name!r} are reordered, so its distribution needs a layout"
        return f'{reason}: add "layout": "torch"'
    if DTYPE_NAMES.get(array.dtype) != entry.dtype.name:
        return f"the model has {array.dtype}, the tensor {entry.name!r} {entry.dtype.name}"
    return None
