"""The inputs for a module or a checkpoint: a recipe, and the other tensors of a recording."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from fanin.adapters.inputs import Recorded
from fanin.dtypes import FLOATING_NAMES
from fanin.file.layout import FileLayout, FileLayoutLike
from fanin.recipe.assumed_layouts import refuse_assumed
from fanin.recipe.inputs import read
from fanin.torch.recorder.recording import Recording


@dataclass(frozen=True)
class Given:
    """Tensors by name."""

    layout: FileLayout
    """Tensors that are generated."""
    literals: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Tensors whose values are given."""
    buffers: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Given values of buffers that are not persistent."""
    tied: Mapping[str, str] = field(default_factory=dict)
    """Other names of the same memory, each with its name in the layout or among the literals."""

    @classmethod
    def of(cls, recipe: FileLayoutLike, seed: int | str | None = None) -> Given:
        """Return the tensors of `recipe`, with `seed` in place of the recipe's if that is given.

        In a recipe that is not from a Fanin file, the layout must be given where a distribution depends on it.

        Raises:
            RecipeError: the recipe is wrong, or leaves a layout open.
            FileError: the file has no recipe.
            OSError: the file cannot be read.
        """
        # The usual classes first, because isinstance of a protocol looks up each of its members.
        if not isinstance(recipe, FileLayout | Mapping) and isinstance(recipe, Recorded):
            recorded = recipe if seed is None else recipe.with_seed(seed)
            layout = FileLayout.of(recorded.recipe)
            if isinstance(recorded, Recording):
                return cls(layout, recorded.literals, recorded.buffers, recorded.tied)
            refuse_assumed(layout.recipe)
            return cls(layout, {name: _tensor(literal) for name, literal in recorded.literals.items()})
        is_settled = False
        if isinstance(recipe, os.PathLike):
            recipe, is_settled = read(recipe)
        given = cls(FileLayout.of(recipe))
        if not is_settled:
            refuse_assumed(given.layout.recipe)
        if seed is None:
            return given
        return replace(given, layout=FileLayout.of(given.layout.recipe.seeded(seed)))

    def literal(self, name: str) -> torch.Tensor | None:
        """Return the given value of this name, if it has one."""
        return self.literals.get(name, self.buffers.get(name))


def _tensor(literal: Any) -> torch.Tensor:
    """Return an array of NumPy as a tensor. Types that NumPy lacks are passed as bits."""
    array = np.array(literal)
    if array.dtype.name not in FLOATING_NAMES or not hasattr(torch, array.dtype.name):
        return torch.from_numpy(array)
    bits = torch.from_numpy(array.reshape(-1).view(np.uint8))
    tensor: torch.Tensor = bits.view(getattr(torch, array.dtype.name)).reshape(array.shape)
    return tensor
