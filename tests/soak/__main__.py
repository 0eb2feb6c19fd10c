"""Run parts of the soak, and write the result of each to docs/development.md.

    python -m tests.soak [PART ...]    # all of them, in the order of PARTS

A part is a name in the tests' markers, `pytest.mark.soak(PART)`. Each takes less than 40 minutes on two slow CPUs. Its
output is stored in build/soak.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from tests.soak.parts import PARTS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "development.md"
OUTPUT = ROOT / "build" / "soak"
_ROW = re.compile(r"^\| `([a-z0-9.-]+)` \|.*\n", re.MULTILINE)


def run(part: str) -> tuple[str, bool]:
    """The row of a part, and whether it passed."""
    started = time.monotonic()
    with (OUTPUT / f"{part}.log").open("w") as log:
        code = subprocess.call(
            [sys.executable, "-m", "pytest", "--soak", part, *PARTS[part].paths], cwd=ROOT, stdout=log, stderr=log
        )
    minutes = (time.monotonic() - started) / 60
    (last,) = re.findall(r"^=+ (.*) in [0-9.]+s.* =+$", (OUTPUT / f"{part}.log").read_text(), re.MULTILINE)[-1:] or [
        "no test ran"
    ]
    return f"| `{part}` | {PARTS[part].about} | {minutes:.0f} min | {last} |\n", code == 0


def write(part: str, row: str) -> None:
    """Put the row of a part in its place in the table, which stands between two comments."""
    before, rest = PAGE.read_text("utf-8").split("<!-- soak -->\n")
    table, after = rest.split("<!-- /soak -->\n")
    rows = {line[1]: line.group() for line in _ROW.finditer(table)} | {part: row}
    head = "".join(table.splitlines(keepends=True)[:2])
    table = head + "".join(rows[name] for name in PARTS if name in rows)
    PAGE.write_text(f"{before}<!-- soak -->\n{table}<!-- /soak -->\n{after}", "utf-8")


def main(parts: list[str]) -> int:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    failed = []
    for part in parts or PARTS:
        row, passed = run(part)
        print(row, end="", flush=True)
        write(part, row)
        failed += [] if passed else [part]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
