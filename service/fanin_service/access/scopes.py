"""Scopes: the rights that a key or a token can grant."""

from __future__ import annotations

from enum import StrEnum

from fanin_service.models.names import is_model
from fanin_service.settings.types import is_alias


class Right(StrEnum):
    """An OAuth scope: a right that a key or a token can grant."""

    WEIGHTS_READ = "weights:read"
    """Generate and fetch weights, by recipe, query or digest."""
    RECIPES_WRITE = "recipes:write"
    """Register recipes; `weights:read` includes this right."""
    RECIPES_READ = "recipes:read"
    """Read registered recipes, the catalogue of schemes and the description of the API."""
    MODELS_READ = "models:read"
    """List named models; read their descriptions and lists of files."""
    MODELS_WRITE = "models:write"
    """Put and delete named models. `models:write:me/*` allows only those of the namespace `me`, and
    `models:write:me/tiny` only one."""
    ARTIFACTS_READ = "artifacts:read"
    """Read the state of artifacts whose id is known; `artifacts:write` includes this right."""
    ARTIFACTS_WRITE = "artifacts:write"
    """Have artifacts written to the destinations of the service, and cancel them. `artifacts:write:weights` allows only
    the destination with this alias."""
    METRICS_READ = "metrics:read"
    """Read the metrics."""


_LIMITED = f"{Right.MODELS_WRITE}:"
"""Start of a scope that allows writing some models only."""
_OF_DESTINATION = f"{Right.ARTIFACTS_WRITE}:"
"""Start of a scope that allows writing to one destination only."""


def sufficient(right: Right, model: str | None = None, destination: str | None = None) -> tuple[str, ...]:
    """Return the scopes of which any one suffices for `right`. `model` is the name of the model that is written,
    `destination` the alias of the destination of an artifact.

    A client that reads weights registers their recipe first, and `POST /v1/weights` registers it anyway. So reading
    includes the right to register recipes.
    """
    if right is Right.RECIPES_WRITE:
        return right, Right.WEIGHTS_READ
    if right in (Right.ARTIFACTS_READ, Right.ARTIFACTS_WRITE):
        limited = () if destination is None else (f"{_OF_DESTINATION}{destination}",)
        return tuple(dict.fromkeys((right, Right.ARTIFACTS_WRITE, *limited)))
    if right is Right.MODELS_WRITE and model is not None and is_model(model):
        namespace, slash, _ = model.partition("/")
        return right, *((f"{_LIMITED}{namespace}/*",) if slash else ()), f"{_LIMITED}{model}"
    return (right,)


def may_be_sufficient(right: Right, scopes: frozenset[str]) -> bool:
    """Return whether a request may turn out to be allowed: its body names the destination."""
    return right is Right.ARTIFACTS_WRITE and any(scope.startswith(_OF_DESTINATION) for scope in scopes)


def check_scope(text: str) -> str:
    """Return the text unchanged if a key can have this scope.

    Raises:
        ValueError: the text is not a scope.
    """
    model = text.removeprefix(_LIMITED)
    # `namespace/*` is valid if `namespace/x` is the name of a model.
    is_limited = text != model and is_model(model.removesuffix("/*") + "/x" if model.endswith("/*") else model)
    is_of_destination = text.startswith(_OF_DESTINATION) and is_alias(text.removeprefix(_OF_DESTINATION))
    if text not in {*map(str, Right)} and not is_limited and not is_of_destination:
        limited = f"{_LIMITED}namespace/*, {_LIMITED}namespace/name and {_OF_DESTINATION}alias"
        allowed = f"{', '.join(Right)}, {limited}"
        raise ValueError(f"{text!r} is not a scope; the scopes are {allowed}")
    return text
