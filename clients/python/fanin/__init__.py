"""Fanin: initial weights for neural networks from a recipe and a seed, the same bits on every machine.

>>> import fanin
>>> weights = fanin.materialize({"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42})
>>> weights["weight"].shape
(784, 10)
"""

from typing import TYPE_CHECKING, Any

from fanin import backends
from fanin.arrays import materialize, slice
from fanin.errors import (
    BackendError,
    FaninError,
    Fault,
    FileError,
    MismatchError,
    RecipeError,
    ServiceError,
    UnavailableError,
)
from fanin.files import Verified, save, verify
from fanin.layout import Layout
from fanin.recipe import Recipe, as_recipe
from fanin.schemes import catalogue

if TYPE_CHECKING:
    from fanin.client import Client

    __version__: str

__all__ = [
    "BackendError",
    "Client",
    "FaninError",
    "Fault",
    "FileError",
    "Layout",
    "MismatchError",
    "Recipe",
    "RecipeError",
    "ServiceError",
    "UnavailableError",
    "Verified",
    "as_recipe",
    "backends",
    "catalogue",
    "materialize",
    "save",
    "slice",
    "verify",
]


def __getattr__(name: str) -> Any:
    """What takes time to import, when it is asked for: those who make weights here need not wait for HTTP."""
    if name == "__version__":
        from importlib.metadata import version

        return version("fanin")
    if name == "Client":
        from fanin.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
