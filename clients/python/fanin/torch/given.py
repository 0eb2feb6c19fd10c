"""What a module or a checkpoint is filled with: a recipe, and what a recording has beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from fanin.files import layout_of
from fanin.layout import Layout
from fanin.recipe import Recipe
from fanin.torch.recording import Recording

RecipeSource = Recipe | Layout | Recording | Mapping[str, Any] | str | bytes | os.PathLike[str]
"""A recipe in any spelling, the path of its file or of a Fanin file, or a recording. A text is JSON if it begins with
a brace, and a path otherwise."""


@dataclass(frozen=True)
class Given:
    """Tensors by name."""

    layout: Layout
    """Those that are drawn."""
    literals: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Those whose values are given."""
    buffers: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Given values of buffers that are not persistent."""
    tied: Mapping[str, str] = field(default_factory=dict)
    """Other names of the same memory."""

    @classmethod
    def of(cls, recipe: RecipeSource, seed: int | None = None) -> Given:
        """What `recipe` says, with this seed or its own.

        Raises:
            RecipeError: the recipe is wrong.
            FileError: the file has no recipe.
            OSError: it cannot be read.
        """
        if isinstance(recipe, Recording):
            recording = recipe if seed is None else recipe.with_seed(seed)
            return cls(Layout.of(recording.recipe), recording.literals, recording.buffers, recording.tied)
        if isinstance(recipe, os.PathLike) or (isinstance(recipe, str) and not recipe.lstrip().startswith("{")):
            with Path(recipe).open("rb") as file:
                given = cls(layout_of(file))
        else:
            given = cls(Layout.of(recipe))
        if seed is None:
            return given
        return replace(given, layout=Layout.of(given.layout.recipe.seeded(seed)))

    def literal(self, name: str) -> torch.Tensor:
        """The given value of this name."""
        return self.literals[name] if name in self.literals else self.buffers[name]
