"""Writes the pages that come from the code: docs/configuration.md and docs/openapi.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ByteSize

from fanin_service.app import create_app
from fanin_service.settings import Settings, default_text, option, variable

HERE = Path(__file__).parent
_KINDS = {bool: "`true`, `false`", int: "integer", ByteSize: "size", Path: "path", str: "text", tuple: "list"}
_PREAMBLE = """\
# Configuration

Written by `make docs` from `service/fanin_service/settings.py`.

Every setting is an environment variable, and an option of `fanin serve`, which wins. Sizes have units: `8MiB`, `1TB`.
An empty variable counts as not set. A wrong value, settings that do not go together, and a variable `FANIN_...` that is
no setting stop the start with exit code 2, and one line says which it is and what is allowed.

The library itself reads `FANIN_BACKEND`, `FANIN_SIMD`, and for `fanin.Client` `FANIN_TOKEN`.

| variable | option | default | allowed | meaning |
|---|---|---|---|---|
"""


def configuration() -> str:
    """The table of settings."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = default_text(name)
        cells = (
            f"`{variable(name)}`",
            f"`{option(name)}`",
            f"`{default}`" if default else "",
            _allowed(field.annotation, field.metadata),
            str(field.description),
        )
        rows.append(f"| {' | '.join(cells)} |\n")
    return _PREAMBLE + "".join(rows)


def _allowed(annotation: Any, metadata: list[Any]) -> str:
    """What a setting may be, in a few words."""
    given = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{each}`" for each in given)
    if type(None) in get_args(annotation):
        return _allowed(given[0], metadata)
    if hasattr(annotation, "__metadata__"):
        return _allowed(annotation.__origin__, metadata)
    if get_origin(annotation) is tuple:
        return f"list of {_allowed(given[0], [])}"
    bounds = {type(each): each for each in metadata}
    low = f" from {bounds[Ge].ge}" if Ge in bounds else ""
    high = f" to {bounds[Le].le}" if Le in bounds else ""
    return _KINDS[annotation] + low + high


def openapi() -> str:
    """The description of the API, which is the same with any settings."""
    return json.dumps(create_app(Settings(backend="reference")).openapi(), indent=1, ensure_ascii=False) + "\n"


PAGES = {"configuration.md": configuration, "openapi.json": openapi}


if __name__ == "__main__":
    for page, text in PAGES.items():
        (HERE / page).write_text(text(), "utf-8")
