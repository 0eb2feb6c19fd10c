"""The body of a request for an artifact, and its fields."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fanin import Fault
from fanin.artifact.plan import SHARD_BYTES
from fanin.errors import pointer, shown
from fanin.recipe import parse_json
from fanin.sizes import byte_count
from fanin_service.artifacts.errors import InvalidArtifactError

MIN_SHARD_BYTES, MAX_SHARD_BYTES = 1 << 20, 1 << 45
"""Bounds of `shard_size`. Smaller files would cost more requests of the destination than bytes."""
_MAX_FAULTS = 20
"""Maximum number of faults in an error: a body can have a million unknown fields."""


class ArtifactRequest(BaseModel):
    """The contents of an artifact, and its destination. It has either `recipe` or `model`."""

    model_config = ConfigDict(extra="forbid")

    destination: str = Field(description="Alias of a destination of this service.")
    recipe: dict[str, Any] | None = Field(None, description="A recipe, or the one-tensor short form.")
    model: str | None = Field(
        None, description="Name of a stored model, whose other files become files of the artifact."
    )
    revision: str | None = Field(None, description="Revision or commit id of the model; by default main.")
    format: Literal["hf", "safetensors", "dcp"] = Field(
        "hf",
        description="hf is a directory of Hugging Face, safetensors one file, dcp a checkpoint of"
        " torch.distributed.checkpoint.",
    )
    shard_size: int | str | None = Field(
        None,
        description="Maximum bytes of tensors in a file, such as 5000000000 or 5GB, at least 1 MiB. By default that of"
        " the revision, else 5GB. Not with safetensors.",
    )

    def shard_bytes(self, default: int) -> int | None:
        """Return the maximum bytes of tensors in a file. `default` is that of the recipe or of the model's revision.

        None if the format has one file.

        Raises:
            InvalidArtifactError: the size is not allowed.
        """
        if self.format == "safetensors":
            return None
        given = self.shard_size
        if given is None:
            return max(default, MIN_SHARD_BYTES)
        count = given if isinstance(given, int) else byte_count(given)
        if count is None or not MIN_SHARD_BYTES <= count <= MAX_SHARD_BYTES:
            allowed = (
                f"{MIN_SHARD_BYTES} to {MAX_SHARD_BYTES} bytes are allowed, as an integer or as a text such as 5GB"
            )
            raise _invalid("/shard_size", allowed, given)
        return count


def read_request(body: bytes) -> tuple[ArtifactRequest, bytes | None]:
    """Return the fields of a request, and its recipe as JSON; None if it names a model.

    Raises:
        InvalidArtifactError: a field is invalid.
        RecipeError: the body is not JSON.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise _invalid("", "a request is a JSON object with destination, and either recipe or model")
    try:
        asked = ArtifactRequest.model_validate(document)
    except ValidationError as error:
        raise InvalidArtifactError(_faults(error)) from None
    if (asked.recipe is None) == (asked.model is None):
        raise _invalid("", "either recipe or model is required")
    if asked.revision is not None and asked.model is None:
        raise _invalid("/revision", "only a model has revisions")
    if asked.format == "safetensors" and asked.shard_size is not None:
        raise _invalid("/shard_size", "the format safetensors has one file", asked.shard_size)
    asked.shard_bytes(SHARD_BYTES)
    return asked, None if asked.recipe is None else json.dumps(asked.recipe, separators=(",", ":")).encode()


def _faults(error: ValidationError) -> list[Fault]:
    """Return one fault for each wrong field. Below a field, pydantic names the alternatives of its type."""
    found: dict[str, Fault] = {}
    for details in error.errors():
        field, message = pointer(details["loc"][:1]), details["msg"]
        found.setdefault(field, Fault(field, message[:1].lower() + message[1:], shown(details["input"])))
    return list(found.values())[:_MAX_FAULTS]


def _invalid(field: str, detail: str, value: Any = None) -> InvalidArtifactError:
    return InvalidArtifactError([Fault(field, detail, shown(value))])
