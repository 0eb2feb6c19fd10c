"""All forms in which a caller may pass a recipe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from fanin.errors import Fault, RecipeError, shown
from fanin.recipe.header import has_weights, recipe_in
from fanin.recipe.members import plain_document
from fanin.recipe.model import Recipe, from_json
from fanin.recipe.strict_json import parse_json

_PATH_LENGTH = 4096
"""Most characters of a text that is looked up as a path, for a better message."""


class HasRecipe(Protocol):
    """An object with a recipe, such as a `Recording` of torch, JAX or Keras, or a `FileLayout`."""

    @property
    def recipe(self) -> Recipe: ...


RecipeLike = Recipe | HasRecipe | Mapping[str, Any] | str | bytes | os.PathLike[str]
"""A recipe, its JSON as a mapping or a text, the path of a recipe or of a Fanin file, or a `Recording`.

A `str` is JSON, never a path. A mapping is a recipe, or a tensor in the one-tensor short form. Its shapes may be
integers or any sequence of them, its storage types those of NumPy, torch or JAX.
"""


def as_recipe(recipe: RecipeLike) -> Recipe:
    """Return the recipe that `recipe` stands for.

    The recipe of a recording does not have its literals.

        >>> as_recipe({"shape": 3, "scheme": "zeros"}).tensors["weight"].shape
        (3,)

    Args:
        recipe: A `Recipe`, its JSON as a mapping, `str` or `bytes`, an `os.PathLike` of a recipe or a Fanin file, or a
            recording.

    Raises:
        RecipeError: it is not JSON, or not a recipe; one fault per offending field.
        FileError: the file has no recipe in its header.
        OSError: the file cannot be read.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, os.PathLike):
        return read(recipe)[0]
    if isinstance(recipe, str | bytes):
        try:
            return from_json(parse_json(recipe))
        except RecipeError:
            if isinstance(recipe, str) and _is_path(recipe):
                detail = "this is the name of a file, not JSON: for the recipe in a file, pass pathlib.Path(name)"
                raise RecipeError([Fault("", detail, shown(recipe))]) from None
            raise
    if isinstance(recipe, Mapping):
        return from_json(plain_document(recipe))
    found = getattr(recipe, "recipe", None)
    return found if isinstance(found, Recipe) else from_json(recipe)


def with_dtype(document: Any, dtype: str) -> Recipe:
    """Return the recipe of JSON values, with another storage type of the tensors that do not give their own.

    Raises:
        RecipeError: the values are not a recipe, or no storage type has this name.
        ValueError: every tensor gives its own type, and none has this one.
    """
    recipe = as_recipe({**document, "dtype": dtype} if isinstance(document, Mapping) else document)
    if recipe == as_recipe(document) and dtype not in {each.dtype for each in recipe.tensors.values()}:
        raise ValueError(f"the dtype {dtype} changes nothing: every tensor of the recipe gives its own dtype")
    return recipe


def read(path: os.PathLike[str]) -> tuple[Recipe, bool]:
    """Return the recipe in a file, and whether that is a Fanin file, whose bytes exist, and not JSON.

    Raises:
        FileError: the header of a safetensors file has no recipe.
        RecipeError: the JSON is not a recipe.
        OSError: the file cannot be read.
    """
    with Path(path).open("rb") as file:
        if has_weights(file):
            return recipe_in(file), True
        return from_json(parse_json(file.read())), False


def _is_path(text: str) -> bool:
    """Return whether a text that is not a recipe looks like the name of a file, or is that of one that exists."""
    if text.endswith((".json", ".safetensors")):
        return True
    try:
        return len(text) <= _PATH_LENGTH and Path(text).exists()
    except (OSError, ValueError):
        return False
