"""Errors in the form of the API that received the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import Response

from fanin_service.context import RequestContext, Surface
from fanin_service.http import problems
from fanin_service.http.problems import Failure, failure_of
from fanin_service.surfaces import hub, s3

RENDERERS: Mapping[Surface, Callable[[Failure, str], Response]] = {
    Surface.NATIVE: problems.render,
    Surface.HUB: hub.render,
    Surface.S3: s3.render,
}
"""For each API the function that turns a failure and the request's id into a response."""


def render(error: Exception, context: RequestContext) -> Response:
    """Return the response to a request that failed with this exception, and record its kind in the context."""
    failure = failure_of(error)
    context.problem = failure.kind.name
    response = RENDERERS[context.surface](failure, context.request_id)
    # A 404 may be cached by default (RFC 9110 section 15.1), yet the recipe may be registered the next moment.
    response.headers.setdefault("Cache-Control", "no-store")
    return response
