"""Problems: every error answer, as application/problem+json (RFC 9457).

Code raises exceptions that say what is wrong; one table here says which answer each becomes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Match, Route

from fanin import BackendError, Fault, RecipeError
from fanin_service.telemetry.redaction import redact
from fanin_service.telemetry.request import current

MEDIA_TYPE = "application/problem+json"
URN = "urn:fanin:problem:"


class RequestError(Exception):
    """A request the service refuses; `headers` go with the answer."""

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        self.headers = dict(headers or {})
        super().__init__(detail)


class BodyTooLargeError(RequestError):
    """A request body above the limit."""


class UnsupportedContentError(RequestError):
    """A request body of a type or an encoding that is not read here."""


class ParameterError(RequestError):
    """The query has a parameter that the path does not take."""


class UnknownRecipeError(RequestError):
    """A digest that is not registered."""


class UnknownModelError(RequestError):
    """A name under which no model is kept."""


class UnknownRevisionError(RequestError):
    """A revision or commit that a model has not."""


class UnknownFileError(RequestError):
    """A path at which a revision has no file."""


class UnknownBucketError(RequestError):
    """A bucket that is not the one."""


class ModelError(RequestError):
    """A model that cannot be kept."""


class PreconditionFailedError(RequestError):
    """A condition of the request is false: If-Match, If-Unmodified-Since, or of a change If-None-Match."""


class RangeNotSatisfiableError(RequestError):
    """No byte of the range is in the file."""


class DigestsPendingError(RequestError):
    """Digests that are still being computed."""


class UnauthenticatedError(RequestError):
    """It cannot be told who sends the request."""

    def __init__(self, detail: str, error: str | None = None) -> None:
        """`error` is that of RFC 6750 section 3.1; a request without any key has none."""
        super().__init__(detail, {"WWW-Authenticate": _challenge(error=error)})


class ForbiddenError(RequestError):
    """Who sends the request may not."""

    def __init__(self, detail: str, scope: str) -> None:
        """`scope` is the one that is missing."""
        super().__init__(detail, {"WWW-Authenticate": _challenge(error="insufficient_scope", scope=scope)})


class UploadsRefusedError(RequestError):
    """The models of this service do not change."""


class LaterError(RequestError):
    """A request that is refused now, and may not be later."""

    def __init__(self, detail: str, seconds: float) -> None:
        """It is worth trying again in so many seconds."""
        super().__init__(detail, {"Retry-After": str(max(1, math.ceil(seconds)))})


class NotReadyError(LaterError):
    """Nothing is generated: the backend has not shown that its bits are right, or the service stops."""

    def __init__(self, detail: str, seconds: float = 1) -> None:
        super().__init__(detail, seconds)


class TokenUncheckedError(LaterError):
    """The keys that a token must be checked with cannot be had."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the keys of the identity provider cannot be had just now", seconds)


class ModelsUnavailableError(LaterError):
    """The model store cannot be reached."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the model store cannot be reached just now", seconds)


class ModelStoreFullError(RequestError):
    """The model store has no space left."""


class TooManyFailedLoginsError(LaterError):
    """From an address came too many keys that are not good."""


class TooManyRequestsError(LaterError):
    """A client has sent more requests than it may."""


class TooMuchUnderWayError(LaterError):
    """A client has more answers, or bytes of them, under way than it may."""


class QuotaExceededError(LaterError):
    """A client has had its bytes of the day."""


class OverloadedError(LaterError):
    """All clients together have as much under way as the service takes."""


class LimitsUnavailableError(LaterError):
    """It cannot be told what a client has used of its limits."""


def _challenge(**attributes: str | None) -> str:
    """What a WWW-Authenticate header says (RFC 6750 section 3)."""
    given = {"realm": "fanin", **attributes}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in given.items() if value is not None)


class LimitExceededError(RecipeError):
    """A recipe that is right, and more than this service takes."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an exception becomes."""

    status: int
    name: str
    """Last part of the problem's type."""
    title: str


KINDS: dict[type[Exception], Kind] = {
    RecipeError: Kind(422, "invalid-recipe", "The recipe is not valid"),
    LimitExceededError: Kind(422, "limit-exceeded", "The recipe exceeds a limit of this service"),
    TooManyFailedLoginsError: Kind(429, "too-many-failed-logins", "Too many keys of this address are not good"),
    TooManyRequestsError: Kind(429, "too-many-requests", "The client sends too many requests"),
    TooMuchUnderWayError: Kind(429, "too-much-under-way", "The client has too much under way"),
    QuotaExceededError: Kind(429, "quota-exceeded", "The client has had its bytes of the day"),
    OverloadedError: Kind(503, "overloaded", "The service has too much under way"),
    LimitsUnavailableError: Kind(503, "limits-unavailable", "The limits cannot be checked now"),
    UnauthenticatedError: Kind(401, "unauthenticated", "A valid key or token is required"),
    ForbiddenError: Kind(403, "insufficient-scope", "The key does not allow this"),
    UploadsRefusedError: Kind(403, "uploads-refused", "This service takes no models from clients"),
    TokenUncheckedError: Kind(503, "token-unchecked", "The token cannot be checked now"),
    BodyTooLargeError: Kind(413, "body-too-large", "The request body is too large"),
    UnsupportedContentError: Kind(415, "unsupported-content", "The request body is not what is read here"),
    ParameterError: Kind(422, "unknown-parameter", "The URL has a parameter that this path does not take"),
    UnknownRecipeError: Kind(404, "unknown-recipe", "No recipe of this digest is registered"),
    UnknownModelError: Kind(404, "unknown-model", "There is no model of this name"),
    UnknownRevisionError: Kind(404, "unknown-revision", "The model has no such revision"),
    UnknownFileError: Kind(404, "unknown-file", "The revision has no such file"),
    UnknownBucketError: Kind(404, "unknown-bucket", "There is no such bucket"),
    ModelError: Kind(422, "invalid-model", "The model cannot be kept"),
    ModelStoreFullError: Kind(507, "model-store-full", "The model store has no space left"),
    ModelsUnavailableError: Kind(503, "models-unavailable", "The model store cannot be reached now"),
    PreconditionFailedError: Kind(412, "precondition-failed", "A condition of the request is not met"),
    RangeNotSatisfiableError: Kind(416, "range-not-satisfiable", "No byte of the range is in the file"),
    NotReadyError: Kind(503, "not-ready", "The service is not ready"),
    BackendError: Kind(503, "not-ready", "The service is not ready"),
    DigestsPendingError: Kind(503, "digests-pending", "The digests are being computed"),
    # Nobody reads this answer; without it a lost client would be logged as an error of ours.
    ClientDisconnect: Kind(400, "incomplete-request", "The request ended before its body did"),
}
"""The answer to each exception. A class that is not here answers as its nearest base that is."""


