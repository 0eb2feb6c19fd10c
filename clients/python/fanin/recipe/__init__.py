"""Recipes: the `model`, its JSON (`strict_json`), its `inputs` as callers write them, its `faults` when it is wrong."""

from fanin.recipe.defaults import DEFAULTS
from fanin.recipe.header import MAX_HEADER_BYTES, METADATA_RECIPE
from fanin.recipe.inputs import HasRecipe, RecipeLike, as_recipe, with_dtype
from fanin.recipe.members import MAX_FAULTS, MEMBERS, check_sizes, count_tensors, members
from fanin.recipe.model import MAX_SEED, ONLY_TENSOR, STREAM, Recipe, from_json
from fanin.recipe.strict_json import parse_json
from fanin.recipe.tensors import quoted

__all__ = [
    "DEFAULTS",
    "MAX_FAULTS",
    "MAX_HEADER_BYTES",
    "MAX_SEED",
    "MEMBERS",
    "METADATA_RECIPE",
    "ONLY_TENSOR",
    "STREAM",
    "HasRecipe",
    "Recipe",
    "RecipeLike",
    "as_recipe",
    "check_sizes",
    "count_tensors",
    "from_json",
    "members",
    "parse_json",
    "quoted",
    "with_dtype",
]
