"""Tensors of a recipe without memory, for code that loads a checkpoint: reading their elements generates them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch.utils._pytree import tree_any, tree_leaves, tree_map_only

from fanin.file.layout import Entry, FileLayout
from fanin.region import Region
from fanin.torch.filling import PIECE, fill_region, within
from fanin.torch.recorder.recording import type_of
from fanin.torch.writable import is_distributed, obstacle

_COPY = torch.ops.aten.copy_.default


class Generated(torch.Tensor):
    """A tensor of a recipe, or a view of one, on the CPU and without memory.

    Views (`narrow`, `select`, `t`, `view`, `chunk`) generate nothing. `copy_` of a view writes the view's elements into
    the target and generates no others. Any other operation gets a tensor with the generated elements. An operation
    that would write to this tensor is an error. Do not assign it to `data` of another tensor: torch does not ask this
    class, and that tensor then has no memory. Use `copy_`, or assign a `clone`.
    """

    _entry: Entry
    _place: torch.Tensor
    """The view, of a meta tensor in place of the recipe's."""
    _backend: str | None
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, entry: Entry, place: torch.Tensor, backend: str | None) -> Generated:
        made: Generated = torch.Tensor._make_wrapper_subclass(
            cls, place.shape, place.stride(), place.storage_offset(), dtype=place.dtype, device=torch.device("cpu")
        )
        made._entry, made._place, made._backend = entry, place, backend
        return made

    @classmethod
    def of(cls, layout: FileLayout, name: str, backend: str | None = None) -> Self:
        """Return the tensor of this name.

        Raises:
            KeyError: the recipe has no such tensor.
            TypeError: torch has no type for its elements, as for F4.
        """
        entry = layout.entry(name)
        return cls(entry, torch.empty(entry.shape, dtype=type_of(entry.dtype.name), device="meta"), backend)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is _COPY and isinstance(args[1], cls) and not isinstance(args[0], cls):
            args[1]._copy_to(args[0])
            return args[0]
        arguments = func._schema.arguments
        if args and isinstance(args[0], cls) and _is_view(arguments[0]):
            made = func(args[0]._place, *args[1:], **kwargs)
            if not tree_any(lambda leaf: isinstance(leaf, torch.Tensor) and _has_other_values(leaf, args[0]), made):
                return tree_map_only(torch.Tensor, lambda leaf: cls(args[0]._entry, leaf, args[0]._backend), made)
        named = {argument.name: value for argument, value in zip(arguments, args)} | dict(kwargs)
        for argument in arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                for leaf in tree_leaves(named.get(argument.name)):
                    if isinstance(leaf, cls):
                        raise leaf._refusal(str(func))
        args, kwargs = tree_map_only(cls, cls.generated, (args, kwargs))
        return func(*args, **kwargs)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Generated({self._entry.name!r}, shape={tuple(self.shape)}, dtype={self.dtype})"

    @property
    def data(self) -> torch.Tensor:
        """The same tensor without gradients."""
        return self.detach()

    @data.setter
    def data(self, value: torch.Tensor) -> None:  # noqa: ARG002 (always refused)
        # torch would change the type of this object, and its elements would still be those of the recipe.
        raise self._refusal("an assignment to data")

    def _refusal(self, operation: str) -> RuntimeError:
        return RuntimeError(f"{operation} writes to the tensor {self._entry.name!r}, which is generated: clone it")

    def generated(self) -> torch.Tensor:
        """Return a tensor with the elements, in new memory."""
        box = _Box.of(self._place, self._entry.count)
        region = box.region if box else Region.of((self._entry.count,), ...)
        memory = torch.empty(region.lengths, dtype=self.dtype, device="cpu")
        if memory.numel():
            fill_region(self._entry, region, memory, self._backend)
        if box is None:
            return memory.as_strided(self._place.shape, self._place.stride(), self._place.storage_offset())
        strides = [0 if axis is None else memory.stride(axis) for axis in box.axes]
        return memory.as_strided(self._place.shape, strides)

    def _copy_to(self, target: torch.Tensor) -> None:
        """Write the elements to a tensor, as `target.copy_` does."""
        if target.is_meta or not target.numel():
            return
        box = _Box.of(self._place, self._entry.count)
        is_whole = box is not None and box.region.count == target.numel() and target.shape == self.shape
        if box is None or not is_whole or is_distributed(target) or obstacle(target):
            target.copy_(self.generated())
            return
        region, strides = box.region, [0] * len(box.region.lengths)
        for axis, of_region in enumerate(box.axes):
            if of_region is not None:
                strides[of_region] = target.stride(axis)
        view = target.detach().as_strided(region.lengths, strides, target.storage_offset())
        if target.dtype == self.dtype:
            fill_region(self._entry, region, view, self._backend)
            torch.autograd.graph.increment_version(target)
            return
        for part in region.parts(lambda part: math.prod(part.lengths) * self.itemsize <= PIECE):
            memory = torch.empty(part.lengths, dtype=self.dtype, device="cpu")
            fill_region(self._entry, part, memory, self._backend)
            within(view, region, part).copy_(memory)


@dataclass(frozen=True, slots=True)
class _Box:
    """A view of a dense tensor whose elements are those of a region."""

    region: Region
    """A region of a tensor with the same elements in row-major order, and an axis for each stride of the view."""
    axes: list[int | None]
    """For each axis of the view, its axis of the region; `None` if it does not reach another element."""

    @classmethod
    def of(cls, view: torch.Tensor, count: int) -> Self | None:
        """Return the box of a view of a tensor of `count` elements; `None` if there is none."""
        axes: list[int | None] = [None] * view.dim()
        if not view.numel():
            return cls(Region((0,), (range(0),), (count,)), axes)
        reaching = [axis for axis in range(view.dim()) if view.shape[axis] > 1 and view.stride(axis) > 0]
        at, room = int(view.storage_offset()), count
        sizes, ranges = [], []
        for place, axis in enumerate(sorted(reaching, key=view.stride, reverse=True)):
            size, uneven = divmod(room, view.stride(axis))
            start, at = divmod(at, view.stride(axis))
            if place and (uneven or start + view.shape[axis] > size):
                return None
            axes[axis] = place
            sizes.append(size + bool(uneven))
            ranges.append(range(start, start + view.shape[axis]))
            room = view.stride(axis)
        ranges.append(range(at, at + 1))
        return cls(Region(tuple(map(len, ranges)), tuple(ranges), (*sizes, room)), axes)


def _has_other_values(view: torch.Tensor, of: torch.Tensor) -> bool:
    """Return whether elements of a view are not elements of the tensor: conjugates, negatives, or parts of them."""
    return view.dtype != of.dtype or view.is_conj() or view.is_neg()


def _is_view(argument: Any) -> bool:
    """Return whether an operation returns a view of this argument."""
    return argument.alias_info is not None and not argument.alias_info.is_write
