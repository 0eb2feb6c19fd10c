"""Writes the table of clients in hub.md from hub.json: python docs/hub.py"""

from __future__ import annotations

import json
import re
from pathlib import Path

PAGE = Path(__file__).with_suffix(".md")
MATRIX = Path(__file__).with_suffix(".json")
_TABLE = re.compile(r"(?<=<!-- clients -->\n).*?(?=<!-- end -->)", re.DOTALL)


def page() -> str:
    """The page with the table as it should be."""
    matrix = json.loads(MATRIX.read_text())
    clients = list(matrix)
    cells = [
        ["operation", *clients],
        ["---"] * (len(clients) + 1),
        *([operation, *(matrix[client][operation] for client in clients)] for operation in matrix[clients[0]]),
    ]
    rows = [f"| {' | '.join(row)} |" for row in cells]
    return _TABLE.sub("\n".join(rows) + "\n", PAGE.read_text("utf-8"))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
