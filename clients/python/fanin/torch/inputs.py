"""What a module or a checkpoint is filled with: a recipe, and what a recording has beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from fanin.file_layout import FileLayout, FileLayoutLike
from fanin.recipe.assumed_layouts import refuse_assumed
from fanin.recipe.inputs import read
from fanin.torch.recorder.recording import Recording


@dataclass(frozen=True)
class Given:
    """Tensors by name."""

    layout: FileLayout
    """Those that are drawn."""
    literals: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Those whose values are given."""
    buffers: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Given values of buffers that are not persistent."""
    tied: Mapping[str, str] = field(default_factory=dict)
    """Other names of the same memory."""

    @classmethod
    def of(cls, recipe: FileLayoutLike, seed: int | None = None) -> Given:
        """What `recipe` says, with this seed or its own.

        The bytes of a Fanin file are settled; of a recipe the layout must be given where it makes a difference.

        Raises:
            RecipeError: the recipe is wrong, or leaves a layout open.
            FileError: the file has no recipe.
            OSError: it cannot be read.
        """
        if isinstance(recipe, Recording):
            recording = recipe if seed is None else recipe.with_seed(seed)
            return cls(FileLayout.of(recording.recipe), recording.literals, recording.buffers, recording.tied)
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
        """The given value of this name, if it has one."""
        return self.literals.get(name, self.buffers.get(name))
