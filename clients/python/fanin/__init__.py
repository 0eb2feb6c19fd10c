"""Fanin: initial weights for neural networks from a recipe and a seed, the same bits on every machine.

>>> import fanin
>>> weights = fanin.materialize({"shape": [784, 10], "scheme": "glorot_uniform", "seed": 42})
>>> weights["weight"].shape
(784, 10)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanin import backends
    from fanin import jax as jax
    from fanin import keras as keras
    from fanin import torch as torch
    from fanin.arrays import materialize, slice
    from fanin.client.async_client import AsyncClient
    from fanin.client.client import Client
    from fanin.errors import (
        BackendError,
        BusyError,
        ConnectionLostError,
        FaninError,
        Fault,
        FileError,
        MismatchError,
        MissingPackageError,
        RecipeError,
        RefusedError,
        ServiceError,
        UnavailableError,
        UnreachableError,
    )
    from fanin.file_layout import FileLayout
    from fanin.files import Verified, save, verify
    from fanin.recipe import Recipe, as_recipe
    from fanin.schemes import catalogue

    __version__: str

__all__ = [
    "AsyncClient",
    "BackendError",
    "BusyError",
    "Client",
    "ConnectionLostError",
    "FaninError",
    "Fault",
    "FileError",
    "FileLayout",
    "MismatchError",
    "MissingPackageError",
    "Recipe",
    "RecipeError",
    "RefusedError",
    "ServiceError",
    "UnavailableError",
    "UnreachableError",
    "Verified",
    "as_recipe",
    "backends",
    "catalogue",
    "materialize",
    "save",
    "slice",
    "verify",
]


_HOMES = {
    "arrays": ("materialize", "slice"),
    "client.async_client": ("AsyncClient",),
    "client.client": ("Client",),
    "errors": (
        "BackendError",
        "BusyError",
        "ConnectionLostError",
        "FaninError",
        "Fault",
        "FileError",
        "MismatchError",
        "MissingPackageError",
        "RecipeError",
        "RefusedError",
        "ServiceError",
        "UnavailableError",
        "UnreachableError",
    ),
    "files": ("Verified", "save", "verify"),
    "file_layout": ("FileLayout",),
    "recipe": ("Recipe", "as_recipe"),
    "schemes": ("catalogue",),
}
"""Module of each public name."""
_PACKAGES = ("backends", "jax", "keras", "torch")
"""Packages that are imported when they are named: `import fanin` and then `fanin.torch`."""


def __getattr__(name: str) -> Any:
    """What is asked for is imported then: NumPy and pydantic take their time, and not every program needs all."""
    if name == "__version__":
        from importlib.metadata import version

        return version("fanin")
    if name in _PACKAGES:
        try:
            return import_module(f"fanin.{name}")
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise AttributeError(f"{error}") from error
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"fanin.{home}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
