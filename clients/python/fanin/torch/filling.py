"""Fill tensors of torch in place, on their own device."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from fanin import arrays, backends
from fanin.adapters.slicers import Slicer
from fanin.arrays import Array
from fanin.draws import Fill
from fanin.errors import BackendError, NoDeviceError, NotBuiltError
from fanin.file.layout import Entry, FileLayout
from fanin.recording.to_scheme import distribution
from fanin.region import Region
from fanin.single import Single
from fanin.streams import Stream
from fanin.strided import place
from fanin.torch.dtensors import boxes
from fanin.torch.recorder.shadow_memory import current
from fanin.torch.writable import address, obstacle

PIECE = 64 << 20
"""Maximum number of bytes that are generated elsewhere and then copied at a time."""
SMALLEST_NORMAL = 2.0**-126
"""Smallest normal number of float32, in which torch converts numbers for all types but float64."""
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integer type for the bits of an element, by its size in bytes. NumPy and DLPack have these types too."""
_log = logging.getLogger("fanin")


def fill(
    layout: FileLayout,
    name: str,
    tensor: torch.Tensor,
    take: Slicer | None = None,
    *,
    axes: Sequence[int] | None = None,
    backend: str | None = None,
) -> None:
    """Write the recipe's tensor `name` into a tensor of its shape and type, or this rank's shard into a DTensor.

    On the CPU it writes into the tensor's memory. On an NVIDIA GPU it uses the backend `cuda` if that is available.
    On other devices, and if `take` returns the slices, it copies them in pieces. While a model is recorded, it records
    the distribution instead. Axis i of `tensor` is axis axes[i] of the recipe's tensor. Without a `backend`, the
    fastest one for the device generates the elements.

    Raises:
        ValueError: values cannot be written to this tensor.
        BackendError: this machine is big-endian, or the backend cannot be used for this device.
        ServiceError, MismatchError: `take` raised it.
    """
    if reason := obstacle(tensor):
        raise ValueError(f"the tensor of {name!r} cannot be filled: {reason}")
    if (recording := current()) is not None:
        recording.write(tensor, [(tensor.numel(), distribution(layout.recipe.tensors[name]))])
        return
    _check_byte_order()
    entry = layout.entry(name)
    for view, region in boxes(tensor):
        if axes is not None:
            view, region = _reordered(view, region, axes)
        if not view.numel():
            continue
        if take:
            copy_parts(region, view, lambda part: take(layout, name, part.index))
        else:
            fill_region(entry, region, view, backend)
    torch.autograd.graph.increment_version(tensor)


def fill_region(entry: Entry, region: Region, view: torch.Tensor, backend: str | None = None) -> None:
    """Write a region without gaps to a view of its shape and type, as `fill`. The view has elements.

    The region may be one of another shape of the tensor that has the same elements in row-major order.
    """
    if view.device.type == "cuda" and backend in (None, "cuda") and (gpu := _gpu(view.device.index, backend)):
        _fill_gpu(entry, region, view, gpu)
    elif backend == "cuda":
        raise BackendError(f"the backend cuda fills tensors on a GPU; the tensor of {entry.name!r} is on {view.device}")
    elif view.device.type == "cpu":
        strides = [stride * view.itemsize for stride in view.stride()]
        place(entry, region, address(view), strides, backends.get(backend))
    else:
        copy_parts(region, view, lambda part: arrays.of_region(entry, part, backends.get(backend)))


def fill_ready(made: Single, stream: Stream, tensor: torch.Tensor) -> None:
    """Write all elements to a tensor of their shape and type that `is_ready`, while no model is recorded."""
    # torch converts the number with float operations, which flush a subnormal one to zero in some threads.
    if type(made.draw) is Fill and not 0 < abs(made.draw.value) < SMALLEST_NORMAL:
        tensor.detach().fill_(made.draw.value)
        return
    made.filler(backends.get())(stream, made.count, tensor.data_ptr())
    torch.autograd.graph.increment_version(tensor)


