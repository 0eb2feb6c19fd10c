"""Writes the table of metrics in operations.md: python docs/metrics.py"""

from __future__ import annotations

import re
from pathlib import Path

from fanin_service.telemetry.metrics import Metrics

PAGE = Path(__file__).parent / "operations.md"
_TABLE = re.compile(r"(?<=<!-- metrics -->\n).*?(?=<!-- end -->)", re.DOTALL)


def page() -> str:
    """The page with the table as it should be."""
    rows = ["| metric | type | meaning |", "|---|---|---|"]
    for metric in Metrics("reference").registry.collect():
        if metric.name.startswith("fanin_"):
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            rows.append(f"| `{name}` | {metric.type} | {metric.documentation} |")
    return _TABLE.sub("\n".join(rows) + "\n", PAGE.read_text("utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
