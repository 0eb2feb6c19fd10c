"""Memory of tensors: whether values can be written there, and where it is.

Native code writes to addresses. A tensor may say that it is on the CPU and have no memory of its own, or have memory
that is not its values; every address comes from here, where that is checked.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import _disable_current_modes

_OWN = torch._C._disabled_torch_dispatch_impl
"""`__torch_dispatch__` of classes whose operations are torch's own."""
_TRACING = {
    torch._C._TorchDispatchModeKey.FAKE: "FakeTensorMode",
    torch._C._TorchDispatchModeKey.PROXY: "make_fx",
    torch._C._TorchDispatchModeKey.FUNCTIONAL: "FunctionalTensorMode",
}
_WORK = 10_000
"""Steps after which numpy stops looking for an element that two views share."""


def check_eager() -> None:
    """
    Raises:
        RuntimeError: operations are traced or transformed now. A trace keeps nothing of what is written to memory;
            a batch would get the same numbers for every member.
    """
    if torch.compiler.is_dynamo_compiling():
        by = "torch.compile"
    elif torch._C._get_tracing_state() is not None:
        by = "torch.jit.trace"
    elif torch._C._functorch.peek_interpreter_stack() is not None:
        by = "a transform of torch.func (vmap, grad, functionalize)"
    else:
        modes = (name for key, name in _TRACING.items() if torch._C._get_dispatch_mode(key) is not None)
        by = next(modes, "torch.export" if torch.compiler.is_exporting() else "")
    if by:
        raise RuntimeError(f"{by} does not follow what fanin writes to memory: fill the tensors before it")


@contextmanager
def plainly() -> Iterator[None]:
    """Work with tensors unobserved and as they are: without modes, a default device among them, and overrides."""
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        yield


def is_distributed(tensor: torch.Tensor) -> bool:
    """Whether it is a DTensor, told without importing torch.distributed."""
    return hasattr(tensor, "device_mesh")


def local(tensor: Any) -> torch.Tensor:
    """The memory that this rank has of it, without its history."""
    with torch.no_grad():
        memory: torch.Tensor = tensor.to_local() if is_distributed(tensor) else tensor
        return memory.detach()


def memory_of(tensor: torch.Tensor) -> object:
    """Equal for tensors that are one memory, as long as `held` keeps them from giving their addresses to others."""
    if not _has_memory(tensor):
        return id(tensor)
    own = local(tensor)
    return own.untyped_storage()._cdata, own.storage_offset(), own.shape, own.stride()


def held(tensor: torch.Tensor) -> object:
    """While it is referenced, no later tensor has the `memory_of` this one; the elements may be freed."""
    return StorageWeakRef(local(tensor).untyped_storage()) if _has_memory(tensor) else tensor


def _has_memory(tensor: torch.Tensor) -> bool:
    if torch.nn.parameter.is_lazy(tensor) or tensor.is_nested or tensor.layout != torch.strided:
        return False
    return local(tensor).numel() > 0


def obstacle(tensor: Any) -> str:
    """Why values cannot be written to a tensor, empty if they can. Tensors on the meta device get memory first."""
    if torch.nn.parameter.is_lazy(tensor):
        return "a lazy tensor, which gets its shape at the first call"
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return "a tensor within a transform of torch.func, which stands for others"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout != torch.strided:
        return f"a tensor of layout {tensor.layout}; only strided ones are filled"
    if getattr(tensor, "ds_shape", tensor.shape) != tensor.shape:  # DeepSpeed leaves an empty tensor in its place
        return "a parameter that DeepSpeed has partitioned: fill it within deepspeed.zero.GatheredParameters"
    if is_distributed(tensor):
        if any(each.is_partial() for each in tensor.placements):
            return "a DTensor of partial sums; it is filled when sharded or replicated"
        tensor = tensor._local_tensor
    if type(tensor).__torch_dispatch__ is not _OWN:
        return f"a {type(tensor).__name__}, whose memory is not its values: fill the tensor that it stands for"
    if tensor.is_conj() or tensor.is_neg():
        bit = "conjugates (resolve_conj)" if tensor.is_conj() else "negatives (resolve_neg)"
        return f"a view whose memory holds the {bit} of its values"
    if _may_repeat(tensor):
        return "a tensor whose elements share memory (expand, as_strided)"
    if not tensor.is_meta and tensor.numel():
        storage, needs = tensor.untyped_storage(), _span(tensor)[1]
        if (has := storage.nbytes()) < needs:
            return f"a tensor whose memory was freed: {has} of {needs} bytes are left"
        if tensor.device.type == "cpu" and not storage.resizable() and not _takes_values(tensor):
            return "a tensor in read-only memory, as of a NumPy array that maps a file"
    return ""


