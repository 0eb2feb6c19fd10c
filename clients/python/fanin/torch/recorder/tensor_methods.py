"""Methods of tensors during a recording: tensors report that they are on the CPU, and return their values.

Otherwise code would skip its initialization: `orthogonal_` and others do nothing on the meta device.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, handle_torch_function

from fanin.errors import RecordError
from fanin.recording.distributions import Normal, Sparse, Unknown, Unset
from fanin.recording.patching import Function, Replaced
from fanin.torch.recorder.operation import line
from fanin.torch.recorder.pieces import Piece, values
from fanin.torch.recorder.shadow_memory import Memory, current, peculiar
from fanin.torch.recorder.statistics import NOTED, note, noticing_spectral_norm
from fanin.torch.writable import plainly

Tensor = torch.Tensor
PRETENDED = {
    Tensor.device.__get__: torch.device("cpu"),
    Tensor.is_cpu.__get__: True,  # type: ignore[attr-defined]
    Tensor.is_meta.__get__: False,  # type: ignore[attr-defined]
}
LENDING = {
    Tensor.numpy,
    Tensor.__array__,
    Tensor.__dlpack__,
    Tensor.__dlpack_device__,
    Tensor.data_ptr,
    Tensor.untyped_storage,
    Tensor.storage,
}
"""Methods that give the memory of a tensor to code outside of torch."""
SETTING = Tensor.data.__set__  # type: ignore[attr-defined]
INDEXING = {Tensor.__getitem__, Tensor.__setitem__}


@contextmanager
def pretending(memory: Memory) -> Iterator[None]:
    """Make tensors appear to be on the CPU, with values, inside the block."""
    with (
        _REPLACED.within(torch.nn.init),
        _STORAGE.within(torch.UntypedStorage),
        noticing_spectral_norm(),
        _Surface(memory),
    ):
        yield


def _sparse(memory: Memory, tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:  # noqa: ARG001
    rows, columns = tensor.shape
    memory.write(tensor, [(tensor.numel(), Sparse(rows, columns, sparsity, std))])
    return tensor


def _truncated(
    memory: Memory,
    tensor: Tensor,
    mean: float,
    std: float,
    a: float,
    b: float,
    generator: Any = None,  # noqa: ARG001
) -> Any:
    memory.write(tensor, [(tensor.numel(), Normal(mean, std, a, b))])
    return tensor


def _while_recording(recorded: Function) -> Callable[[Function], Function]:
    """Return a replacement that calls `recorded` in a thread that records a model."""

    def replacement(plain: Function) -> Function:
        @functools.wraps(plain)
        def either(*args: Any, **kwargs: Any) -> Any:
            if (memory := current()) is None:
                return plain(*args, **kwargs)
            with plainly():
                return recorded(memory, *args, **kwargs)

        return either

    return replacement


_REPLACED = Replaced(
    {
        # It draws until all values are inside the bounds, which cannot be followed without values.
        # All callers of trunc_normal_ call this function.
        "_no_grad_trunc_normal_": _while_recording(_truncated),
        # Random indices decide the places of its zeros.
        "sparse_": _while_recording(_sparse),
    }
)


def _guarded(write: Function) -> Function:
    """Refuse to write the bytes of a storage without memory to a file: torch would read from address 0."""

    @functools.wraps(write)
    def either(storage: torch.UntypedStorage, *args: Any) -> Any:
        if current() is not None and storage.device.type == "meta":
            raise RecordError.of(f"{line() or 'the construction'}: pickle or torch.save reads the values of a tensor")
        return write(storage, *args)

    return either


_STORAGE = Replaced({"_write_file": _guarded})


class _Surface(TorchFunctionMode):
    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return self._called(func, args, kwargs or {})
        except Exception as error:
            self._memory.failure = error
            raise

    def _called(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func in PRETENDED:
            return PRETENDED[func]
        if func is Tensor.tolist:
            with plainly():
                return known(self._memory, args[0], "tolist").tolist()
        if func in LENDING and not _is_torchs(sys._getframe(2)):
            with plainly():
                return func(self._lent(args[0], func.__name__), *args[1:], **kwargs)
        if func is Tensor.share_memory_ or (func in (Tensor.cpu, Tensor.to) and _stays(func, args, kwargs)):
            return args[0]
        if func == SETTING:
            with plainly():
                _check_kinds(*args)
        if func in INDEXING:
            return func(args[0], _index(args[1]), *args[2:])
        result = func(*args, **kwargs)
        if func in NOTED:
            with plainly():
                note(self._memory, func, result, args, kwargs)
        return result

    def _lent(self, tensor: Tensor, operation: str) -> Tensor:
        """Return the tensor in real memory.

        Raises:
            RecordError: its values are unknown.
        """
        lent = self._memory.lend(tensor)
        if lent is None:
            raise unreadable(self._memory.read(tensor), operation)
        return lent


def known(memory: Memory, tensor: Tensor, operation: str) -> Tensor:
    """Return the tensor in separate memory.

    Raises:
        RecordError: its values are unknown.
    """
    if peculiar(tensor) and not tensor.is_meta:
        return tensor
    pieces = memory.read(tensor)
    flat = values(pieces, tensor.dtype)
    if flat is None:
        raise unreadable(pieces, operation)
    return flat.view(tensor.shape)


def unreadable(pieces: list[Piece], operation: str) -> RecordError:
    """Return the error that explains why values are unknown."""
    causes = {dist.operation for _, dist in pieces if isinstance(dist, Unknown)}
    causes |= {"memory that nothing has written" for _, dist in pieces if isinstance(dist, Unset)}
    if not causes and values([(1, dist) for _, dist in pieces], torch.complex128) is not None:
        causes = {"a tensor that is too large to be computed"}
    what = f"values that come from {', '.join(sorted(causes) or ['random numbers'])}"
    return RecordError.of(f"{line() or 'the construction'}: {operation} reads {what}")


def _is_torchs(frame: Any) -> bool:
    """Return whether torch's own code calls. It copies and compares storages and does not write to them."""
    if frame.f_code is handle_torch_function.__code__:
        frame = frame.f_back.f_back  # from the method, which is written in Python, to its caller
    name: str = frame.f_globals.get("__name__", "")
    return name == "torch" or name.startswith("torch.")


