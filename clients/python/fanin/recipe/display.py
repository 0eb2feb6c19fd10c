"""Recipes on a screen: a table of a few lines in a terminal, and of more in a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from fanin import names, terminal
from fanin.schemes.base import Tensor

LINES, NOTEBOOK_LINES = 16, 60
"""Rows of a table in a terminal and in a notebook."""
WIDTHS, NOTEBOOK_WIDTHS = (38, 7, 20, 29), (200, 7, 200, 200)
"""Most characters of each cell. In a terminal a row has at most 100."""
MOST_FOLDED = 4096
"""Tensors up to which repeated layers share a row. Folding more of them takes longer than a screen should."""
HEAD = ("tensor", "dtype", "shape", "scheme")


class Summary(NamedTuple):
    """A title, and the tensors under it."""

    title: str
    tensors: Mapping[str, Tensor]

    def text(self) -> str:
        """Return a table for a terminal."""
        rows, more = _rows(self.tensors, LINES, WIDTHS)
        lines = terminal.table(HEAD, rows) if rows else []
        return "\n".join([self.title, *lines, *([f"... and {more} more tensors"] if more else [])])

    def html(self) -> str:
        """Return a table for a notebook, with the characters of names escaped."""
        rows, more = _rows(self.tensors, NOTEBOOK_LINES, NOTEBOOK_WIDTHS)
        body = "".join(f"<tr>{''.join(_cell('td', each) for each in row)}</tr>" for row in rows)
        rest = f"<p>... and {more} more tensors</p>" if more else ""
        head = "".join(_cell("th", each) for each in HEAD)
        return (
            f"<p>{html.escape(self.title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"
        )


def elements(tensors: Mapping[str, Tensor]) -> int:
    """Return the number of elements of all tensors."""
    return sum(math.prod(tensor.shape) for tensor in tensors.values())


def _cell(kind: str, text: str) -> str:
    return f'<{kind} style="text-align: left">{html.escape(text)}</{kind}>'


def _rows(tensors: Mapping[str, Tensor], limit: int, widths: Sequence[int]) -> tuple[list[tuple[str, ...]], int]:
    """Return at most `limit` rows, and the number of tensors without one."""
    if len(tensors) > MOST_FOLDED:
        cells = {name: _cells(tensor) for name, tensor in islice(tensors.items(), limit)}
        return [_short(widths, name, *each) for name, each in cells.items()], len(tensors) - len(cells)
    texts = {id(tensor): _cells(tensor) for tensor in tensors.values()}
    plain, repeated = names.folded({name: texts[id(tensor)] for name, tensor in tensors.items()})
    shown = list(islice((*plain.items(), *repeated.items()), limit))
    count = sum(names.count(name) if name in repeated else 1 for name, _ in shown)
    return [_short(widths, name, *each) for name, each in shown], len(tensors) - count


def _cells(tensor: Tensor) -> tuple[str, str, str]:
    """Return the storage type, the shape, and the scheme with the parameters that are not its defaults."""
    members = tensor.canonical()
    parameters = [f"{field}={members[field]}" for field in members if field not in ("shape", "dtype", "scheme")]
    return tensor.dtype, " x ".join(map(str, tensor.shape)) or "scalar", " ".join([tensor.scheme, *parameters])


def _short(widths: Sequence[int], *texts: str) -> tuple[str, ...]:
    """Return a row whose cells have at most these widths, without characters that control a screen."""
    cells = zip(widths, map(terminal.printable, texts), strict=True)
    return tuple(text if len(text) <= width else f"{text[: width - 3]}..." for width, text in cells)
