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
@example({"shape": [4], "scheme": "truncated_normal", "std": 1.0, "low": 8.0, "high": 8.0000001})
@example({"shape": [4], "scheme": "truncated_normal", "std": 1.0, "low": -7.0, "high": 7.0, "dtype": "C64"})
@example({"shape": [4], "scheme": "scaled_normal", "std": 1e-7, "cut": 13.0, "dtype": "F8_E4M3"})
@example({"shape": [4], "scheme": "truncated_normal", "std": 1e-4, "low": 1.0, "high": 2.0, "dtype": "F8_E4M3"})
def test_a_tensor_is_served_and_described_or_refused(server: Running, tensor: dict[str, Any]) -> None:
    answer = server.client.post("/v1/weights", content=json.dumps(tensor), headers=JSON)
    if answer.status_code != HTTPStatus.OK:
        assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY, (tensor, answer.text)
        assert all(fault["pointer"].startswith("/") for fault in answer.json()["errors"])
        return
    described = server.client.get(answer.headers["Content-Location"].removesuffix("/model.safetensors"))
    assert described.status_code == HTTPStatus.OK, (tensor, described.text)
