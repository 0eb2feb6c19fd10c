"""Recipes and recordings as inputs of the adapters of JAX and Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, runtime_checkable

from fanin.arrays import Array
from fanin.file.layout import FileLayout, FileLayoutLike
from fanin.recipe import Recipe


@runtime_checkable
class Recorded(Protocol):
    """A recording of any framework: a recipe, and the values of the tensors that no recipe describes."""

    @property
    def recipe(self) -> Recipe: ...
    @property
    def literals(self) -> Mapping[str, Any]: ...

    def with_seed(self, seed: int | str) -> Self:
        """Return the recording with another seed."""


@dataclass(frozen=True)
class Given:
    """Tensors by name: those of a recipe, and literals, whose values are given."""

    layout: FileLayout
    literals: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: FileLayoutLike, seed: int | str | None = None) -> Given:
        """Return the tensors of `recipe`, with `seed` in place of the recipe's if that is given.

        Raises:
            RecipeError: the recipe or the seed is wrong.
            FileError: the file has no recipe.
            OSError: the file cannot be read.
        """
        if isinstance(recipe, Recorded):
            recorded = recipe if seed is None else recipe.with_seed(seed)
            return cls(FileLayout.of(recorded.recipe), recorded.literals)
        layout = FileLayout.of(recipe)
        return cls(layout if seed is None else FileLayout.of(layout.recipe.seeded(seed)))

    def has(self, name: str) -> bool:
        """Return whether there is a tensor of this name."""
        return name in self.layout.places or name in self.literals
