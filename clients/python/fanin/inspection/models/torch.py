"""PyTorch models: their tensors, the roles that layers give them, and memory that a builder left unwritten."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fanin.dtypes import DTYPE_NAMES, STORAGE
from fanin.inspection.results import Finding
from fanin.inspection.roles import Role, flipped, fused_kernel, guessed, kernel, transposed_kernel
from fanin.inspection.sources import Array, Source, of_array

_MARKS = {1: 0x7F, 2: 0x7FDB, 4: 0x7FDB_FA41, 8: 0x7FFB_FA41_0B5E_55ED}
"""Bit patterns of NaN, by size, that mark memory nothing has written."""
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LINEAR = (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)
"""Layers that multiply by a weight."""


def built(build: Callable[[], Any]) -> tuple[Any, list[Finding]]:
    """Return the model of a builder, and a finding for each parameter with memory that nothing has written.

    Memory that torch allocates without values is filled with a NaN of fixed bits, so the result depends neither on
    earlier programs nor on luck.
    """
    with _Marking():  # type: ignore[no-untyped-call]
        model = build()
    findings = []
    if isinstance(model, nn.Module):
        stored = set() if _has_lazy(model) else {*model.state_dict(keep_vars=True)}
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_meta or _is_lazy(tensor) or not tensor.is_floating_point():
                continue
            marked = _marked(_local(tensor))
            if marked:
                findings.append(
                    Finding(
                        # A buffer that is not stored may be a cache, which is written before it is read.
                        "error" if name in stored or isinstance(tensor, nn.Parameter) else "note",
                        "uninitialized",
                        name,
                        f"{marked} of {tensor.numel()} elements were never written after their memory was allocated",
                        "a value in every element",
                        "the weights are what the memory held before: they differ from run to run, and may be NaN",
                        "initialize the tensor after torch.empty, to_empty or empty_like",
                    )
                )
    return model, findings


class _Marking(TorchDispatchMode):
    """Marks the memory of tensors that are created without values."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name
        if name.startswith(("aten::empty", "aten::new_empty")) and isinstance(result, torch.Tensor):
            _mark(result)
        return result


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    size = tensor.element_size()
    return tensor.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[size])


def _mark(tensor: torch.Tensor) -> None:
    if tensor.is_meta or not tensor.is_floating_point() or not tensor.numel() or tensor.element_size() not in _MARKS:
        return
    if tensor.element_size() == 1 or not tensor.is_contiguous():
        tensor.fill_(float("nan"))
    else:
        _bits(tensor).fill_(_MARKS[tensor.element_size()])


def _marked(tensor: torch.Tensor) -> int:
    """Return the number of elements of a tensor that still have the mark."""
    size = tensor.element_size()
    if not is_dense(tensor) or size not in _MARKS or not tensor.numel():
        return 0
    if size == 1:
        return int(torch.isnan(tensor.detach().float()).sum())
    return int((_bits(tensor.detach().contiguous()) == _MARKS[size]).sum())


def _has_lazy(model: nn.Module) -> bool:
    return any(_is_lazy(each) for each in [*model.parameters(), *model.buffers()])


def _is_lazy(tensor: torch.Tensor) -> bool:
    return isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer)


def is_dense(tensor: torch.Tensor) -> bool:
    """Return whether a tensor has memory for each of its elements, unlike a sparse or a nested one."""
    return tensor.layout == torch.strided and not tensor.is_nested


def sources(model: nn.Module) -> tuple[list[Source], list[str]]:
    """Return the parameters and floating-point buffers of a model, and remarks about tensors that cannot be read."""
    found: list[tuple[str, torch.Tensor, Role]] = []
    for prefix, module in model.named_modules(remove_duplicate=True):
        for short, tensor in _own(module):
            name = f"{prefix}.{short}" if prefix else short
            if short in module._buffers:
                role = Role("buffer")
            else:
                has_shape = not _is_lazy(tensor) and not tensor.is_nested
                role = role_of(module, short, name, tensor) if has_shape else Role("other")
            found.append((name, tensor, role))
    return _read(found)


