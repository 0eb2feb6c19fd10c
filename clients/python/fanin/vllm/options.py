"""The options of the load format, as `--model-loader-extra-config` has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from fanin import models
from fanin.file.layout import FileLayout
from fanin.recipe import as_recipe
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
            ValueError: no recipe is found, or an option is wrong.
            OSError: the file of the recipe cannot be read.
        """
        document = self._document(model)
        if self.dtype is not None:
            document = {**document, "dtype": self.dtype}
        recipe = as_recipe(document)
        return FileLayout.of(recipe if self.seed is None else recipe.seeded(self.seed))

    def _document(self, model: str) -> Mapping[str, Any]:
        if isinstance(self.recipe, Mapping):
            return self.recipe
        path = Path(model, RECIPE) if self.recipe is None else Path(self.recipe)
        if self.recipe is None and not path.exists():
            raise ValueError(
                f"the model {model!r} is not a directory with a {RECIPE}: name a recipe in --model-loader-extra-config"
                ' \'{"recipe": "PATH or name of the catalogue"}\''
            )
        if not path.exists():
            path = models.get(str(self.recipe)).path
        document: Mapping[str, Any] = parse_json(path.read_bytes())
        return document
