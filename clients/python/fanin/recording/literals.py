"""Literals: tensors that no recipe describes. A file next to the recipe or a `Recording` stores their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fanin.recipe import Recipe
from fanin.recipe.display import Summary


@dataclass(frozen=True, repr=False)
class Recording:
    """The recorded initialization of a pytree of JAX or a model of Keras."""

    recipe: Recipe
    """The arrays that have a distribution, under their paths as in `fanin.jax.init` and `fanin.keras.init_`."""
    literals: Mapping[str, np.ndarray]
    """The other arrays, such as counters. Their values do not depend on random numbers."""

    def __repr__(self) -> str:
        return self._summary().text()

    def _repr_html_(self) -> str:
        return self._summary().html()

    def _summary(self) -> Summary:
        tensors = self.recipe.tensors
        title = f"Recording: seed {self.recipe.seed}, {len(tensors):,} tensors, {len(self.literals):,} literals"
        return Summary(title, tensors)

    def literals_file(self) -> bytes | None:
        """Return a safetensors file of the literals, as `Client.push` sends it; `None` if there are none.

        Raises:
            ModuleNotFoundError: safetensors is not installed.
        """
        return file_of(self.literals)

    def with_seed(self, seed: int | str) -> Recording:
        """Return the recording with another seed, 0 to 2^64 - 1 or a string of its digits.

        Raises:
            RecipeError: the seed is not in that range.
        """
        return replace(self, recipe=self.recipe.seeded(seed))


def file_of(literals: Mapping[str, np.ndarray]) -> bytes | None:
    """Return a safetensors file of these arrays; `None` if there are none.

    Raises:
        ModuleNotFoundError: safetensors is not installed.
    """
    import safetensors.numpy

    if not literals:
        return None
    # safetensors 0.8 ignores the strides of an array: it would write the elements in the order of the memory.
    given = {name: np.asarray(literal, order="C") for name, literal in literals.items()}
    # Older versions of transformers refuse a file without this format.
    content: bytes = safetensors.numpy.save(given, {"format": "pt"})
    return content
