"""Writes the tables of docs/catalogue.md from the models that `docs/catalogue/generate.py` wrote.

python -m docs.catalogue.page
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from docs.catalogue import diffusion, experts, further, others, text
from docs.catalogue.model import Model
from docs.catalogue.times import PATH
from fanin import models
from fanin.models import CatalogueModel
from fanin.terminal import size_text

PAGE = Path(__file__).parents[1] / "catalogue.md"
ALL: dict[str, Model] = text.MODELS | experts.MODELS | further.MODELS | others.MODELS | diffusion.MODELS
"""All models by name, in the order of `fanin catalogue`."""
_REST = ("bytes in BF16", "default type", "seconds", "library", "architecture", "reads")
"""Columns of both tables after the number of parameters."""
_TABLE = re.compile(r"(<!-- (published|tiny) -->\n).*?(<!-- end -->)", re.DOTALL)


def page() -> str:
    """Return the text of the page, its tables written anew."""
    tables: dict[str, Callable[[], str]] = {"published": _published, "tiny": _tiny}
    return _TABLE.sub(lambda found: found[1] + tables[found[2]]() + found[3], PAGE.read_text("utf-8"))


def _published() -> str:
    head = ("name", "parameters", "published", *_REST)
    return _table(head, (_row(models.get(name), model.published) for name, model in ALL.items() if model.published))


def _row(model: CatalogueModel, *more: str) -> tuple[str, ...]:
    size, seconds = size_text(model.bf16_bytes), _seconds().get(model.name)
    taken = "" if seconds is None else "< 0.001" if seconds < 0.001 else f"{seconds:.2g}"
    kind = model.library, model.architecture, model.reads
    return f"`{model.name}`", f"{model.parameters:,}", *more, size, model.dtype, taken, *kind


@cache
def _seconds() -> dict[str, float]:
    found: dict[str, float] = json.loads(PATH.read_text("utf-8"))
    return found


def _tiny() -> str:
    return _table(
        ("name", "parameters", *_REST), (_row(models.get(name)) for name, model in ALL.items() if not model.published)
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
