"""Writes what comes from the code: docs/configuration.md, docs/openapi.json, the schemes of docs/schemes.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import ByteSize, SecretStr
from pydantic.fields import FieldInfo

from fanin.schemes import catalogue
from fanin.schemes.base import Scaled, Tensor
from fanin_service.app import create_app
from fanin_service.settings import Settings, variable
from fanin_service.settings.reading import SECRETS, default_text, meaning, option

HERE = Path(__file__).parent
_KINDS = {
    bool: "`true`, `false`",
    int: "integer",
    ByteSize: "size",
    Path: "path",
    SecretStr: "secret text",
    str: "text",
}
_FANS = Scaled.model_fields.keys() - Tensor.model_fields.keys()
_BEGIN, _END = "<!-- schemes -->", "<!-- /schemes -->"
_PREAMBLE = """\
# Configuration

Written by `make docs` from `service/fanin_service/settings/settings.py`.

Set a setting as an environment variable or as an option of `fanin serve`. The option takes precedence. A setting that
can contain a password has no option, because other users can see the command line. Sizes have units: `8MiB`, `1TB`.
An empty variable counts as not set.

The service refuses to start if a value is invalid, if two settings contradict each other, or if a variable `FANIN_...`
is not a setting. It then exits with code 2 and prints one line that names the setting and what it allows.

The library itself reads `FANIN_BACKEND` and `FANIN_SIMD`, and `fanin.Client` reads `FANIN_TOKEN`.

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
            "" if name in SECRETS else f"`{option(name)}`",
            f"`{default}`" if default else "",
            _allowed(field.annotation, field.metadata),
            meaning(name),
        )
        rows.append(f"| {' | '.join(cells)} |\n")
    return _PREAMBLE + "".join(rows)


def _allowed(annotation: Any, metadata: list[Any]) -> str:
    """Describe the values that a setting allows."""
    given = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{each}`" for each in given)
    if type(None) in get_args(annotation):
        return _allowed(given[0], metadata)
    if hasattr(annotation, "__metadata__"):
        fields = (each for each in annotation.__metadata__ if isinstance(each, FieldInfo))
        return _allowed(annotation.__origin__, [bound for field in fields for bound in field.metadata])
    if get_origin(annotation) is Mapping:
        return "JSON object"
    if get_origin(annotation) is tuple:
        return f"list of {_allowed(given[0], [])}"
    bounds = {type(each): each for each in metadata}
    low = f" from {bounds[Ge].ge}" if Ge in bounds else ""
    high = f" to {bounds[Le].le}" if Le in bounds else ""
    return _KINDS[annotation] + low + high


def openapi() -> str:
    """The description of the API, which is the same with any settings."""
    return json.dumps(create_app(Settings(backend="reference")).openapi(), indent=1, ensure_ascii=False) + "\n"


def schemes() -> str:
    """The page of schemes, its table written anew."""
    before, _, rest = (HERE / "schemes.md").read_text("utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + _schemes() + _END + after


def _schemes() -> str:
    rows = ["| `scheme` | other names | fields (default) | distribution of an element |", "|---|---|---|---|"]
    for entry in catalogue():
        fields = entry["parameters"]
        fans = _FANS if fields.keys() >= _FANS else frozenset()
        own = [_field(name, field) for name, field in fields.items() if name not in fans]
        scaled = ["fans"] if fans else []
        names = ", ".join(f"`{alias}`" for alias in entry["aliases"])
        formula = entry["formula"].strip().replace("|", "\\|")
        rows.append(f"| `{entry['scheme']}` | {names} | {', '.join(scaled + own)} | {formula} |")
    return "\n" + "\n".join(rows) + "\n"


def _field(name: str, field: dict[str, Any]) -> str:
    return f"`{name}` ({json.dumps(field['default'])})" if "default" in field else f"`{name}`"


PAGES = {"configuration.md": configuration, "openapi.json": openapi, "schemes.md": schemes}


if __name__ == "__main__":
    for page, text in PAGES.items():
        (HERE / page).write_text(text(), "utf-8")