def of_tensors(tensors: Mapping[str, torch.Tensor]) -> tuple[list[Source], list[str]]:
    """Return tensors by name, such as a `state_dict`, as sources, and remarks as `sources` does."""
    roles = {
        name: Role("other") if each.is_nested else guessed(name, tuple(each.shape)) for name, each in tensors.items()
    }
    return _read((name, tensor, roles[name]) for name, tensor in tensors.items())


def _read(tensors: Iterable[tuple[str, torch.Tensor, Role]]) -> tuple[list[Source], list[str]]:
    found: list[Source] = []
    remarks: list[str] = []
    parts = 0
    for name, tensor, role in tensors:
        if tensor.is_meta or _is_lazy(tensor):
            shape = () if _is_lazy(tensor) else tuple(tensor.shape)
            found.append(Source(name, shape, STORAGE["F32"], lambda: iter(()), role, is_meta=True))
            continue
        local = _local(tensor)
        if not is_dense(local):
            kind = "nested" if local.is_nested else str(local.layout).removeprefix("torch.")
            remarks.append(f"{name} has the layout {kind}, which cannot be inspected")
            continue
        array = array_of(local)
        if array is None:
            remarks.append(f"{name} has the type {tensor.dtype}, which cannot be inspected")
            continue
        parts += local.shape != tensor.shape
        found.append(of_array(name, array, role, _memory(local)))
    if parts:
        remarks.append(f"{parts} distributed tensors were read in part: that of this rank")
    return found, remarks


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """Return the part of a distributed tensor that this rank has, which alone has memory; other tensors themselves."""
    local: torch.Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return local


def _own(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for short, parameter in module._parameters.items():
        if parameter is not None:
            yield short, parameter
    for short, buffer in module._buffers.items():
        if buffer is not None and (buffer.is_floating_point() or buffer.is_meta):
            yield short, buffer


def _memory(tensor: torch.Tensor) -> int | None:
    """Return an identity of the elements' memory; None for tensors without elements."""
    if not tensor.numel():
        return None
    return hash((tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), str(tensor.device)))


def array_of(tensor: torch.Tensor) -> Array | None:
    """Return the elements of a tensor as a NumPy array; None if NumPy has no such type."""
    plain = tensor.detach().cpu()
    name = str(plain.dtype).removeprefix("torch.")
    if name not in DTYPE_NAMES:
        return None
    dtype = STORAGE[DTYPE_NAMES[name]]
    if dtype.numpy.kind == "V" or name.startswith("float8"):
        array: Array = _bits(plain.contiguous()).numpy().view(dtype.numpy)
        return array
    found: Array = plain.resolve_conj().resolve_neg().numpy()
    return found


def role_of(module: nn.Module, short: str, name: str, tensor: torch.Tensor) -> Role:
    """Return the role of a parameter in its layer. `short` is its name there."""
    shape = tuple(tensor.shape)
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return Role("embedding")
    if isinstance(module, _NORMS) or (type(module).__name__.endswith("Norm") and len(shape) == 1):
        return Role("norm", text="scale of a normalization" if short == "weight" else "shift of a normalization")
    if short == "weight" and isinstance(module, _TRANSPOSED):
        return transposed_kernel(shape, module.groups, "torch default")
    if short == "weight" and isinstance(module, _CONVOLUTIONS):
        return kernel(shape, module.groups, "" if module.groups > 1 else "convolution")
    if short == "weight" and isinstance(module, nn.Linear):
        return fused_kernel(shape, name)
    if short == "in_proj_weight" and isinstance(module, nn.MultiheadAttention):
        return fused_kernel(shape, name, "glorot")
    if short == "weight" and type(module).__name__ == "Conv1D" and len(shape) == 2:
        return flipped(shape, name)
    if isinstance(module, nn.RNNBase) or short.startswith("bias"):
        return Role("bias" if "bias" in short else "other")
    return guessed(name, shape)


def quietly(call: Callable[[], Any]) -> Any:
    """Return the result of a call without the warnings of torch and of the model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call()
