"""Tensors of torch, filled in place where they live."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from fanin import arrays, backends
from fanin.adapters.slicers import Slicer
from fanin.arrays import Array
from fanin.errors import BackendError, NoDeviceError, NotBuiltError
from fanin.file_layout import Entry, FileLayout
from fanin.recording.to_scheme import law
from fanin.region import Region
from fanin.strided import place
from fanin.torch.dtensors import boxes
from fanin.torch.recorder.shadow_memory import current
from fanin.torch.writable import address, obstacle

PIECE = 64 << 20
"""Bytes that are made elsewhere, and then copied, at a time."""
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Types for bits, which NumPy and DLPack have too."""
_log = logging.getLogger("fanin")


def fill(layout: FileLayout, name: str, tensor: torch.Tensor, take: Slicer | None = None) -> None:
    """Write the recipe's tensor `name` into a tensor of its shape and type; of a DTensor, this rank's shard.

    On the CPU straight into its memory; on an NVIDIA GPU by the backend `cuda` where that can be used. Elsewhere, and
    where `take` gives the slices, in pieces that are copied. While a model is recorded, its law is noted instead.

    Raises:
        ValueError: values cannot be written to this tensor.
        BackendError: torch keeps its numbers big-endian here.
        ServiceError, MismatchError: as `take`.
    """
    if reason := obstacle(tensor):
        raise ValueError(f"the tensor of {name!r} cannot be filled: {reason}")
    if (recording := current()) is not None:
        recording.write(tensor, [(tensor.numel(), law(layout.recipe.tensors[name]))])
        return
    if sys.byteorder != "little":
        raise BackendError("torch keeps its numbers big-endian on this machine; only little-endian ones are written")
    entry = layout.entry(name)
    for view, region in boxes(tensor):
        if not view.numel():
            continue
        if take:
            _copy(entry, region, view, lambda part: take(layout, name, part.index))
        elif view.device.type == "cpu":
            strides = [stride * view.itemsize for stride in view.stride()]
            place(entry, region, address(view), strides, backends.get())
        elif view.device.type == "cuda" and (gpu := _gpu(view.device.index)):
            _fill_gpu(entry, region, view, gpu)
        else:
            _copy(entry, region, view, lambda part: arrays.slice(layout, name, part.index))
    torch.autograd.graph.increment_version(tensor)


def _bits(view: torch.Tensor) -> torch.Tensor:
    return view.view(_BITS[view.itemsize])


def _within(view: torch.Tensor, region: Region, part: Region) -> torch.Tensor:
    """Where a part of the region lies in the view of the whole of it."""
    for axis, (outer, inner) in enumerate(zip(region.axes, part.axes, strict=True)):
        view = view.narrow(axis, inner.start - outer.start, len(inner))
    return view


def _copy(entry: Entry, region: Region, view: torch.Tensor, make: Callable[[Region], Array]) -> None:
    size = entry.dtype.itemsize
    for part in region.parts(lambda part: math.prod(part.lengths) * size <= PIECE):
        target = _within(view, region, part)
        made = make(part).reshape(part.lengths)
        _bits(target).copy_(torch.from_numpy(made.view(f"i{size}" if size > 1 else "u1")))


@lru_cache
def _gpu(device: int) -> Any:
    """The backend `cuda`, made on this device; none where it cannot be used."""
    try:
        import cupy

        with cupy.cuda.Device(device):
            return backends.load("cuda")
    except (ImportError, NotBuiltError, NoDeviceError) as error:
        _log.warning("tensors on the GPU are made on the CPU and copied, the backend cuda cannot be used: %s", error)
        return None


def _fill_gpu(entry: Entry, region: Region, view: torch.Tensor, gpu: Any) -> None:
    """In order with torch's work on its current stream. What is not one stretch is picked from the span it is in."""
    import cupy

    size = entry.dtype.itemsize
    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream(view.device).cuda_stream, view.device.index)
    for part in region.parts(lambda part: _span(part)[1] * size <= PIECE or _is_stretch(part)):
        target = _within(view, region, part)
        first, count = _span(part)
        is_direct = _is_stretch(part) and target.is_contiguous()
        memory = _bits(target) if is_direct else torch.empty(count, dtype=_BITS[size], device=view.device)
        with stream:
            gpu.fill_array(entry.draw, entry.stream, entry.dtype, first, cupy.from_dlpack(memory.reshape(-1)))
        if not is_direct:
            _bits(target).copy_(memory.as_strided(part.lengths, part.strides))


def _span(region: Region) -> tuple[int, int]:
    """The first element of a region, and how many lie from there to its last."""
    first, last = (
        sum(axis[end] * stride for axis, stride in zip(region.axes, region.strides, strict=True)) for end in (0, -1)
    )
    return first, last - first + 1


def _is_stretch(region: Region) -> bool:
    return _span(region)[1] == math.prod(region.lengths)
