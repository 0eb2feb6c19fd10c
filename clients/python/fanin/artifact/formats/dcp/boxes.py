"""Tensors cut into boxes of bounded size, each of which is consecutive in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Self


class Box(NamedTuple):
    """Consecutive elements of a tensor that are a box."""

    offsets: tuple[int, ...]
    """Its first position on each axis."""
    lengths: tuple[int, ...]
    """Its positions on each axis."""
    first: int
    """Its first element, in row-major order of the tensor."""

    @property
    def count(self) -> int:  # type: ignore[override]  # tuple.count counts items
        """Number of its elements."""
        return math.prod(self.lengths)


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of a tensor of one shape, in row-major order. A box is created when it is requested."""

    shape: tuple[int, ...]
    axis: int
    """The axis that is cut. On the axes before it, a box has one position each."""
    rows: int
    """Positions of a box on that axis; the last box on it may have fewer. 0 if one box has the full tensor."""

    @classmethod
    def of(cls, shape: tuple[int, ...], most: int) -> Self:
        """Cut a shape into few boxes of at most `most` elements, at least 1. A tensor without elements is one box."""
        inner = math.prod(shape)
        if inner <= most:
            return cls(shape, 0, 0)
        axis = -1
        while inner > most:
            axis += 1
            inner //= shape[axis]
        count = -(-shape[axis] // (most // inner))
        return cls(shape, axis, -(-shape[axis] // count))

    def __len__(self) -> int:
        return math.prod(self.shape[: self.axis]) * self._on_axis if self.rows else 1

    @property
    def _on_axis(self) -> int:
        """Number of the boxes that cover the axis."""
        return -(-self.shape[self.axis] // self.rows)

    def __getitem__(self, place: int) -> Box:
        place = range(len(self))[place]
        if not self.rows:
            return Box((0,) * len(self.shape), self.shape, 0)
        outer, number = divmod(place, self._on_axis)
        length, inner = self.shape[self.axis], self.shape[self.axis + 1 :]
        start, rest, positions = number * self.rows, outer, list[int]()
        for size in reversed(self.shape[: self.axis]):
            rest, position = divmod(rest, size)
            positions.insert(0, position)
        return Box(
            (*positions, start, *(0 for _ in inner)),
            (*(1 for _ in positions), min(self.rows, length - start), *inner),
            (outer * length + start) * math.prod(inner),
        )