def _takes_values(tensor: torch.Tensor) -> bool:
    """Return whether the first and last byte can be written. They are, with their own values.

    The kernel writes them: it refuses where a write of this process would end the process.
    """
    begin, end = (tensor.untyped_storage().data_ptr() + at for at in _span(tensor))
    places = [(ctypes.c_char * 1).from_address(at) for at in (begin, end - 1)]
    source, sink = os.pipe()
    try:
        os.write(sink, b"".join(place.raw for place in places))
        return os.readv(source, places) == len(places)
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise
        return False
    finally:
        os.close(source)
        os.close(sink)


def address(view: torch.Tensor) -> int:
    """Where the first element of a tensor on the CPU is.

    Raises:
        ValueError: values cannot be written there.
    """
    reason = obstacle(view)
    if not reason and (view.device.type != "cpu" or is_distributed(view)):
        reason = f"a tensor on {view.device}, and not in this process' own memory"
    at = 0 if reason else view.data_ptr()
    if not at and view.numel():
        raise ValueError(f"cannot be filled: {reason or 'a tensor without memory'}")
    return at


def overlapping(views: Sequence[torch.Tensor]) -> Iterator[tuple[int, int]]:
    """Pairs of tensors with elements, by their indices, that have, or may have, an element in common."""
    spans = [_where(view) for view in views]
    reaching: list[int] = []
    for index in sorted(range(len(views)), key=lambda index: spans[index]):
        memory, begin, _ = spans[index]
        reaching = [other for other in reaching if spans[other][0] == memory and spans[other][2] > begin]
        yield from (
            (other, index) for other in reaching if _share(*(_Shape(views[n], spans[n][1]) for n in (other, index)))
        )
        reaching.append(index)


def _where(view: torch.Tensor) -> tuple[str, int, int]:
    """The memory of a tensor that has elements, and its bytes [begin, end) there.

    Storages of their own may be one memory, as those of two tensors that `torch.from_numpy` makes of one array.
    """
    begin, end = _span(view)
    storage = view.untyped_storage()
    if view.is_meta:
        return f"{view.device} {storage._cdata}", begin, end
    return f"{view.device}", storage.data_ptr() + begin, storage.data_ptr() + end


def _share(one: _Shape, other: _Shape) -> bool:
    try:
        return np.shares_memory(one, other, max_work=_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _span(view: torch.Tensor) -> tuple[int, int]:
    """The bytes [begin, end) of the storage from the first element of a view, which has some, to its last."""
    last = sum((size - 1) * stride for size, stride in zip(view.shape, view.stride(), strict=True))
    begin = int(view.storage_offset()) * view.itemsize
    return begin, begin + (int(last) + 1) * view.itemsize


class _Shape:
    """For numpy: where elements lie, counted from an address that is not looked at. `begin` is the first one's byte."""

    BEGIN = 1 << 20

    def __init__(self, tensor: torch.Tensor, begin: int) -> None:
        size = tensor.itemsize
        self.__array_interface__ = {
            "version": 3,
            "shape": tuple(tensor.shape),
            "typestr": f"|V{size}",
            "data": (self.BEGIN + begin, True),
            "strides": tuple(stride * size for stride in tensor.stride()),
        }


def _may_repeat(tensor: torch.Tensor) -> bool:
    """Whether two elements may lie in one place: an axis steps less far than those below it reach."""
    if not tensor.numel():
        return False
    reach = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride < reach:
            return True
        reach += (size - 1) * stride
    return False