_SOON = {"Retry-After": "1"}
"""After an error of the library that passes: a backend that failed is tested at once."""


class ProblemError(BaseModel):
    """One offending field."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the recipe; empty for the whole of it.")
    detail: str = Field(description="What is wrong and what is allowed.")
    value: Any = Field(description="The value found, shortened; null where there is none to show.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description=f"{URN}<name>; stable.")
    title: str
    status: int
    detail: str
    request_id: str = Field(description="The request's X-Request-ID, given or made: its lines in the log have it.")
    errors: list[ProblemError] | None = Field(None, description="Offending fields of a recipe; absent otherwise.")


RESPONSE: dict[str, Any] = {
    "description": "A problem (RFC 9457)",
    "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
}
"""OpenAPI's description of every answer that is none of the others."""


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of problems with these statuses."""
    return {status: {**RESPONSE, "description": HTTPStatus(status).phrase} for status in statuses}


def install(app: FastAPI) -> None:
    """Answer every exception with its problem."""
    for exception in KINDS:
        app.add_exception_handler(exception, _of_table)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_bug)


def answer(error: Exception) -> Response:
    """The problem that one of `KINDS` becomes."""
    kind = next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)
    if not isinstance(error, RecipeError):
        return _answer(kind, str(error) or kind.title, getattr(error, "headers", _SOON if kind.status == 503 else {}))
    more = len(error.faults) - 1
    detail = str(error.faults[0]) + (f" (and {more} more)" if more else "")
    return _answer(kind, detail, {}, errors=[_error(fault) for fault in error.faults])


def refuse(status: int, detail: str) -> Response:
    """The problem of a status that no exception says better."""
    phrase = HTTPStatus(status).phrase
    return _answer(Kind(status, phrase.lower().replace(" ", "-"), phrase), detail, {})


async def _of_table(_request: Request, error: Exception) -> Response:
    return answer(error)


async def _of_http(request: Request, error: Exception) -> Response:
    """What routing itself refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    status, path = error.status_code, request.url.path
    headers = dict(error.headers or {})
    if status == HTTPStatus.NOT_FOUND:
        kind = Kind(404, "not-found", "There is nothing here")
        return _answer(kind, f"nothing is at {path}; /docs lists what there is", headers)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        # The router names the methods of the first route of this path only (RFC 9110 section 10.2.1 wants all).
        headers["Allow"] = ", ".join(sorted(_methods(request)))
        kind = Kind(405, "method-not-allowed", "The method is not allowed here")
        return _answer(kind, f"{path} allows {headers['Allow']}", headers)
    phrase = HTTPStatus(status).phrase
    return _answer(Kind(status, phrase.lower().replace(" ", "-"), phrase), error.detail, headers)


async def _of_bug(_request: Request, _error: Exception) -> Response:
    """The server's own fault: logged with its trace by the server, and told without it."""
    kind = Kind(500, "internal-error", "The service failed")
    return _answer(kind, "an error of the service, not of the request; its log has the details", {})


def _methods(request: Request) -> set[str]:
    routes: list[BaseRoute] = request.app.state.routes
    return {
        method
        for route in routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


def _answer(
    kind: Kind, detail: str, headers: Mapping[str, str], *, errors: list[dict[str, Any]] | None = None
) -> Response:
    exchange = current()
    exchange.problem = kind.name
    document = {
        "type": URN + kind.name,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "request_id": exchange.request_id,
    }
    content = redact(json.dumps(document if errors is None else {**document, "errors": errors}, allow_nan=False))
    # A 404 may be cached by default (RFC 9110 section 15.1), yet the recipe may be registered the next moment.
    return Response(content, kind.status, {"Cache-Control": "no-store", **headers}, MEDIA_TYPE)


def _error(fault: Fault) -> dict[str, Any]:
    finite = not isinstance(fault.value, float) or math.isfinite(fault.value)
    return {"pointer": fault.pointer, "detail": fault.detail, "value": fault.value if finite else str(fault.value)}
