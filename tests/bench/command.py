"""The command line and the output that the benchmarks of this folder share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fanin_lab.bench import machine
from fanin_lab.tables import dumps


def parser(text: str | None, parts: Sequence[str], repeats: int | None) -> argparse.ArgumentParser:
    """Return a parser with `--only`, `--repeats` and `--json`. Its help is `text`, the docstring of a benchmark.

    Without `repeats`, each part has a separate default.
    """
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=f"of {', '.join(parts)}")
    made.add_argument(
        "--repeats", type=int, default=repeats, help=f"turns of each work (default: {repeats or 'that of the part'})"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON, and describe the machine")
    return made


class Report:
    """Rows of a benchmark. Each is printed at once."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._about = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine.describe()}

    def add(self, text: str, **row: Any) -> None:
        """Print a text, and keep its row for `write`."""
        print(text, flush=True)
        if row:
            self.rows.append(row)

    def write(self, path: Path | None) -> None:
        """Write all rows with a description of the machine. Without a path, write nothing."""
        if path:
            path.write_text(dumps({**self._about, "rows": self.rows}))
