"""Regions: which elements of a tensor a NumPy-style index selects, as runs of row-major positions."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, SupportsIndex

Index = SupportsIndex | slice | EllipsisType | tuple[SupportsIndex | slice | EllipsisType, ...]
"""Integers, slices with any step, and one ellipsis: NumPy's basic indexing without new axes."""


@dataclass(frozen=True, slots=True)
class Run:
    """Elements first, first + step, ..., `count` of them, in the row-major order of the tensor."""

    first: int
    count: int
    step: int

    @property
    def span(self) -> tuple[int, int]:
        """The half-open range of positions from its lowest to its highest element."""
        ends = self.first, self.first + (self.count - 1) * self.step
        return min(ends), max(ends) + 1


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangular selection of a tensor's elements."""

    shape: tuple[int, ...]
    """Shape of the selection: axes indexed by an integer are gone."""
    axes: tuple[range, ...]
    """Selected positions on every axis of the tensor."""
    sizes: tuple[int, ...]
    """Shape of the tensor."""

    @classmethod
    def of(cls, sizes: Sequence[int], index: Index) -> Region:
        """The region that `index` selects of a tensor of shape `sizes`.

        Raises:
            IndexError: as NumPy, for too many or out-of-range indices; and for anything but integers, slices and
                one ellipsis.
        """
        parts = list(index) if isinstance(index, tuple) else [index]
        ellipses = [at for at, part in enumerate(parts) if part is Ellipsis]
        if len(ellipses) > 1:
            raise IndexError("an index has one ellipsis at most")
        given = len(parts) - len(ellipses)
        if given > len(sizes):
            raise IndexError(f"{given} indices for a tensor of rank {len(sizes)}")
        at = ellipses[0] if ellipses else len(parts)
        parts[at : at + 1] = [slice(None)] * (len(sizes) - given)

        axes, shape = [], []
        for axis, (size, part) in enumerate(zip(sizes, parts, strict=True)):
            if isinstance(part, slice):
                selected = range(*part.indices(size))
                shape.append(len(selected))
            else:
                selected = _single(axis, size, part)
            axes.append(selected)
        return cls(tuple(shape), tuple(axes), tuple(sizes))

    @property
    def count(self) -> int:
        """Number of selected elements."""
        return math.prod(self.shape)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of positions that are selected on every axis of the tensor."""
        return tuple(map(len, self.axes))

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements of the tensor between neighbouring positions on every axis."""
        return tuple(math.prod(self.sizes[axis + 1 :]) for axis in range(len(self.sizes)))

    @property
    def has_runs(self) -> bool:
        """True if no axis has gaps between its positions."""
        return all(len(axis) < 2 or axis.step == 1 for axis in self.axes)

    @property
    def index(self) -> tuple[slice, ...]:
        """The index of a region without gaps: one slice per axis of the tensor."""
        return tuple(slice(axis.start, axis.stop) for axis in self.axes)

    def part(self, axis: int, start: int, stop: int) -> Region:
        """Return the region of positions [start, stop) of an axis. Its shape has all axes of the tensor."""
        axes = (*self.axes[:axis], self.axes[axis][start:stop], *self.axes[axis + 1 :])
        return Region(tuple(map(len, axes)), axes, self.sizes)

    def parts(self, is_small: Callable[[Region], bool]) -> Iterator[Region]:
        """Yield boxes of the region that are small, or single elements, in row-major order. Shapes have all axes."""
        if is_small(self) or math.prod(self.lengths) == 1:
            yield self
            return
        axis = next(axis for axis, length in enumerate(self.lengths) if length > 1)
        half = self.lengths[axis] // 2
        yield from self.part(axis, 0, half).parts(is_small)
        yield from self.part(axis, half, self.lengths[axis]).parts(is_small)

    def runs(self) -> Iterator[Run]:
        """Yield the selected elements in row-major order of the region, in as few runs as possible."""
        if self.count == 0:
            return
        inner, block = len(self.sizes), 1  # axes from `inner` on are selected fully, `block` elements together
        while inner and self.axes[inner - 1] == range(self.sizes[inner - 1]):
            inner -= 1
            block *= self.sizes[inner]
        if inner == 0:
            yield Run(0, block, 1)
            return
        last = self.axes[inner - 1]
        for base in _positions(self.axes[: inner - 1], self.strides):
            if len(last) == 1 or last.step == 1:
                yield Run(base + last[0] * block, len(last) * block, 1)
            elif block == 1:
                yield Run(base + last[0], len(last), last.step)
            else:
                for position in last:
                    yield Run(base + position * block, block, 1)


def _positions(axes: Sequence[range], strides: Sequence[int]) -> Iterator[int]:
    """Row-major positions of what leading axes select. (itertools.product would copy the ranges.)"""
    if not axes:
        yield 0
        return
    for position in axes[0]:
        for rest in _positions(axes[1:], strides[1:]):
            yield position * strides[0] + rest


def _single(axis: int, size: int, part: Any) -> range:
    try:
        if isinstance(part, bool):
            raise TypeError("NumPy would use it as a mask")
        position = operator.index(part)
    except TypeError:
        raise IndexError(f"an index consists of integers, slices and an ellipsis, not {part!r}") from None
    if not -size <= position < size:
        raise IndexError(f"index {position} is out of bounds for axis {axis} with size {size}")
    position %= size
    return range(position, position + 1)
