"""A model of the catalogue: its published hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fanin.models import Library


@dataclass(frozen=True)
class Model:
    """One model, of which `docs/catalogue/generate.py` records the recipe."""

    architecture: str
    """Class of the library."""
    published: str
    """Number of parameters as its authors or its page on the Hub give it, such as 8.03B; rounded to these digits. Empty
    for tiny models, which nobody published."""
    kind: str
    """Kind of its inputs."""
    config: dict[str, Any]
    """Fields of its configuration, by their names in config.json. For diffusers, whose config.json has no storage type,
    `dtype` is also here."""
    library: Library = "transformers"
    """Library that has the class."""


def tiny(model: Model, **fields: Any) -> Model:
    """Return a model of the same architecture with these smaller sizes, in float32."""
    return replace(model, published="", config=model.config | {"dtype": "float32"} | fields)
