"""Layouts that nobody gave: tensors that would get another draw with the layout that a recipe leaves to its default."""

from __future__ import annotations

from pydantic import ValidationError

from fanin.errors import Fault, RecipeError, pointer
from fanin.recipe import MAX_FAULTS, Recipe
from fanin.schemes.base import Tensor
from fanin.schemes.blocks import Blocks
from fanin.schemes.quantized import Quantized


def assumed(recipe: Recipe) -> list[str]:
    """Names of the tensors whose draw depends on `layout`, which neither they nor the recipe nor a dialect gave."""
    found = {key: is_assumed(tensor) for key, tensor in recipe.tensors.distinct.items()}
    return [name for name, tensor in recipe.tensors.items() if found[id(tensor)]]


def is_assumed(tensor: Tensor) -> bool:
    """Return whether the tensor has the default layout, and the other layout would change or refuse its draw."""
    if isinstance(tensor, Blocks):
        return any(is_assumed(part) for _, part in tensor.tensors)
    if isinstance(tensor, Quantized):
        return is_assumed(tensor.of)
    if "layout" not in type(tensor).model_fields or "layout" in tensor.model_fields_set:
        return False
    if getattr(tensor, "in_axes", None) is not None:
        return False
    try:
        return tensor.model_copy(update={"layout": "torch"}).draw != tensor.draw
    except ValidationError:
        return True


def refuse_assumed(recipe: Recipe) -> None:
    """
    Raises:
        RecipeError: the draw of a tensor depends on a layout that was not given; one fault for each.
    """
    detail = (
        'the distribution depends on the layout of the kernel, which is not given: add "layout": "torch" to the recipe'
        ' for (out, in, *k), or "layout": "keras" for (*k, in, out)'
    )
    if names := assumed(recipe):
        raise RecipeError([Fault(pointer(["tensors", name, "layout"]), detail) for name in names[:MAX_FAULTS]])