def fill_dense(layout: FileLayout, targets: Sequence[tuple[str, torch.Tensor]], backend: str | None = None) -> None:
    """Write tensors of the recipe, by name, to tensors of their shapes and types that are dense in memory of the CPU.

    Neighbours in the file are written by one call of the backend, up to `PIECE` bytes, after which an interrupt is
    noticed.
    """
    entries, maker = layout.entries, backends.get(backend)
    ordered = sorted((layout.places[name], tensor.data_ptr()) for name, tensor in targets)
    runs: list[tuple[int, list[int]]] = []
    begin = 0
    for index, at in ordered:
        first, addresses = runs[-1] if runs else (-1, [])
        if index != first + len(addresses) or entries.offsets[index + 1] - begin > PIECE:
            addresses, begin = [], entries.offsets[index]
            runs.append((index, addresses))
        addresses.append(at)
    is_most = 2 * len(ordered) > len(entries)
    for first, addresses in runs:
        # The backend packs all tensors of the object that it is given, and keeps them while that exists.
        among, start = (entries, first) if is_most else (entries[first : first + len(addresses)], 0)
        maker.fill_tensors(among, np.array(addresses, np.uint64), start)
    torch.autograd.graph.increment_version([tensor for _, tensor in targets])


def _reordered(view: torch.Tensor, region: Region, axes: Sequence[int]) -> tuple[torch.Tensor, Region]:
    """Return a view and its region with the axes in the order of the recipe's tensor."""
    order = sorted(range(len(axes)), key=axes.__getitem__)
    view = view.permute(order)
    axes_of_tensor = tuple(region.axes[axis] for axis in order)
    return view, Region(tuple(view.shape), axes_of_tensor, tuple(region.sizes[axis] for axis in order))


def _check_byte_order() -> None:
    if sys.byteorder != "little":
        raise BackendError("torch stores big-endian numbers on this machine; fanin writes only little-endian ones")


def _bits(view: torch.Tensor) -> torch.Tensor:
    return view.view(_BITS[view.itemsize])


def within(view: torch.Tensor, region: Region, part: Region) -> torch.Tensor:
    """Return the view of a part of the region, from the view of the region."""
    for axis, (outer, inner) in enumerate(zip(region.axes, part.axes, strict=True)):
        view = view.narrow(axis, inner.start - outer.start, len(inner))
    return view


def copy_parts(region: Region, view: torch.Tensor, make: Callable[[Region], Array]) -> None:
    """Copy the elements of a region to its view, in parts of at most 64 MiB, which `make` returns one at a time.

    Raises:
        BackendError: this machine is big-endian.
    """
    _check_byte_order()
    size = view.itemsize
    if not view.numel():
        return
    for part in region.parts(lambda part: math.prod(part.lengths) * size <= PIECE):
        target = within(view, region, part)
        made = make(part).reshape(-1).view(f"i{size}" if size > 1 else "u1")
        _bits(target).copy_(torch.from_numpy(made.reshape(part.lengths)))


@lru_cache
def _gpu(device: int, backend: str | None) -> Any:
    """Return the backend `cuda` for this device; `None` if it is unusable and was not requested.

    Raises:
        BackendError: it was requested and is unusable.
    """
    try:
        import cupy

        with cupy.cuda.Device(device):
            return backends.load("cuda")
    except (ImportError, NotBuiltError, NoDeviceError) as error:
        if backend is not None:
            raise BackendError(f"the backend cuda cannot be used: {error}") from error
        _log.warning("tensors on the GPU are generated on the CPU and copied: backend cuda is unusable: %s", error)
        return None


def _fill_gpu(entry: Entry, region: Region, view: torch.Tensor, gpu: Any) -> None:
    """Fill a view on a GPU, in order with torch's work on its current stream.

    If a part is not contiguous, all elements from its first to its last are generated, and the part is copied.
    """
    import cupy

    size = entry.dtype.itemsize
    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream(view.device).cuda_stream, view.device.index)
    for part in region.parts(lambda part: _span(part)[1] * size <= PIECE or _is_stretch(part)):
        target = within(view, region, part)
        first, count = _span(part)
        is_direct = _is_stretch(part) and target.is_contiguous()
        memory = _bits(target) if is_direct else torch.empty(count, dtype=_BITS[size], device=view.device)
        with stream:
            gpu.fill_array(entry.draw, entry.stream, entry.dtype, first, cupy.from_dlpack(memory.reshape(-1)))
        if not is_direct:
            _bits(target).copy_(memory.as_strided(part.lengths, part.strides))


def _span(region: Region) -> tuple[int, int]:
    """Return the index of a region's first element, and the number of elements from it to the last."""
    first, last = (
        sum(axis[end] * stride for axis, stride in zip(region.axes, region.strides, strict=True)) for end in (0, -1)
    )
    return first, last - first + 1


def _is_stretch(region: Region) -> bool:
    return _span(region)[1] == math.prod(region.lengths)
