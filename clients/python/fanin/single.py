"""One tensor alone, without the layout and the header of a file. Equal members are validated once, not at each call."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fanin.backends.base import Backend, Filler
from fanin.draws import Draw
from fanin.dtypes import STORAGE, DType
from fanin.errors import RecipeError
from fanin.file.layout import FileLayout
from fanin.float_mode import flushes
from fanin.frozen import FrozenDict
from fanin.names import misnamed
from fanin.recipe import MAX_SEED, ONLY_TENSOR, STREAM, Recipe
from fanin.recipe.tensors import Tensors
from fanin.schemes.base import Tensor
from fanin.streams import Stream

_SCALARS = frozenset({bool, float, int, str, type(None)})
"""Types of members that equal values of the same type can replace. A list can hold 1, 1.0 and True, which are equal."""
_INTEGERS = frozenset({int})


@dataclass(frozen=True, slots=True)
class Single:
    """A tensor of a recipe without a name and a seed."""

    tensor: Tensor
    draw: Draw
    dtype: DType
    count: int
    """Number of its elements."""
    fillers: dict[Backend, Filler]
    """Functions that write its elements, by backend."""

    def filler(self, backend: Backend) -> Filler:
        """Return the function of a backend that writes its elements."""
        found = self.fillers.get(backend)
        if found is None:
            found = self.fillers[backend] = backend.filler(self.draw, self.dtype)
        return found


def single(seed: Any, name: Any, shape: Any, dtype: Any, **members: Any) -> tuple[Single, Stream]:
    """Return the tensor of the recipe `{"seed": seed, "dtype": dtype, "tensors": {name: {"shape": shape, **members}}}`.

    Raises:
        RecipeError: the recipe is not valid.
    """
    if type(shape) is list:
        shape = tuple(shape)
    # A thread that takes subnormal numbers for zero would find the results of zero for them.
    has_stream = not flushes() and type(seed) is int and 0 <= seed <= MAX_SEED and not misnamed(name)
    is_fixed = type(shape) is int or (isinstance(shape, tuple) and _INTEGERS.issuperset(map(type, shape)))
    if has_stream and is_fixed and _SCALARS.issuperset(map(type, members.values())):
        try:
            return _validated(shape, dtype, **members), Stream(STREAM, seed, name)
        except (RecipeError, TypeError):  # TypeError: the storage type is not hashable
            pass  # the error of the full recipe, below, names this tensor
    recipe = FileLayout.of({"seed": seed, "dtype": dtype, "tensors": {name: {"shape": shape, **members}}}).recipe
    return _single(recipe.tensors[name]), Stream(recipe.stream, recipe.seed, name)


def layout_of(made: Single, stream: Stream) -> FileLayout:
    """Return the layout of the recipe of one tensor."""
    members: dict[str, Any] = {"tensors": Tensors({stream.name: made.tensor}), "repeated": FrozenDict()}
    return FileLayout.of(Recipe.model_construct(stream=STREAM, seed=stream.seed, **members))


@lru_cache(maxsize=4096, typed=True)
def _validated(shape: Any, dtype: Any, **members: Any) -> Single:
    layout = FileLayout.of({"dtype": dtype, "tensors": {ONLY_TENSOR: {"shape": shape, **members}}})
    return _single(layout.recipe.tensors[ONLY_TENSOR])


def _single(tensor: Tensor) -> Single:
    return Single(tensor, tensor.draw, STORAGE[tensor.dtype], math.prod(tensor.shape), {})