def _stays(func: Any, args: Any, kwargs: Any) -> bool:
    """Return whether a move to the CPU does nothing: the tensor reports the CPU, so torch returns the tensor itself."""
    if func is Tensor.cpu:
        return len(args) == 1 and not kwargs
    rest = {**kwargs}
    device = rest.pop("device", None)
    places = [each for each in (device, *args[1:]) if isinstance(each, torch.device | str)]
    others = [each for each in args[1:] if not isinstance(each, torch.device | str | bool | None)]
    dtypes = [*others, *(each for each in [rest.pop("dtype", None)] if each)]
    if any(each != args[0].dtype for each in dtypes) or rest.pop("copy", False) or rest.get("memory_format"):
        return False
    return len(places) == 1 and torch.device(places[0]).type == "cpu"


def _check_kinds(tensor: Tensor, data: Tensor) -> None:
    """Refuse to give a followed tensor real memory, or the reverse: torch would only say that the types differ.

    Raises:
        RecordError: one of them was created by `torch.tensor` or `from_numpy`, and the other was not.
    """
    if tensor.is_meta != data.is_meta:
        what = ".data = is given a tensor of torch.tensor or from_numpy, or replaces one: use .data.copy_(tensor)"
        raise RecordError.of(f"{line() or 'the construction'}: {what}")


def _index(index: Any) -> Any:
    """Return an index with lists replaced by tensors. Torch would convert them where no operation is recorded."""
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    if isinstance(index, range):
        index = list(index)
    if isinstance(index, list) and index and all(isinstance(each, int | list) for each in index):
        return torch.tensor(index)
    return index
