"""Problems: one table maps every exception to the status and name of its response.

This module renders the native form, application/problem+json (RFC 9457). The compatibility APIs render their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fanin import BackendError, Fault, RecipeError
from fanin.errors import ArtifactError
from fanin_service.access.errors import ForbiddenError, TokenUncheckedError, UnauthenticatedError
from fanin_service.admission.errors import (
    LimitsUnavailableError,
    OverloadedError,
    QuotaExceededError,
    TooManyFailedLoginsError,
    TooManyRequestsError,
    TooMuchInFlightError,
)
from fanin_service.artifacts.errors import (
    ArtifactStateError,
    DestinationUnavailableError,
    InvalidArtifactError,
    UnknownArtifactError,
)
from fanin_service.backend.guard import NotReadyError
from fanin_service.errors import PreconditionFailedError, RangeNotSatisfiableError, RequestError
from fanin_service.http.bodies import BodyTooLargeError, UnsupportedContentError
from fanin_service.http.query import ParameterError
from fanin_service.http.routing import MethodNotAllowedError, NotFoundError
from fanin_service.models.errors import (
    ModelError,
    ModelStoreFullError,
    ModelsUnavailableError,
    UnknownBucketError,
    UnknownFileError,
    UnknownModelError,
    UnknownRevisionError,
    UploadsRefusedError,
)
from fanin_service.recipes.errors import DigestsPendingError, LimitExceededError, UnknownRecipeError
from fanin_service.telemetry.redaction import redact

MEDIA_TYPE = "application/problem+json"
URN = "urn:fanin:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of an error, which clients can distinguish."""

    status: int
    name: str
    """Last part of the problem's type."""
    title: str


KINDS: dict[type[Exception], Kind] = {
    RecipeError: Kind(422, "invalid-recipe", "The recipe is not valid"),
    LimitExceededError: Kind(422, "limit-exceeded", "The recipe exceeds a limit of this service"),
    TooManyFailedLoginsError: Kind(429, "too-many-failed-logins", "This address has sent too many invalid keys"),
    TooManyRequestsError: Kind(429, "too-many-requests", "The client sends too many requests"),
    TooMuchInFlightError: Kind(429, "too-much-in-flight", "The client has too much in flight"),
    QuotaExceededError: Kind(429, "quota-exceeded", "The client has used its bytes of the day"),
    OverloadedError: Kind(503, "overloaded", "The service has too much in flight"),
    LimitsUnavailableError: Kind(503, "limits-unavailable", "The limits cannot be checked now"),
    UnauthenticatedError: Kind(401, "unauthenticated", "A valid key or token is required"),
    ForbiddenError: Kind(403, "insufficient-scope", "The key does not allow this"),
    UploadsRefusedError: Kind(403, "uploads-refused", "This service does not accept this change of models"),
    TokenUncheckedError: Kind(503, "token-unchecked", "The token cannot be checked now"),
    BodyTooLargeError: Kind(413, "body-too-large", "The request body is too large"),
    UnsupportedContentError: Kind(415, "unsupported-content", "The type of the request body is not supported"),
    ParameterError: Kind(422, "unknown-parameter", "The URL has a parameter that this path does not have"),
    UnknownRecipeError: Kind(404, "unknown-recipe", "No recipe with this digest is registered"),
    UnknownModelError: Kind(404, "unknown-model", "No model has this name"),
    UnknownRevisionError: Kind(404, "unknown-revision", "The model has no such revision"),
    UnknownFileError: Kind(404, "unknown-file", "The revision has no such file"),
    UnknownBucketError: Kind(404, "unknown-bucket", "The bucket does not exist"),
    ModelError: Kind(422, "invalid-model", "The model cannot be stored"),
    ModelStoreFullError: Kind(507, "model-store-full", "The model store has no space left"),
    ModelsUnavailableError: Kind(503, "models-unavailable", "The model store cannot be reached now"),
    InvalidArtifactError: Kind(422, "invalid-artifact", "The artifact is not possible"),
    UnknownArtifactError: Kind(404, "unknown-artifact", "No artifact with this id was requested"),
    ArtifactStateError: Kind(409, "artifact-state", "The state of the artifact does not allow this"),
    ArtifactError: Kind(409, "artifact-conflict", "The destination has other content than the artifact"),
    DestinationUnavailableError: Kind(503, "destination-unavailable", "The destination cannot be used now"),
    PreconditionFailedError: Kind(412, "precondition-failed", "A condition of the request is not met"),
    RangeNotSatisfiableError: Kind(416, "range-not-satisfiable", "No byte of the range is in the file"),
    NotReadyError: Kind(503, "not-ready", "The service is not ready"),
    BackendError: Kind(503, "not-ready", "The service is not ready"),
    DigestsPendingError: Kind(503, "digests-pending", "The digests are being computed"),
    NotFoundError: Kind(404, "not-found", "Nothing has this path"),
    MethodNotAllowedError: Kind(405, "method-not-allowed", "The method is not allowed for this path"),
    # Nobody reads this response. Without it a disconnected client would be logged as an error of the service.
    ClientDisconnect: Kind(400, "incomplete-request", "The request ended before its body did"),
}
"""Kind of each exception. A class that is missing here has the kind of its nearest base class."""


