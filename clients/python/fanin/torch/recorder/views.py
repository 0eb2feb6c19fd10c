"""The places of a tensor's elements in its storage."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class View:
    """The places of a tensor's elements in its storage, counted in elements."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    start: int
    stop: int
    """Place after the last element."""
    count: int
    inner: int
    """Number of last dimensions that form one stretch of consecutive elements."""

    @classmethod
    def of(cls, tensor: torch.Tensor) -> View:
        # The stride of a dimension of one element is arbitrary.
        dims = [(size, stride) for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if size != 1]
        span = sum((int(size) - 1) * int(stride) for size, stride in dims)
        run, inner = 1, 0
        for size, stride in reversed(dims):
            if stride != run:
                break
            run *= size
            inner += 1
        start = int(tensor.storage_offset())
        sizes, strides = tuple(size for size, _ in dims), tuple(stride for _, stride in dims)
        return cls(sizes, strides, start, start + span + 1, tensor.numel(), inner)

    @property
    def stretches(self) -> int:
        return math.prod(self.sizes[: len(self.sizes) - self.inner])

    @property
    def repeats(self) -> bool:
        """True if some elements share a place."""
        reach = 1
        for size, stride in sorted(zip(self.sizes, self.strides, strict=True), key=lambda dim: dim[1]):
            if stride < reach:
                return True
            reach += (size - 1) * stride
        return False

    @property
    def dense(self) -> bool:
        """True if the view has each element between its first and last exactly once."""
        return self.count == self.stop - self.start and not self.repeats

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the stretches [start, stop), in the view's order."""
        outer = len(self.sizes) - self.inner
        run = self.count // self.stretches
        for index in itertools.product(*map(range, self.sizes[:outer])):
            first = self.start + sum(i * stride for i, stride in zip(index, self.strides, strict=False))
            yield first, first + run
