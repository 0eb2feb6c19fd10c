"""Errors in the form of the API that received the request."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from xml.etree.ElementTree import Element  # nosec B405: written, and never parsed

from fastapi import Response

from fanin_service.context import RequestContext, Surface
from fanin_service.http import problems
from fanin_service.http.bodies import JSON
from fanin_service.http.problems import BUG, Failure, failure_of
from fanin_service.surfaces import s3
from fanin_service.telemetry.redaction import redact

_HUB_CODES = {
    "unknown-model": "RepoNotFound",
    "unknown-revision": "RevisionNotFound",
    "unknown-file": "EntryNotFound",
}
"""Value of `X-Error-Code` by problem. Clients of the Hub choose their exceptions by it."""
_BAD_TOKEN = "Invalid credentials in Authorization header"  # nosec B105: no password
"""The Hub's own words, by which its clients distinguish an invalid token from a missing repository."""
_S3_CODES = {
    "unknown-model": "NoSuchKey",
    "unknown-revision": "NoSuchKey",
    "unknown-file": "NoSuchKey",
    "unknown-bucket": "NoSuchBucket",
    "unauthenticated": "AccessDenied",
    "insufficient-scope": "AccessDenied",
    "method-not-allowed": "MethodNotAllowed",
    "precondition-failed": "PreconditionFailed",
    "forbidden": "AccessDenied",
    "range-not-satisfiable": "InvalidRange",
    "not-found": "NoSuchKey",
    "bad-request": "InvalidArgument",
}
"""Error code by problem. Clients of S3 choose their exceptions by it."""

_MAX_MESSAGE = 1000
"""Maximum length of an error in a header. It may contain a path, and proxies reject a long head of a response."""


def _render_hub(failure: Failure, _request_id: str) -> Response:
    """Return a response with this failure for clients of the Hub.

    429 replaces 503: most clients repeat a GET after 429 and give up after 503.
    """
    status, detail = failure.kind.status, redact(failure.detail)
    is_bad_token = status == HTTPStatus.UNAUTHORIZED and "invalid_token" in failure.headers.get("WWW-Authenticate", "")
    # Only ASCII is safe in header fields (RFC 9110 section 5.5); the body has the complete text.
    ascii_ = (_BAD_TOKEN if is_bad_token else detail).encode("ascii", "backslashreplace").decode()
    # A path may contain a control character, which is not allowed in a header.
    headers = {
        **failure.headers,
        "X-Error-Message": "".join(each if each.isprintable() else " " for each in ascii_[:_MAX_MESSAGE]),
        **({"X-Error-Code": code} if (code := _HUB_CODES.get(failure.kind.name)) else {}),
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        status = HTTPStatus.TOO_MANY_REQUESTS
    return Response(json.dumps({"error": detail}), status, headers, JSON)


def _render_s3(failure: Failure, request_id: str) -> Response:
    """Return a response with this failure for clients of S3.

    They repeat a request after `SlowDown`. None of them handles 401.
    """
    kind, status = failure.kind, failure.kind.status
    code = _S3_CODES.get(kind.name, "InternalError" if kind is BUG else "InvalidRequest")
    if status in (429, 503):
        status, code = 503, "SlowDown"
    elif status == 401:
        status, code = (
            403,
            "InvalidAccessKeyId" if "invalid_token" in failure.headers.get("WWW-Authenticate", "") else code,
        )
    root = Element("Error")
    s3.add(root, {"Code": code, "Message": redact(failure.detail), "RequestId": request_id})
    return Response(s3.document(root), status, failure.headers, s3.XML)


RENDERERS: Mapping[Surface, Callable[[Failure, str], Response]] = {
    Surface.NATIVE: problems.render,
    Surface.HUB: _render_hub,
    Surface.S3: _render_s3,
}
"""The function of each API that turns a failure and the request's id into a response."""


def render(error: Exception, context: RequestContext) -> Response:
    """Return the response to a request that failed with this exception, and record the problem in the context."""
    failure = failure_of(error)
    context.problem = failure.kind.name
    response = RENDERERS[context.surface](failure, context.request_id)
    # A 404 may be cached by default (RFC 9110 section 15.1), but the recipe may be registered at any time.
    response.headers.setdefault("Cache-Control", "no-store")
    return response
