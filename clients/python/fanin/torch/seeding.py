"""Seeds and names of the tensors that the functions of `fanin.torch.initializers` fill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import nn

from fanin.torch.named_tensors import named
from fanin.torch.writable import held, is_ordinary, memory_of, plainly


class _Names:
    """Names of the tensors of a module, including tensors that it gets later, as by `to_empty` and `half`."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._look()

    def of(self, tensor: torch.Tensor) -> str | None:
        """Return the first name of the tensor's memory in the module; `None` if the module does not have it."""
        memory = memory_of(tensor)
        if memory not in self._names:
            self._look()
        return self._names.get(memory)

    def _look(self) -> None:
        found = list(named(self._module))
        self._names: dict[object, str] = {}
        for each in found:
            self._names.setdefault(each.memory, each.name)
        # These reserve the addresses. Otherwise new memory could get the address, and so the name, of freed memory.
        self._held = [held(each.tensor) for each in found]


_seeded: ContextVar[tuple[int, _Names] | None] = ContextVar("fanin_seeded", default=None)


@contextmanager
def seeded(seed: int, module: nn.Module) -> Iterator[None]:
    """Give the functions of `fanin.torch.initializers` a seed and names inside the context.

    The name of a parameter or buffer of `module` is its first name in `state_dict()`.

        >>> with fanin.torch.seeded(42, model):
        ...     fanin.torch.initializers.kaiming_normal_(model.fc.weight)

    Args:
        seed: 0 to 2^64 - 1.
        module: The module whose tensors are initialized.
    """
    with plainly():
        names = _Names(module)
    token = _seeded.set((seed, names))
    try:
        yield
    finally:
        _seeded.reset(token)


def stream_of(
    tensor: torch.Tensor, seed: int | None, name: str | None, generator: torch.Generator | None
) -> tuple[int, str]:
    """Return the seed and the name of the tensor's random numbers.

    Raises:
        ValueError: they are not known, a generator was given, or the tensor can be a part of a parameter.
    """
    if getattr(tensor, "_fsdp_flattened", False) and tensor.dim() == 1:
        raise ValueError("a rank of FullyShardedDataParallel may have any part of it: fill the module before")
    if generator is not None:
        raise ValueError("generator is not supported: the numbers depend on a seed and the tensor's name")
    if seed is not None and name is not None:
        return seed, name
    if seed is not None or name is not None:
        raise ValueError("give both seed and name, or neither within fanin.torch.seeded(seed, module)")
    within = _seeded.get()
    if within is None:
        raise ValueError("no seed: give seed= and name=, or call it within fanin.torch.seeded(seed, module)")
    if not tensor.numel():
        return within[0], "nothing"
    if is_ordinary(tensor):
        found = within[1].of(tensor)
    else:
        with plainly():
            found = within[1].of(tensor)
    if found is None:
        kind = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        raise ValueError(f"this tensor ({kind}) is not a full parameter or buffer of the module: give seed= and name=")
    return within[0], found
