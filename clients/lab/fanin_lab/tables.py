"""Tables of reports, for a terminal and in Markdown, and JSON that can be read in a diff."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fanin import terminal

Table = tuple[str, Sequence[str], list[Sequence[str]]]
"""A title, a head and rows."""


def piped(table: Table) -> str:
    """In Markdown."""
    title, head, rows = table
    rule = ["---:" if all(_numeric(row[place]) for row in rows) else "---" for place in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join([f"**{title}**", "", *("| " + " | ".join(line) + " |" for line in lines), ""])


def _numeric(cell: str) -> bool:
    """Numbers stand to the right."""
    return not cell or cell.lstrip("*")[:1].isdigit()


def aligned(table: Table) -> str:
    """For a terminal: the first column to the left, the others to the right."""
    title, head, rows = table
    lines = terminal.table(head, rows, right=frozenset(range(1, len(head))))
    return "\n".join([title, *lines, ""])


def dumps(document: Any) -> str:
    """JSON with a line for each row: small, and readable in a diff."""
    lines = []
    for key, value in document.items():
        if isinstance(value, list):
            inner = ",\n".join(f"  {json.dumps(item)}" for item in value)
            lines.append(f"{json.dumps(key)}: [\n{inner}\n ]" if value else f"{json.dumps(key)}: []")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n " + ",\n ".join(lines) + "\n}\n"