class ProblemError(BaseModel):
    """One offending field."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the recipe; empty for the complete recipe.")
    detail: str = Field(description="The fault, and the allowed values.")
    value: Any = Field(description="The value found, shortened; null if there is none to show.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description=f"{URN}<name>; stable.")
    title: str
    status: int
    detail: str
    request_id: str = Field(
        description="The request's X-Request-ID, from the client or generated. Its lines in the log have it."
    )
    errors: list[ProblemError] | None = Field(None, description="Offending fields of a recipe; absent otherwise.")


RESPONSE: dict[str, Any] = {
    "description": "A problem (RFC 9457)",
    "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
}
"""OpenAPI description of every response that is not listed separately."""


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of problems with these statuses."""
    return {status: {**RESPONSE, "description": HTTPStatus(status).phrase} for status in statuses}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as responses state it, in any API."""

    kind: Kind
    detail: str
    headers: Mapping[str, str]
    faults: Sequence[Fault] | None = None
    """Offending fields of a recipe."""


BUG = Kind(500, "internal-error", "The service failed")
"""Kind of any other exception. The server logs its traceback; the client does not get it."""
_LATER = {"Retry-After": "1"}
"""Headers after a temporary error of the library. A backend that has failed is tested again at once."""


def failure_of(error: Exception) -> Failure:
    """Return the failure that an exception becomes."""
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        kind = Kind(error.status_code, phrase.lower().replace(" ", "-"), phrase)
        return Failure(kind, error.detail, error.headers or {})
    kind = next((KINDS[cls] for cls in type(error).__mro__ if cls in KINDS), BUG)
    if kind is BUG:
        return Failure(kind, "an error of the service, not of the request; its log has the details", {})
    if isinstance(error, RecipeError):
        more = len(error.faults) - 1
        first = error.faults[0]
        # A fault without a field is one of the complete document, and that is not always a recipe.
        text = str(first) if first.pointer or not isinstance(error, InvalidArtifactError) else first.detail
        return Failure(kind, text + (f" (and {more} more)" if more else ""), {}, error.faults)
    headers = error.headers if isinstance(error, RequestError) else _LATER if kind.status == 503 else {}
    return Failure(kind, str(error) or kind.title, headers)


def render(failure: Failure, request_id: str) -> Response:
    """Return a response with this failure as application/problem+json."""
    kind = failure.kind
    document = {
        "type": URN + kind.name,
        "title": kind.title,
        "status": kind.status,
        "detail": failure.detail,
        "request_id": request_id,
    }
    if failure.faults is not None:
        document["errors"] = [_member(fault) for fault in failure.faults]
    return Response(redact(json.dumps(document, allow_nan=False)), kind.status, failure.headers, MEDIA_TYPE)


def _member(fault: Fault) -> dict[str, Any]:
    finite = not isinstance(fault.value, float) or math.isfinite(fault.value)
    return {"pointer": fault.pointer, "detail": fault.detail, "value": fault.value if finite else str(fault.value)}
