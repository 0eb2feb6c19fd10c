"""JAX: arrays of a recipe, of which each device makes its own shard; pytrees and models filled; initializers."""

from fanin.errors import ModuleError, RecordError, needed

try:
    import jax  # noqa: F401
except ModuleNotFoundError as error:
    raise needed("jax", error) from None
from fanin.jax import initializers
from fanin.jax.arrays import array, arrays
from fanin.jax.recording import record
from fanin.jax.trees import init
from fanin.recording.literals import Recording

__all__ = ["ModuleError", "RecordError", "Recording", "array", "arrays", "init", "initializers", "record"]
