"""Samples of the metrics page."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families as parse_text


def value(client: httpx.Client, name: str, **labels: object) -> float:
    """Return the value of one sample; 0 if there is none."""
    wanted = {label: str(text) for label, text in labels.items()}
    for family in parse_text(client.get("/metrics").text):
        for sample in family.samples:
            if (sample.name, sample.labels) == (name, wanted):
                return sample.value
    return 0
