"""Scopes: what a key or a token may allow."""

from __future__ import annotations

from enum import StrEnum

from fanin_service.models.names import is_model


class Right(StrEnum):
    """What a key or a token may allow: an OAuth scope."""

    WEIGHTS_READ = "weights:read"
    """Make and fetch weights, by recipe, query or digest."""
    RECIPES_WRITE = "recipes:write"
    """Register recipes; `weights:read` allows this, too."""
    RECIPES_READ = "recipes:read"
    """Read registered recipes, the catalogue of schemes and the description of the API."""
    MODELS_READ = "models:read"
    """Find named models, and read what they are and which files they have."""
    MODELS_WRITE = "models:write"
    """Put and delete named models; `models:write:me/*` allows those of the namespace `me` only, `models:write:me/tiny`
    one."""
    METRICS_READ = "metrics:read"
    """Read the metrics."""


_LIMITED = f"{Right.MODELS_WRITE}:"
"""What a scope begins with that allows writing some models only."""


def sufficient(right: Right, model: str | None = None) -> tuple[str, ...]:
    """The scopes of which each one allows what needs `right`; `model` is the name of the model that is written.

    A client that reads weights registers their recipe first, and `POST /v1/weights` registers it anyway: reading needs
    no scope for writing.
    """
    if right is Right.RECIPES_WRITE:
        return right, Right.WEIGHTS_READ
    if right is Right.MODELS_WRITE and model is not None and is_model(model):
        namespace, slash, _ = model.partition("/")
        return right, *((f"{_LIMITED}{namespace}/*",) if slash else ()), f"{_LIMITED}{model}"
    return (right,)


def check_scope(text: str) -> str:
    """The same text, if a key may have this scope.

    Raises:
        ValueError: there is no such scope.
    """
    model = text.removeprefix(_LIMITED)
    # In the place of a name, * stands for every one.
    is_limited = text != model and is_model(model.removesuffix("/*") + "/x" if model.endswith("/*") else model)
    if text not in {*map(str, Right)} and not is_limited:
        allowed = f"{', '.join(Right)}, {_LIMITED}namespace/* and {_LIMITED}namespace/name"
        raise ValueError(f"{text!r} is no scope: these are {allowed}")
    return text
