"""JAX: arrays of a recipe, pytrees and models filled from it, and initializers. Each device generates its shard."""

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
