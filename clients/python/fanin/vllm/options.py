"""The options of the load format, as `--model-loader-extra-config` has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from fanin import models
from fanin.file.layout import FileLayout
from fanin.recipe import as_recipe, with_dtype
from fanin.recipe.assumed_layouts import refuse_assumed
from fanin.recipe.strict_json import parse_json

RECIPE = "recipe.json"


@dataclass(frozen=True)
class Options:
    """Which weights the load format generates."""

    recipe: Mapping[str, Any] | str | None = None
    """The recipe, or the path of its file, or a name of the catalogue. By default `recipe.json` of the model."""
    seed: int | str | None = None
    """The seed in place of the recipe's."""
    dtype: str | None = None
    """The storage type of tensors that do not give their own."""
    backend: str | None = None
    """The backend that generates the tensors; by default the fastest one for the device."""

    @classmethod
    def split(cls, given: Any) -> tuple[Self, dict[str, Any]]:
        """Return the options of Fanin in an extra configuration, and the members that are not Fanin's.

        Raises:
            ValueError: it is not an object.
        """
        if not isinstance(given, Mapping):
            raise ValueError(f"model_loader_extra_config must be a JSON object, not {given!r}")
        names = {field.name for field in fields(cls)}
        mine = {name: value for name, value in given.items() if name in names}
        return cls(**mine), {name: value for name, value in given.items() if name not in names}

    def layout(self, model: str) -> FileLayout:
        """Return the layout of the recipe for a model of this name or directory.

        Raises:
            ValueError: no recipe is found, an option is wrong, or the recipe leaves a layout open.
            OSError: the file of the recipe cannot be read.
        """
        source = self._source(model)
        if self.dtype is not None:
            recipe = with_dtype(parse_json(source.read_bytes()) if isinstance(source, Path) else source, self.dtype)
        else:
            recipe = as_recipe(source)
        refuse_assumed(recipe)
        return FileLayout.of(recipe if self.seed is None else recipe.seeded(self.seed))

    def _source(self, model: str) -> Mapping[str, Any] | Path:
        if isinstance(self.recipe, Mapping):
            return self.recipe
        if self.recipe is not None:
            path = Path(self.recipe)
            return path if path.exists() else models.get(self.recipe).path
        path = Path(model, RECIPE)
        if not path.exists():
            raise ValueError(
                f"the model {model!r} is not a directory with a {RECIPE}: name a recipe in --model-loader-extra-config"
                ' \'{"recipe": "PATH or name of the catalogue"}\''
            )
        return path
