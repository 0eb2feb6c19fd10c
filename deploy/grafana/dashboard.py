"""Writes dashboard.json, which Grafana imports: python deploy/grafana/dashboard.py"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("dashboard.json")
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_ME = 'job=~"$job", instance=~"$instance"'
_WORK = f'{_ME}, route!~"/livez|/readyz|/metrics"'
_FILES = f'{_ME}, route=~"/v1/weights|/v1/recipes/{{digest}}/model.safetensors"'
_RATE = "$__rate_interval"
_WIDTH = 24

Query = tuple[str, str]
"""An expression, and the legend of what it gives."""


def _quantiles(metric: str, selector: str) -> list[Query]:
    return [
        (f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{{{selector}}}[{_RATE}])))", f"p{round(q * 100)}")
        for q in (0.5, 0.95, 0.99)
    ]


_ERRORS = (
    f'(sum(rate(fanin_http_requests_total{{{_WORK}, status=~"5.."}}[{_RATE}])) or vector(0))'
    f" / sum(rate(fanin_http_requests_total{{{_WORK}}}[{_RATE}]))"
)
_SENT = f"sum(rate(fanin_http_sent_bytes_total{{{_ME}}}[{_RATE}]))"
_BUSY = (
    f"sum by (instance) (rate(fanin_generation_seconds_total{{{_ME}}}[{_RATE}]))"
    f" / sum by (instance) (fanin_generator_threads{{{_ME}}})"
)
_RED_ABOVE_ZERO = [("green", None), ("red", 1)]
_GREEN_FROM_ONE = [("red", None), ("green", 1)]
_ALARMING = [("green", None), ("orange", 0.001), ("red", 0.01)]
_NEUTRAL = [("blue", None)]

# title, unit, what it shows, thresholds
_AT_A_GLANCE = [
    ("Ready", "short", f"min(fanin_ready{{{_ME}}})", _GREEN_FROM_ONE),
    ("Wrong bits found", "short", f'sum(fanin_known_answer_tests_total{{{_ME}, result="failed"}})', _RED_ABOVE_ZERO),
    ("Errors", "percentunit", _ERRORS, _ALARMING),
    ("Requests", "reqps", f"sum(rate(fanin_http_requests_total{{{_WORK}}}[{_RATE}]))", _NEUTRAL),
    ("Sent", "Bps", _SENT, _NEUTRAL),
    ("Streams", "short", f"sum(fanin_streams{{{_ME}}})", _NEUTRAL),
]

# row: title, unit, queries, description
_ROWS: list[tuple[str, list[tuple[str, str, list[Query], str]]]] = [
    (
        "Traffic",
        [
            (
                "Requests by route",
                "reqps",
                [(f"sum by (route) (rate(fanin_http_requests_total{{{_WORK}}}[{_RATE}]))", "{{route}}")],
                "Health checks and scrapes left out.",
            ),
            (
                "Requests by status",
                "reqps",
                [(f"sum by (status) (rate(fanin_http_requests_total{{{_WORK}}}[{_RATE}]))", "{{status}}")],
                "",
            ),
            (
                "Refusals by problem",
                "reqps",
                [(f"sum by (problem) (rate(fanin_problems_total{{{_ME}}}[{_RATE}]))", "{{problem}}")],
                "The last part of the problem's type, as clients see it.",
            ),
            (
                "Streams that ended early",
                "cps",
                [(f"sum by (reason) (rate(fanin_streams_ended_early_total{{{_ME}}}[{_RATE}]))", "{{reason}}")],
                "client_left and stalled are the clients' doing; drained is a stopping server; failed is a bug.",
            ),
        ],
    ),
    (
        "Throughput and latency",
        [
            (
                "Bytes per second",
                "Bps",
                [(_SENT, "sent"), (f"sum(rate(fanin_generated_bytes_total{{{_ME}}}[{_RATE}]))", "generated")],
                "Generated and not sent: clients that left.",
            ),
            (
                "Generation, per busy thread",
                "Bps",
                [
                    (
                        f"sum by (instance) (rate(fanin_generated_bytes_total{{{_ME}}}[{_RATE}]))"
                        f" / sum by (instance) (rate(fanin_generation_seconds_total{{{_ME}}}[{_RATE}]))",
                        "{{instance}}",
                    )
                ],
                "How fast the backend is, whatever the clients.",
            ),
            (
                "Time to first byte of files",
                "s",
                _quantiles("fanin_http_first_byte_seconds", _FILES),
                "From the request's head to the first byte of the body.",
            ),
            (
                "Duration by route, 95 of 100",
                "s",
                [
                    (
                        "histogram_quantile(0.95, sum by (le, route)"
                        f" (rate(fanin_http_request_duration_seconds_bucket{{{_WORK}}}[{_RATE}])))",
                        "{{route}}",
                    )
                ],
                "Of files: as long as the client takes.",
            ),
        ],
    ),
    (
        "Saturation",
        [
            (
                "Generating threads busy",
                "percentunit",
                [(_BUSY, "{{instance}}")],
                "At 100 % clients wait for one another.",
            ),
            (
                "Streams",
                "short",
                [(f"sum by (instance) (fanin_streams{{{_ME}}})", "{{instance}}")],
                "Files of more than 64 KiB.",
            ),
            (
                "Bytes still to send",
                "bytes",
                [(f"sum by (instance) (fanin_in_flight_bytes{{{_ME}}})", "{{instance}}")],
                "What the open streams have promised. It costs no memory.",
            ),
            (
                "Memory",
                "bytes",
                [
                    (f"process_resident_memory_bytes{{{_ME}}}", "{{instance}}"),
                    (f"fanin_gpu_memory_used_bytes{{{_ME}}}", "{{instance}} GPU {{gpu}}"),
                ],
                "Resident; and of GPUs, where CuPy is in use.",
            ),
            (
                "CPU",
                "short",
                [(f"rate(process_cpu_seconds_total{{{_ME}}}[{_RATE}])", "{{instance}}")],
                "CPUs in use by the process; not with several workers.",
            ),
            ("File descriptors", "short", [(f"process_open_fds{{{_ME}}}", "{{instance}}")], "One for each connection."),
            ("Recipes remembered", "short", [(f"sum by (instance) (fanin_recipes{{{_ME}}})", "{{instance}}")], ""),
            (
                "Since the last known-answer test",
                "s",
                [(f"time() - fanin_known_answer_timestamp_seconds{{{_ME}}}", "{{instance}}")],
                "",
            ),
        ],
    ),
    (
        "What runs",
        [
            (
                "Replicas by version and backend",
                "short",
                [
                    (f"count by (version, stream) (fanin_build_info{{{_ME}}})", "{{version}} {{stream}}"),
                    (f"count by (backend) (fanin_backend_info{{{_ME}}})", "{{backend}}"),
                ],
                "",
            )
        ],
    ),
]


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana's JSON model, for Grafana 10 and later."""
    return {
        "uid": "fanin",
        "title": "Fanin",
        "tags": ["fanin"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
                _variable("job", "label_values(fanin_build_info, job)"),
                _variable("instance", 'label_values(fanin_build_info{job=~"$job"}, instance)'),
            ]
        },
        "panels": [{"id": number, **panel} for number, panel in enumerate(_panels(), 1)],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "type": "query",
        "name": name,
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels() -> Iterator[dict[str, Any]]:
    width = _WIDTH // len(_AT_A_GLANCE)
    for column, (title, unit, expression, thresholds) in enumerate(_AT_A_GLANCE):
        yield {
            "type": "stat",
            **_described(title, unit, [(expression, title)], "", thresholds),
            "gridPos": {"x": column * width, "y": 0, "w": width, "h": 4},
            "options": {"colorMode": "background", "reduceOptions": {"calcs": ["lastNotNull"]}},
        }
    y = 4
    for row, panels in _ROWS:
        yield {
            "type": "row",
            "title": row,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
        }
        y += 1
        width = _WIDTH // min(4, len(panels))
        for start in range(0, len(panels), 4):
            for column, (title, unit, queries, description) in enumerate(panels[start : start + 4]):
                yield {
                    "type": "timeseries",
                    **_described(title, unit, queries, description, _NEUTRAL),
                    "gridPos": {"x": column * width, "y": y, "w": width, "h": 8},
                    "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
                }
            y += 8


def _described(
    title: str, unit: str, queries: list[Query], description: str, thresholds: list[tuple[str, float | None]]
) -> dict[str, Any]:
    steps = [{"color": color, "value": value} for color, value in thresholds]
    return {
        "title": title,
        "description": description,
        "datasource": _SOURCE,
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "min": 0,
                "color": {"mode": "palette-classic" if thresholds is _NEUTRAL else "thresholds"},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(queries)
        ],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
