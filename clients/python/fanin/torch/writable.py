"""Memory of tensors: checks whether values can be written to it, and its address.

Native code writes to addresses. A tensor on the CPU can lack memory, or its memory can differ from its values. This
module checks that, so all code gets addresses from here.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch._C import _len_torch_dispatch_stack as _dispatch_modes
from torch._C import _len_torch_function_stack as _function_modes
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import _disable_current_modes

_IS_LITTLE = sys.byteorder == "little"
_ORDINARY = {torch.Tensor, torch.nn.Parameter}
"""Types of tensors whose operations are torch's own, and whose memory is their values."""
_dispatch_keys = torch._C._dispatch_keys
# Keys of a strided tensor in memory of the CPU that represents neither conjugates, negatives nor other tensors.
_ORDINARY_KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU)
for _key in ("ADInplaceOrView", "AutogradCPU", "AutocastCPU"):
    _ORDINARY_KEYS = _ORDINARY_KEYS.add(getattr(torch._C.DispatchKey, _key))
_is_compiling, _is_exporting = torch.compiler.is_dynamo_compiling, torch.compiler.is_exporting
_tracer, _transform = torch._C._get_tracing_state, torch._C._functorch.peek_interpreter_stack
_is_transformed = torch._C._functorch.is_functorch_wrapped_tensor
_OWN = torch._C._disabled_torch_dispatch_impl
"""`__torch_dispatch__` of classes whose operations are torch's own."""
_TRACING = {
    torch._C._TorchDispatchModeKey.FAKE: "FakeTensorMode",
    torch._C._TorchDispatchModeKey.PROXY: "make_fx",
    torch._C._TorchDispatchModeKey.FUNCTIONAL: "FunctionalTensorMode",
}
_WORK = 10_000
"""Maximum number of steps in which numpy searches for an element that two views share."""


def check_eager() -> None:
    """
    Raises:
        RuntimeError: a tracer or a transform runs. A trace would not contain what is written to memory, and each
            member of a batch would get the same numbers.
    """
    if _is_compiling():
        by = "torch.compile"
    elif _tracer() is not None:
        by = "torch.jit.trace"
    elif _transform() is not None:
        by = "a transform of torch.func (vmap, grad, functionalize)"
    else:
        modes = (name for key, name in _TRACING.items() if torch._C._get_dispatch_mode(key) is not None)
        by = next(modes, "torch.export" if _is_exporting() else "")
    if by:
        raise RuntimeError(f"{by} does not follow what fanin writes to memory: fill the tensors before it")


def is_ordinary(tensor: torch.Tensor) -> bool:
    """Return whether neither a mode nor a subclass changes what operations on a tensor do."""
    return type(tensor) in _ORDINARY and not _dispatch_modes() and not _function_modes()


def is_ready(tensor: torch.Tensor) -> bool:
    """Return whether values can be written now to the address of a tensor, from its first element to its last.

    `True` for ordinary tensors and parameters in memory of the CPU, without gaps, if no mode, tracer or transform
    runs. It replaces `check_eager`, `obstacle` and `plainly`, which cost more than the elements of a small tensor.
    `False` says nothing: ask those.
    """
    if _dispatch_modes() or _function_modes() or _tracer() is not None or _transform() is not None:
        return False
    return not _is_compiling() and not _is_exporting() and is_dense(tensor)


def is_dense(tensor: torch.Tensor) -> bool:
    """Return whether a tensor has a CPU address from which its elements, at least one, lie without gaps.

    The caller checks modes, tracers and transforms, with `check_eager` and `plainly`; `is_ready` includes them.
    """
    if type(tensor) not in _ORDINARY or _dispatch_keys(tensor) != _ORDINARY_KEYS or not tensor.is_contiguous():
        return False
    if hasattr(tensor, "ds_shape") or not _IS_LITTLE:  # DeepSpeed partitions the parameter
        return False
    storage, count = tensor.untyped_storage(), tensor.numel()
    needs = (tensor.storage_offset() + count) * tensor.itemsize
    return count > 0 and storage.nbytes() >= needs and storage.resizable()


@contextmanager
def plainly() -> Iterator[None]:
    """Disable modes (also a default device) and `__torch_function__` overrides inside the block."""
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        yield


