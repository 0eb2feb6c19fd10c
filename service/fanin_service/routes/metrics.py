"""Metrics, which Prometheus requests."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from fanin_service.access.rules import requires
from fanin_service.access.scopes import Right
from fanin_service.service import service_of

router = APIRouter(tags=["operation"])

_TEXT = {"schema": {"type": "string"}}
_GET_METRICS: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {"description": "Metrics", "content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT}}
    },
}


# Not async: creating the text takes milliseconds, in which the event loop would serve no stream.
@router.head("/metrics", operation_id="head_metrics", summary="Headers of the metrics", **_GET_METRICS)
@router.get("/metrics", operation_id="get_metrics", summary="Metrics of the service", **_GET_METRICS)
@requires(Right.METRICS_READ)
def get_metrics(request: Request) -> Response:
    """Returns the metrics in the text format of Prometheus, or as OpenMetrics if Accept names it."""
    service = service_of(request)
    # Update the gauge now: a backend that hangs never ends the test that would update it.
    service.metrics.ready(service.ready)
    text, media_type = service.metrics.exposition(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": media_type, "Cache-Control": "no-store"})
