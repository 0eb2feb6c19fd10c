"""Limits: recipes that are right and yet more than this service takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fanin import Fault, Layout, Recipe, as_recipe
from fanin.draws import matrix_of
from fanin.errors import pointer
from fanin.names import count
from fanin.recipe import count_tensors, members, parse_json
from fanin_service.problems import LimitExceededError
from fanin_service.settings import Settings


def layout_of(document: bytes | Mapping[str, Any], settings: Settings) -> Layout:
    """The layout of the recipe that this JSON spells, with its digest already computed.

    Takes seconds for the largest recipes: not for the event loop's thread.

    Raises:
        RecipeError: it is not a recipe.
        LimitExceededError: it is, and exceeds a limit.
    """
    parsed = parse_json(document) if isinstance(document, bytes) else document
    # First of all: everything after this takes time for every tensor.
    if (tensors := count_tensors(parsed)) > settings.max_tensors:
        field = "/repeated" if "repeated" in parsed else "/tensors"
        raise _exceeded(field, f"{tensors} tensors; this service takes at most {settings.max_tensors}")
    _check_text(parsed, settings.max_recipe_bytes)
    _check_laws(parsed, settings.max_laws)
    recipe = as_recipe(parsed)
    short = "tensors" not in parsed
    _check_ranks(recipe, settings.max_rank, short)
    layout = Layout.of(recipe)
    _check_matrices(layout, settings.max_matrix_elements, short)
    if layout.size > settings.max_file_bytes:
        limit = f"this service makes at most {settings.max_file_bytes:d}"
        raise _exceeded("/shape" if short else "/tensors", f"the file has {layout.size} bytes; {limit}")
    _ = recipe.digest
    return layout


def _check_text(document: Any, limit: int) -> None:
    """A recipe that is written shorter, by repeated names, is kept and sent as if it were not."""
    repeated = [(count(name), name, tensor) for field, name, tensor in members(document) if field == "repeated"]
    if (size := sum(times * (len(name) + len(str(tensor))) for times, name, tensor in repeated)) > limit:
        raise _exceeded("/repeated", f"{size} bytes when written out; this service takes at most {limit:d}")


def _check_laws(document: Any, limit: int) -> None:
    """The scalars of a law cost up to a millisecond, once for all tensors alike: models have a few dozen."""
    laws = {str(tensor) for _, _, tensor in members(document)}
    if len(laws) > limit:
        raise _exceeded("/tensors", f"{len(laws)} different tensors; this service takes at most {limit}")


def _check_ranks(recipe: Recipe, limit: int, short: bool) -> None:
    for name, tensor in recipe.tensors.items():
        if len(tensor.shape) > limit:
            field = pointer(["shape"] if short else ["tensors", name, "shape"])
            raise _exceeded(field, f"{len(tensor.shape)} axes; this service takes at most {limit}")


def _check_matrices(layout: Layout, limit: int, short: bool) -> None:
    """A matrix is made whole, in memory, by work that grows faster than its elements."""
    for entry in (layout.entries[place] for place in layout.tensors.matrices):
        matrix = matrix_of(entry.draw)
        if matrix and matrix.rows * matrix.columns > limit:
            field = pointer(["shape"] if short else ["tensors", entry.name, "shape"])
            count = matrix.rows * matrix.columns
            raise _exceeded(field, f"{count} elements of one matrix; this service makes at most {limit}")


def _exceeded(field: str, detail: str) -> LimitExceededError:
    return LimitExceededError([Fault(field, detail)])
