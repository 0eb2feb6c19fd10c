"""Measures how long this machine takes to generate models of the catalogue, for the tables of docs/catalogue.md.

    python -m docs.catalogue.times

Each file is generated in five rounds over all models and not written, and the median is stored in times.json. A burst
of other work on the machine so disturbs one round of a model, and not its median. Larger models are left out.
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


def measured(name: str) -> float:
    """Return the seconds in which the file of a model is generated."""
    layout = FileLayout.of(models.get(name).recipe(seed=1))
    start = time.perf_counter()
    deque(chunks(layout, backend=None), maxlen=0)
    return time.perf_counter() - start


def main() -> None:
    """Measure all models of at most MAX_BYTES and write their times."""
    names = [name for name in models.names() if FileLayout.of(models.get(name).recipe(seed=1)).size <= MAX_BYTES]
    rounds = [{name: measured(name) for name in names} for _ in range(5)]
    found = {name: statistics.median(times[name] for times in rounds) for name in names}
    lines = ",\n".join(f" {json.dumps(name)}: {seconds:.4g}" for name, seconds in found.items())
    PATH.write_text(f"{{\n{lines}\n}}\n", "utf-8")


if __name__ == "__main__":
    main()
