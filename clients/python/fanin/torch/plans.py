"""Plans to fill a memory of a module: the source of its values, and the memory that a meta tensor gets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from fanin.adapters.slicers import Slicer
from fanin.recording.distributions import Values
from fanin.torch.dtensors import boxes
from fanin.torch.filling import copy_parts, fill
from fanin.torch.inputs import Given
from fanin.torch.load_hooks import Derived
from fanin.torch.named_tensors import Named
from fanin.torch.recorder.shadow_memory import current
from fanin.torch.writable import is_dense, is_distributed, undetached


@dataclass(slots=True)
class Plan:
    """One memory of the module, and the source of its values."""

    name: str
    """Name in the recipe or among the literals."""
    places: list[Named]
    """Names of the memory in the module."""
    target: torch.Tensor
    literal: torch.Tensor | None
    """Values, if they are not generated from the recipe."""
    axes: tuple[int, ...] | None = None
    """Axis i of the target is axis axes[i] of the tensor; `None` if the order is equal."""
    is_dense: bool = False
    """True if the backend may write to the target's address: see `writable.is_dense`."""
    derived: Derived | None = None
    """The tensor that load hooks derive, if they do."""

    def materialize(self, device: torch.device | str | None, fallback: torch.device) -> None:
        """Allocate memory for a tensor of the meta device, on `device`, its mesh's device, or the fallback.

        Raises:
            ValueError: the selected device is the meta device.
        """
        if not undetached(self.target).is_meta or current() is not None:
            return
        if is_distributed(self.target):
            device = device or self.target.device_mesh.device_type  # type: ignore[attr-defined]
        device = torch.device(device or fallback)
        if device.type == "meta":
            raise ValueError("the default device is meta, which has no memory: pass device=")
        self.target = torch.empty_like(self.target.detach(), device=device)
        self.is_dense = is_dense(self.target)

    def fill(self, given: Given, take: Slicer | None, backend: str | None) -> None:
        """Write the values into the target."""
        if (made := self.derived) is not None:
            for view, region in boxes(self.target):
                copy_parts(region, view, lambda part: made.read(given.layout, part, backend))
        elif self.literal is None:
            fill(given.layout, self.name, self.target, take, axes=self.axes, backend=backend)
        else:
            self._copy(self.literal)

    def _copy(self, literal: torch.Tensor) -> None:
        if self.axes is not None:
            literal = literal.permute(self.axes)
        if (recording := current()) is not None:
            recording.write(self.target, [(literal.numel(), Values(literal.reshape(-1)))])
        else:
            for view, region in boxes(self.target):
                view.copy_(literal[region.index])

    def put(self) -> None:
        """Put the allocated memory into the module. Tensors that shared the old memory share the new one."""
        if self.target is self.places[0].tensor:
            return
        olds = {id(place.tensor): place.tensor for place in self.places}
        made = {key: _like(old, self.target) for key, old in olds.items()}
        for place in self.places:
            setattr(place.owner, place.attribute, made[id(place.tensor)])


def _like(old: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    """Return a tensor that reads this memory as another tensor reads its own, with the class of the other tensor."""
    made = memory.detach()
    if made.dtype != old.dtype:
        made = made.view(old.dtype)
    if old.is_conj():
        made = made.conj()
    if old.is_neg():
        made = torch._neg_view(made)
    if isinstance(old, nn.Parameter):
        made = nn.Parameter(made, requires_grad=old.requires_grad)
    if type(made) is not type(old):  # a subclass that the user defines
        made = torch.Tensor._make_subclass(type(old), made.detach(), old.requires_grad)
    made.__dict__.update(old.__dict__)
    return made
