"""A model of the catalogue: its published hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Model:
    """One model, of which `docs/catalogue/generate.py` records the recipe."""

    architecture: str
    """Class of transformers."""
    published: str
    """Number of parameters as its authors or its page on the Hub give it, such as 8.03B; rounded to these digits. Empty
    for tiny models, which nobody published."""
    kind: str
    """Kind of its inputs."""
    config: dict[str, Any]
    """Fields of its configuration, by their names in config.json."""


def tiny(model: Model, **fields: Any) -> Model:
    """Return a model of the same architecture with these smaller sizes, in float32."""
    return Model(model.architecture, "", model.kind, model.config | {"dtype": "float32"} | fields)
