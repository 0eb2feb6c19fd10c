"""The tensors of a module, under all their names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

from fanin.torch.recorder.recording import WRAPPERS
from fanin.torch.writable import memory_of


class Named(NamedTuple):
    """One tensor of a module under one of its names."""

    name: str
    owner: nn.Module
    attribute: str
    tensor: torch.Tensor
    is_persistent: bool

    @property
    def memory(self) -> object:
        """Identity of the memory, equal for all names of one memory."""
        return memory_of(self.tensor)


def named(module: nn.Module) -> Iterator[Named]:
    """Yield parameters and buffers under all their names in `state_dict()`. Modules of FSDP are resharded first."""
    for path, owner in module.named_modules(remove_duplicate=False):
        if _is_fsdp(owner):  # after a forward the parameters are gathered copies, which reshard frees
            owner.reshard()
        members = [*owner._parameters.items(), *owner._buffers.items()]
        if not members:
            continue
        prefix = "".join(f"{part}." for part in path.split(".") if part and part not in WRAPPERS)
        passing = owner._non_persistent_buffers_set
        for attribute, tensor in members:
            if tensor is not None:
                yield Named(prefix + attribute, owner, attribute, tensor, attribute not in passing)


def _is_fsdp(module: nn.Module) -> bool:
    """Return whether `fully_shard` was called on a module, without an import of torch.distributed."""
    kind = type(module)
    return hasattr(kind, "reshard") and any(each.__name__ == "FSDPModule" for each in kind.__mro__)
