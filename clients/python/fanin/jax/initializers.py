"""`jax.nn.initializers` with Fanin's numbers: the same bits on every device and sharding, under jit and vmap too.

Each has the name, the parameters and the distribution that it has in JAX. The key is the seed:
`init(jax.random.key(42), shape)` returns the tensor of the recipe
`{"dialect": "jax", "seed": 42, "scheme": ..., "shape": ...}`. The two words of a key form the seed, the upper word
first. If a key has more words (`rbg`), the seed is the first 8 bytes of the SHA-256 of its words as big-endian numbers.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from fanin import arrays
from fanin.dialects import DIALECTS
from fanin.dtypes import FLOATING_NAMES, STORAGE
from fanin.jax.arrays import Placement, array
from fanin.recipe import ONLY_TENSOR, Recipe, as_recipe
from fanin.schemes.base import Tensor

Key = jax.Array
OutSharding = NamedSharding | PartitionSpec | None
_INFINITE = {"lower": -math.inf, "upper": math.inf}
"""Bounds that do not restrict the values."""


class Initializer(Protocol):
    """As `jax.nn.initializers.Initializer`."""

    def __call__(
        self, key: Key, shape: Sequence[int], dtype: Any = None, out_sharding: OutSharding = None
    ) -> jax.Array:
        """Return an array of this shape.

        Outside of `jax.jit` each device generates its shard of `out_sharding`. Inside, the host generates the full
        array.

        Raises:
            RecipeError: the distribution does not allow this shape.
            TypeError: no recipe has this type.
        """


def _of(name: str) -> Initializer | Callable[..., Initializer]:
    """Return the counterpart of this name in `jax.nn.initializers`: an initializer, or a function that returns one."""
    if name in ("zeros", "ones"):
        initializer: Initializer = getattr(jax.nn.initializers, name)
        return initializer  # not random
    signature = inspect.signature(getattr(jax.nn.initializers, name))

    def build(*args: Any, **kwargs: Any) -> Initializer:
        given = signature.bind(*args, **kwargs).arguments
        dtype = given.pop("dtype", None)
        return _initializer(name, {each: _plain(each, value) for each, value in given.items()}, dtype)

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"`jax.nn.initializers.{name}`, with Fanin's numbers."
    build.__signature__ = signature  # type: ignore[attr-defined]
    return build


def _initializer(scheme: str, parameters: dict[str, Any], default: Any) -> Initializer:
    def init(key: Key, shape: Sequence[int], dtype: Any = default, out_sharding: OutSharding = None) -> jax.Array:
        if scheme == "constant" and not _is_said(parameters["value"], dtype):
            theirs: Initializer = jax.nn.initializers.constant(**parameters)
            return theirs(key, shape, dtype, out_sharding)
        sizes = [shape] if isinstance(shape, int | np.integer) else list(shape)
        recipe = as_recipe({"dialect": "jax", "shape": sizes, "dtype": _storage(dtype), "scheme": scheme, **parameters})
        words = _words(jax.random.key(0) if scheme == "constant" else key)
        if not isinstance(words, jax.core.Tracer):
            placement = _of_the_mesh() if out_sharding is None else out_sharding
            return array(_seeded(recipe, np.asarray(words)), ONLY_TENSOR, placement)
        tensor = recipe.tensors[ONLY_TENSOR]
        result = jax.ShapeDtypeStruct(tensor.shape, STORAGE[tensor.dtype].numpy)
        made: jax.Array = jax.pure_callback(partial(_made, recipe), result, words, vmap_method="expand_dims")
        if out_sharding is not None:
            made = jax.sharding.reshard(made, out_sharding)
        return made

    init.__name__ = init.__qualname__ = scheme
    return init


def _is_said(value: Any, dtype: Any) -> bool:
    """Return whether a recipe can express this constant of this type; JAX itself fills all others."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return is_number and jax.dtypes.canonicalize_dtype(float if dtype is None else dtype).name in FLOATING_NAMES


def _of_the_mesh() -> Placement:
    """Return where JAX puts a new array: on each device of the mesh that is set, if there is one."""
    return None if jax.sharding.get_abstract_mesh().empty else jnp.zeros(()).sharding


def _words(key: Any) -> Any:
    """Return the words of one key. While JAX traces a program they are traced too, even if the key is known.

    Raises:
        TypeError, ValueError: the initializers of JAX reject this key.
    """
    is_typed = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    if not is_typed or key.ndim:
        jax.eval_shape(lambda: jax.random.bits(key))  # JAX's own check; it adds nothing to the traced program
    return jax.random.key_data(key if is_typed else jax.random.wrap_key_data(key))


def _made(recipe: Recipe, words: Any) -> np.ndarray:
    """Return the tensor of one key, or the stacked tensors of several keys under `jax.vmap`."""
    keys = np.asarray(words)
    made = [arrays.materialize(_seeded(recipe, key))[ONLY_TENSOR] for key in keys.reshape(-1, keys.shape[-1])]
    return made[0] if keys.ndim == 1 else np.stack(made).reshape(*keys.shape[:-1], *made[0].shape)


def tensor_of(callback: Any) -> Tensor | None:
    """Return the tensor that an initializer of this module generates in this callback; `None` for other callbacks."""
    function = getattr(callback, "callback_func", None)
    if not isinstance(function, partial) or function.func is not _made:
        return None
    recipe: Recipe = function.args[0]
    return recipe.tensors[ONLY_TENSOR]


def _seeded(recipe: Recipe, words: np.ndarray) -> Recipe:
    octets = words.astype(">u4").tobytes()
    if len(octets) != 8:
        octets = hashlib.sha256(octets).digest()[:8]
    return recipe.seeded(int.from_bytes(octets))


def _storage(dtype: Any) -> str:
    wanted = jax.dtypes.canonicalize_dtype(float if dtype is None else dtype)
    if dtype is not None and jnp.dtype(dtype) != wanted:
        jax.eval_shape(lambda: jnp.zeros((), dtype))  # JAX warns that its 64-bit types are off
    if wanted.name not in FLOATING_NAMES:
        raise TypeError(f"dtype {wanted.name}: the storage type must be one of {', '.join(FLOATING_NAMES)}")
    return FLOATING_NAMES[wanted.name]


def _plain(name: str, value: Any) -> Any:
    """Return a parameter as a recipe has it: a number of NumPy or JAX as Python's, an infinite bound as `None`."""
    if isinstance(value, np.generic | np.ndarray | jax.Array) and value.ndim == 0:
        value = value.item()
    return None if isinstance(value, float) and _INFINITE.get(name) == value else value


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


_NAMES = (*DIALECTS["jax"].initializers, *DIALECTS["jax"].aliases)
globals().update({name: _of(name) for name in _NAMES})
__all__ = ["Initializer", *_NAMES]
