"""JAX: arrays of a recipe, of which each device makes its own shard; pytrees and models filled; initializers."""

from fanin.errors import ModuleError
from fanin.jax import initializers
from fanin.jax.arrays import array, arrays
from fanin.jax.trees import init

__all__ = ["ModuleError", "array", "arrays", "init", "initializers"]
