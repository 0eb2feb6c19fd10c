"""Measures how long this machine takes to generate models of the catalogue, for the tables of docs/catalogue.md.

    python -m docs.catalogue.times

Each file is generated three times and not written, and the median is stored in times.json. Larger models are left out.
"""

from __future__ import annotations

import json
import statistics
import time
from collections import deque
from pathlib import Path

from fanin import FileLayout, models
from fanin.file.disk import chunks

PATH = Path(__file__).with_name("times.json")
MAX_BYTES = 20 * 10**9
"""Maximum size of a file that is measured."""


def measured(name: str) -> float | None:
    """Return the seconds in which the file of a model is generated; None if it is too large."""
    layout = FileLayout.of(models.get(name).recipe(seed=1))
    if layout.size > MAX_BYTES:
        return None
    times = []
    for _ in range(3):
        start = time.perf_counter()
        deque(chunks(layout, backend=None), maxlen=0)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Measure all models and write their times."""
    found = {name: seconds for name in models.names() if (seconds := measured(name)) is not None}
    lines = ",\n".join(f" {json.dumps(name)}: {seconds:.4g}" for name, seconds in found.items())
    PATH.write_text(f"{{\n{lines}\n}}\n", "utf-8")


if __name__ == "__main__":
    main()
