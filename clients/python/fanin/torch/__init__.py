"""PyTorch: modules filled from recipes, initializers, checkpoints, and recipes of models that initialize themselves."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fanin.errors import needed

if TYPE_CHECKING:
    from fanin.errors import ModuleError, RecordError
    from fanin.torch import initializers
    from fanin.torch.checkpoint import save_checkpoint
    from fanin.torch.modules import init_
    from fanin.torch.recorder.recording import Recording, record
    from fanin.torch.seeding import seeded
    from fanin.torch.zero3 import init_zero3_

__all__ = [
    "ModuleError",
    "RecordError",
    "Recording",
    "init_",
    "init_zero3_",
    "initializers",
    "record",
    "save_checkpoint",
    "seeded",
]

_HOMES = {
    "fanin.errors": ("ModuleError", "RecordError"),
    "fanin.torch.checkpoint": ("save_checkpoint",),
    "fanin.torch.modules": ("init_",),
    "fanin.torch.recorder.recording": ("Recording", "record"),
    "fanin.torch.seeding": ("seeded",),
    "fanin.torch.zero3": ("init_zero3_",),
}
"""Module of each public name."""


# Not for type checkers: they would accept every misspelt name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Import the requested name on first use: the import of torch takes seconds, its distributed parts more."""
        try:
            if name == "initializers":
                return import_module("fanin.torch.initializers")
            for home, names in _HOMES.items():
                if name in names:
                    value = globals()[name] = getattr(import_module(home), name)
                    return value
        except ModuleNotFoundError as error:
            raise needed("torch", error) from None
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
