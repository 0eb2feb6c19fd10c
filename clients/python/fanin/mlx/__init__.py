"""MLX: arrays of a recipe, modules filled from it, and initializers. The bits are those of every other framework."""

from fanin.errors import ModuleError, needed

try:
    import mlx  # noqa: F401
except ModuleNotFoundError as error:
    raise needed("mlx", error) from None
from fanin.mlx import initializers
from fanin.mlx.arrays import array, arrays
from fanin.mlx.modules import init_

__all__ = ["ModuleError", "array", "arrays", "init_", "initializers"]