def is_distributed(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is a DTensor, without an import of torch.distributed."""
    return hasattr(tensor, "device_mesh")


def local(tensor: Any) -> torch.Tensor:
    """Return this rank's part of a tensor, detached from autograd."""
    with torch.no_grad():
        memory: torch.Tensor = tensor.to_local() if is_distributed(tensor) else tensor
        return memory.detach()


def undetached(tensor: torch.Tensor) -> torch.Tensor:
    """Return this rank's part of a tensor, as `local`, but without `detach`, which takes ten times as long."""
    return tensor if type(tensor) in _ORDINARY else local(tensor)


def memory_of(tensor: torch.Tensor) -> object:
    """Return an identity of a tensor's memory: equal for tensors of one memory while `held` reserves its address."""
    if not _has_memory(tensor):
        return id(tensor)
    own = undetached(tensor)
    return own.untyped_storage()._cdata, own.storage_offset(), own.shape, own.stride()


def held(tensor: torch.Tensor) -> object:
    """Return an object that reserves the `memory_of` a tensor while it is referenced. The elements can be freed."""
    return StorageWeakRef(undetached(tensor).untyped_storage()) if _has_memory(tensor) else tensor


def _has_memory(tensor: torch.Tensor) -> bool:
    if torch.nn.parameter.is_lazy(tensor) or tensor.is_nested or tensor.layout != torch.strided:
        return False
    return undetached(tensor).numel() > 0


def obstacle(tensor: Any) -> str:
    """Return why values cannot be written to a tensor, or an empty string. Meta tensors must get memory first."""
    if torch.nn.parameter.is_lazy(tensor):
        return "a lazy tensor, which gets its shape at the first call"
    if _is_transformed(tensor):
        return "a tensor within a transform of torch.func, which represents other tensors"
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.layout != torch.strided:
        return f"a tensor of layout {tensor.layout}; only strided tensors can be filled"
    if getattr(tensor, "ds_shape", tensor.shape) != tensor.shape:  # DeepSpeed leaves an empty tensor
        return "a parameter that DeepSpeed has partitioned: fill it within deepspeed.zero.GatheredParameters"
    if is_distributed(tensor):
        if any(each.is_partial() for each in tensor.placements):
            return "a DTensor of partial sums; only sharded and replicated ones can be filled"
        tensor = tensor._local_tensor
    if type(tensor).__torch_dispatch__ is not _OWN:
        return f"a {type(tensor).__name__}, whose memory is not its values: fill the tensor that it wraps"
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
            return "a tensor in read-only memory, such as a NumPy array that maps a file"
    return ""


def _takes_values(tensor: torch.Tensor) -> bool:
    """Return whether the first and last byte can be written, by writing their current values.

    The kernel writes them through a pipe: it returns EFAULT where a direct write would end the process.
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
    """Return the address of the first element of a tensor on the CPU.

    Raises:
        ValueError: values cannot be written there.
    """
    reason = obstacle(view)
    if not reason and (view.device.type != "cpu" or is_distributed(view)):
        reason = f"a tensor on {view.device}, which is not in the memory of this process"
    at = 0 if reason else view.data_ptr()
    if not at and view.numel():
        raise ValueError(f"cannot be filled: {reason or 'a tensor without memory'}")
    return at


def overlapping(views: Sequence[torch.Tensor]) -> Iterator[tuple[int, int]]:
    """Yield pairs of indices of tensors that share an element, or may share one. Each tensor has elements."""
    spans = [_where(view) for view in views]
    reaching: list[int] = []
    for index in sorted(range(len(views)), key=lambda index: spans[index]):
        memory, begin, _ = spans[index]
        reaching = [other for other in reaching if spans[other][0] == memory and spans[other][2] > begin]
        yield from (
            (other, index) for other in reaching if _share(*(_Shape(views[n], spans[n][1]) for n in (other, index)))
        )
        reaching.append(index)


def _where(view: torch.Tensor) -> tuple[tuple[str, int, int], int, int]:
    """Return a name of a tensor's address space and its bytes [begin, end) there. The tensor has elements.

    Different storages can be one memory, as for two tensors that `torch.from_numpy` creates from one array.
    """
    begin, end = _span(view)
    storage = view.untyped_storage()
    device = view.device
    if view.is_meta:
        return ("meta", -1, storage._cdata), begin, end
    at = storage.data_ptr()
    return (device.type, -1 if device.index is None else device.index, 0), at + begin, at + end


def _share(one: _Shape, other: _Shape) -> bool:
    try:
        return np.shares_memory(one, other, max_work=_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _span(view: torch.Tensor) -> tuple[int, int]:
    """Return the bytes [begin, end) of the storage from the first element of a view to its last; it has elements."""
    begin = int(view.storage_offset()) * view.itemsize
    if view.is_contiguous():
        return begin, begin + view.numel() * view.itemsize
    last = sum((size - 1) * stride for size, stride in zip(view.shape, view.stride(), strict=True))
    return begin, begin + (int(last) + 1) * view.itemsize


class _Shape:
    """Strides of a tensor as an array of numpy that is never read. `begin` is the byte offset of the first element."""

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
    """Return whether elements may share memory: an axis has a stride below the reach of the axes inside it."""
    if not tensor.numel():
        return False
    reach = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride < reach:
            return True
        reach += (size - 1) * stride
    return False
