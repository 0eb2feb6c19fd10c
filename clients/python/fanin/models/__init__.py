"""The catalogue: recipes and configurations of published models, and of tiny models of the same architectures.

>>> from fanin import models
>>> models.get("tiny-qwen3").recipe(seed=1).tensors["model.embed_tokens.weight"].shape
(512, 64)
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fanin.file.shards import LITERALS
from fanin.recipe import Recipe, as_recipe

__all__ = ["CatalogueModel", "get", "names"]

MODELS = Path(__file__).parent / "data"
"""A directory for each model, which `docs/catalogue/generate.py` writes."""
INDEX = "index.json"
RECIPE, CONFIG = "recipe.json", "config.json"
NAMESPACE = "catalogue/"
"""Optional prefix of a name."""
_NEAR = 5
"""Maximum number of near names in an error."""


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model of the catalogue."""

    name: str
    architecture: str
    """Class of transformers that has the tensors of the recipe."""
    reads: str
    """Kind of its inputs, such as text."""
    parameters: int
    """Number of parameters. A tied parameter counts once, and buffers do not count."""
    bf16_bytes: int
    """Bytes of all tensors in BF16. Tensors that keep another storage type count with that."""
    dtype: str
    """Default storage type of the recipe: that of the published model, and F32 for a tiny model."""

    @property
    def path(self) -> Path:
        """Path of the recipe's file."""
        return MODELS / self.name / RECIPE

    def recipe(self, seed: int | str = 0) -> Recipe:
        """Return the recipe with a seed, 0 to 2^64 - 1.

        Raises:
            RecipeError: the seed is out of range.
        """
        return as_recipe(self.path).seeded(seed)

    def files(self) -> dict[str, bytes]:
        """Return the files of the model by name.

        These are `recipe.json`, whose seed is left open, `config.json` for transformers, and `literals.safetensors` if
        the model has tensors that no recipe describes.
        """
        return {path.name: path.read_bytes() for path in sorted(self.path.parent.iterdir())}

    def literals(self) -> bytes | None:
        """Return the content of `literals.safetensors`; `None` if the model has none."""
        return self.files().get(LITERALS)


def names() -> list[str]:
    """Return the names of all models, related ones together.

    >>> "llama-3.1-8b" in names()
    True
    """
    return list(_models())


def get(name: str) -> CatalogueModel:
    """Return the model of this name. `catalogue/` may stand in front of it.

    >>> get("llama-3.1-8b").parameters
    8030261248

    Raises:
        ValueError: no model has the name. The message lists near names.
    """
    found = _models().get(name.removeprefix(NAMESPACE))
    if found is None:
        similar = near(name)
        more = f"did you mean {' or '.join(similar)}?" if similar else "fanin catalogue lists all names"
        raise ValueError(f"the catalogue has no model {name[:100]!a}; {more}")
    return found


def near(name: str) -> list[str]:
    """Return the names that are most like this one, at most 5."""
    word = name.removeprefix(NAMESPACE).lower()
    within = [each for each in names() if len(word) > 2 and word in each]
    return list(dict.fromkeys([*within, *difflib.get_close_matches(word, names(), _NEAR)]))[:_NEAR]


@cache
def _models() -> Mapping[str, CatalogueModel]:
    index = json.loads((MODELS / INDEX).read_text("utf-8"))
    return {name: CatalogueModel(name, **entry) for name, entry in index.items()}
