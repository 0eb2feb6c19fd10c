"""Recipes: `model` is the recipe itself, `strict_json` reads its text, `defaults` and `faults` are for its author."""

from fanin.recipe.defaults import DEFAULTS
from fanin.recipe.members import MAX_FAULTS, MEMBERS, count_tensors, members
from fanin.recipe.model import MAX_SEED, ONLY_TENSOR, STREAM, Recipe, RecipeLike, as_recipe, quoted
from fanin.recipe.strict_json import parse_json

__all__ = [
    "DEFAULTS",
    "MAX_FAULTS",
    "MAX_SEED",
    "MEMBERS",
    "ONLY_TENSOR",
    "STREAM",
    "Recipe",
    "RecipeLike",
    "as_recipe",
    "count_tensors",
    "members",
    "parse_json",
    "quoted",
]
