"""Keys of random numbers in a traced program: draws with the same key have the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from fanin.recording.distributions import Distribution, Normal, Random, Uniform, Unknown, redrawn, reordered

Drawn = TypeVar("Drawn", bound=Random)
DRAWS: dict[str, Callable[..., Uniform | Normal]] = {
    "_uniform": Uniform,
    "_normal": lambda: Normal(0.0, 1.0),
    "_normal_real": lambda: Normal(0.0, 1.0),
    "_truncated_normal": lambda low, high: Normal(0.0, 1.0, low, high),
}
"""Functions of `jax.random` by the names that they have in a program; with other names they are refused."""
MADE_OF_NUMBERS = {"random_seed", "random_wrap"}
"""Operations that create keys from integers."""
FOLLOWED = MADE_OF_NUMBERS | {
    "broadcast_in_dim",
    "concatenate",
    "copy",
    "copy_p",
    "device_put",
    "dynamic_slice",
    "expand_dims",
    "gather",
    "random_clone",
    "random_fold_in",
    "random_split",
    "random_unwrap",
    "reshape",
    "slice",
    "split",
    "squeeze",
    "stack",
    "transpose",
    "unstack",
}
"""Operations that create keys from keys. The results of all other operations depend on random numbers."""


@dataclass(frozen=True, eq=False)
class Keys:
    """Known keys, or their words. An array that is computed from them is random nevertheless."""

    array: jax.Array

    @property
    def words(self) -> np.ndarray:
        """The words of each key, along the last axis."""
        return np.asarray(jax.random.key_data(self.array) if is_key(self.array) else self.array)


def is_key(array: Any) -> bool:
    """Return whether an array, or the type of one, consists of keys."""
    return hasattr(array, "dtype") and bool(jnp.issubdtype(array.dtype, jax.dtypes.extended))


def followed(primitive: Any, given: Sequence[Any], params: Mapping[str, Any]) -> list[Keys] | None:
    """Return the outputs of an operation that creates keys from known keys or integers; None for another operation."""
    if primitive.name not in FOLLOWED or not all(isinstance(value, Keys | np.ndarray) for value in given):
        return None
    if primitive.name not in MADE_OF_NUMBERS and not any(isinstance(value, Keys) for value in given):
        return None
    made = primitive.bind(*(value.array if isinstance(value, Keys) else value for value in given), **params)
    return [Keys(each) for each in (made if primitive.multiple_results else [made])]


def own_name(jaxpr: Any) -> str:
    """Return the name of a function that is JAX's own, or an empty string: another may be called `_uniform` too."""
    source = jaxpr.debug_info.func_filename
    is_own = source is not None and Path(jax.__file__).parent in Path(source).parents
    return str(jaxpr.debug_info.func_name) if is_own else ""


class Draws:
    """The draws of a program, by their keys."""

    def __init__(self) -> None:
        self._draws: dict[tuple[str, str, bytes], int] = {}
        self._keys: dict[int, frozenset[tuple[str, bytes]]] = {}
        """The keys of a draw; a draw whose keys are not known has no entry."""

    def called(
        self, name: str, equation: Any, keys: Sequence[Any], bounds: Sequence[float | None]
    ) -> Distribution | None:
        """Return the distribution of a call of JAX's function of this name; None if it is another function.

        JAX gives the parts of a function that it splits the same name. They have no key, or other operands.
        """
        if name not in DRAWS or not keys:
            return None
        place, *others = equation.invars
        is_whole = is_key(place.aval) and len(equation.outvars) == 1 and all(each.aval.shape == () for each in others)
        if not is_whole or None in bounds:
            return None
        dist = DRAWS[name](*bounds)
        return self.drawn(dist, keys[0], place, equation.outvars[0].aval.dtype)

    def drawn(self, dist: Drawn, keys: Any, place: Any, dtype: Any, stream: str = "jax") -> Drawn | Unknown:
        """Return the distribution of a draw with these keys, which are the operand `place` of the program.

        Draws of one type and with the same keys are the same draw. Where one array has several keys, they differ:
        with equal keys, its elements would not be independent. `stream` names the source of the numbers.
        """
        if not isinstance(keys, Keys):
            axes = len(place.aval.shape) - (not is_key(place.aval))
            return Unknown("a draw with keys that are not computed from constants") if axes else dist
        words = keys.words
        each = [row.tobytes() for row in words.reshape(-1, words.shape[-1])]
        if len(set(each)) < len(each):
            return Unknown("a draw with equal keys")
        number = self._draws.setdefault((stream, np.dtype(dtype).name, words.tobytes()), dist.draw)
        self._keys[number] = frozenset((stream, key) for key in each)
        return replace(dist, draw=number)

    def joined(self, dists: Sequence[Drawn]) -> Drawn | Unknown | None:
        """Return the distribution of draws that are joined; None if they have several, or unknown keys."""
        keys = [self._keys.get(dist.draw, frozenset()) for dist in dists]
        if not all(keys) or any(dist != dists[0] for dist in dists):
            return None
        union = frozenset[tuple[str, bytes]]().union(*keys)
        if len(union) < sum(map(len, keys)):
            return Unknown("draws with equal keys")
        made = reordered(redrawn(dists[0]))
        self._keys[made.draw] = union
        return made
