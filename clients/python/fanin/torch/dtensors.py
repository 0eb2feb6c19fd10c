"""Shards: the part of a tensor that this rank has, and its place in the rank's memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from fanin.region import Region
from fanin.torch.writable import is_distributed, local


def boxes(tensor: torch.Tensor) -> Iterator[tuple[torch.Tensor, Region]]:
    """Yield views that cover this rank's memory, each with its region of the full tensor.

    Raises:
        ValueError: the memory is not the shard that torch's split returns.
    """
    memory = local(tensor)
    axes = _ranges(tensor) if is_distributed(tensor) else [[range(size)] for size in tensor.shape]
    if reason := _difference(tensor, axes):
        raise ValueError(reason)
    for ranges in itertools.product(*map(_placed, axes)):
        view = memory
        for axis, (at, positions) in enumerate(ranges):
            view = view.narrow(axis, at, len(positions))
        selected = tuple(positions for _, positions in ranges)
        yield view, Region(tuple(view.shape), selected, tuple(tensor.shape))


def misplaced(tensor: torch.Tensor) -> str:
    """Return why this rank's memory is not the shard that torch's split returns; empty if it is."""
    return _difference(tensor, _ranges(tensor)) if is_distributed(tensor) else ""


def _difference(tensor: torch.Tensor, axes: Sequence[Sequence[range]]) -> str:
    found, wanted = tuple(local(tensor).shape), tuple(sum(map(len, ranges)) for ranges in axes)
    if found == wanted or not (math.prod(found) or math.prod(wanted)):
        return ""
    return f"this rank has a shard of shape {found}, where torch splits {tuple(tensor.shape)} into one of {wanted}"


def _placed(ranges: Sequence[range]) -> list[tuple[int, range]]:
    """Return consecutive ranges, each with its position in the memory."""
    starts = itertools.accumulate((len(positions) for positions in ranges[:-1]), initial=0)
    return list(zip(starts, ranges, strict=True))


def _ranges(tensor: Any) -> list[list[range]]:
    """Return this rank's positions on each axis of a DTensor, as ranges in the order of its memory."""
    mesh, coordinate = tensor.device_mesh, tensor.device_mesh.get_coordinate()
    axes = [torch.arange(size, device="cpu") for size in tensor.shape]
    if coordinate is None:  # this rank is not in the mesh
        return [[range(0)] for _ in axes]
    for dim, placement in enumerate(tensor.placements):
        if placement.is_replicate():
            continue
        # Split positions instead of values by torch's own method, so that strided and uneven shards are right.
        axis = placement.dim
        lying = axes[axis].view([1] * axis + [-1])
        parts, _ = placement._split_tensor(lying, mesh.size(dim), with_padding=False, contiguous=False)
        axes[axis] = parts[coordinate[dim]].reshape(-1)
    return [_joined(positions.numpy()) for positions in axes]


def _joined(positions: np.ndarray[Any, np.dtype[np.int64]]) -> list[range]:
    """Return runs of consecutive positions as ranges."""
    if not len(positions):
        return [range(0)]
    cuts = np.flatnonzero(np.diff(positions) != 1) + 1
    return [range(int(part[0]), int(part[-1]) + 1) for part in np.split(positions, cuts)]
