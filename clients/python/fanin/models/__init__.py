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
from typing import Literal

from fanin.errors import RecipeError
from fanin.file.shards import CONFIG, LITERALS
from fanin.quantization import FORMATS, configuration, quantize
from fanin.quantization.parts import GROUP_SIZE, GROUPED
from fanin.recipe import Recipe, as_recipe
from fanin.recipe.formatting import text

__all__ = ["CatalogueModel", "get", "names", "quantized"]

MODELS = Path(__file__).parent / "data"
"""A directory for each model, which `docs/catalogue/generate.py` writes."""
INDEX = "index.json"
RECIPE = "recipe.json"
NAMESPACE = "catalogue/"
"""Optional prefix of a name."""
Library = Literal["transformers", "diffusers"]
SMALL_GROUP = 32
"""Columns of a group in models whose weights have no multiple of 128 columns, such as tiny ones."""
_NEAR = 5
"""Maximum number of near names in an error."""


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """A model of the catalogue."""

    name: str
    library: Library
    """Library that loads the model."""
    architecture: str
    """Class of the library that has the tensors of the recipe."""
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

    def files(self, format: str | None = None, *, group_size: int | None = None) -> dict[str, bytes]:
        """Return the files of the model by name.

        These are `recipe.json`, whose seed is left open, `config.json` for its library, and `literals.safetensors` if
        the model has tensors that no recipe describes.

        Args:
            format: A format of `fanin.quantization.quantize`, for the files of a quantized checkpoint.
            group_size: Columns of a group, for formats whose groups have any number of columns. The default is 128, or
                32 in a model whose weights have no multiple of 128 columns.

        Raises:
            ValueError: the format is unknown, the model has no weights that it quantizes, or its library does not load
                quantized checkpoints of these formats: diffusers.
            RecipeError: a tensor cannot be quantized.
        """
        files = {path.name: path.read_bytes() for path in sorted(self.path.parent.iterdir())}
        if format is None:
            return files
        if self.library != "transformers":
            raise ValueError(f"{self.name}: {self.library} loads no quantized checkpoint; only transformers does")
        plain = as_recipe(files[RECIPE])
        try:
            recipe = quantize(plain, format, group_size=group_size or GROUP_SIZE)
        except RecipeError:
            if group_size is not None or format not in GROUPED:
                raise
            recipe = quantize(plain, format, group_size=SMALL_GROUP)
        config = configuration(json.loads(files[CONFIG]), recipe)
        return {**files, RECIPE: text(recipe).encode(), CONFIG: json.dumps(config, indent=1).encode()}

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


def quantized(name: str) -> tuple[CatalogueModel, str] | None:
    """Return the model and the format that a name with a format at its end stands for; `None` for other names.

    The name of a format has `-` in place of `_`.

    >>> quantized("tiny-qwen3-fp8-block")
    (CatalogueModel(name='tiny-qwen3', ...), 'fp8_block')
    """
    own = name.removeprefix(NAMESPACE)
    for form in FORMATS:
        model = own.removesuffix(f"-{form.replace('_', '-')}")
        if model != own and model in _models():
            return _models()[model], form
    return None


def near(name: str) -> list[str]:
    """Return the names that are most like this one, at most 5."""
    word = name.removeprefix(NAMESPACE).lower()
    within = [each for each in names() if len(word) > 2 and word in each]
    return list(dict.fromkeys([*within, *difflib.get_close_matches(word, names(), _NEAR)]))[:_NEAR]


@cache
def _models() -> Mapping[str, CatalogueModel]:
    index = json.loads((MODELS / INDEX).read_text("utf-8"))
    return {name: CatalogueModel(name, **entry) for name, entry in index.items()}
