"""Parameters at the ends of their ranges, over HTTP: a file or a problem that names the field, never a failure."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from hypothesis import HealthCheck, example, given, settings

from tests.support.extremes import TENSORS
from tests.support.servers import JSON, Running


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(TENSORS)
@example({"shape": [16], "scheme": "dt_bias", "dt_min": 1e-300, "dt_max": 64.0, "dt_floor": 0.0, "dtype": "F64"})
@example({"shape": [4], "scheme": "truncated_normal", "std": 1.0, "low": 0.0, "high": 1e-200, "corrected": True})
@example({"shape": [4], "scheme": "scaled_normal", "std": 1.0, "cut": 1e-200, "dtype": "C64"})
@example({"shape": [4], "scheme": "truncated_normal", "std": 1.0, "low": -7.0, "high": 7.0, "dtype": "C64"})
@example({"shape": [4], "scheme": "truncated_normal", "std": 1e-6, "mean": -1.0, "dtype": "BF16"})
def test_a_tensor_is_served_or_refused(server: Running, tensor: dict[str, Any]) -> None:
    answer = server.client.post("/v1/weights", content=json.dumps(tensor), headers=JSON)
    registered = server.client.post("/v1/recipes", content=json.dumps(tensor), headers=JSON)
    if answer.status_code == HTTPStatus.OK:
        described = server.client.get(f"/v1/recipes/{registered.json()['digest']}")
        assert described.status_code == HTTPStatus.OK, (tensor, described.text)
    else:
        assert registered.status_code == answer.status_code
        assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY, (tensor, answer.text)
        assert all(fault["pointer"].startswith("/") for fault in answer.json()["errors"])
