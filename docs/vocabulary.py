"""Writes clients/js/page/vocabulary.json: the words of a recipe, which the page completes and explains."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import fanin
from fanin.dialects import DIALECTS, parameters_of
from fanin.dtypes import STORAGE

PAGE = Path(__file__).parents[1] / "clients" / "js" / "page" / "vocabulary.json"


def page() -> str:
    """Return the text: schemes with their parameters, the initializers of each dialect, and the storage types."""
    schemes = {
        each["scheme"]: {
            "aliases": each["aliases"],
            "summary": inspect.cleandoc(each["description"]).partition("\n\n")[0].replace("\n", " "),
            "formula": each["formula"],
            "source": each["source"],
            "parameters": {name: _parameter(schema) for name, schema in each["parameters"].items()},
        }
        for each in fanin.catalogue()
    }
    dialects = {
        name: {scheme: _signature(function) for scheme, function in library.initializers.items()}
        for name, library in DIALECTS.items()
    }
    return json.dumps({"schemes": schemes, "dialects": dialects, "dtypes": list(STORAGE)}, indent=1) + "\n"


def _parameter(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the words, the type and the default of a parameter. Without a default it is required."""
    kinds = schema.get("anyOf", [schema])
    words = [word for kind in kinds for word in kind.get("enum", [kind["const"]] if "const" in kind else [])]
    types = [kind["type"] for kind in kinds if "type" in kind]
    if "boolean" in types:
        words = ["true", "false"]
    found: dict[str, Any] = {"type": " or ".join(dict.fromkeys(types)) or "object"}
    if words:
        found["words"] = words
    if "default" in schema:
        found["default"] = schema["default"]
    return found


def _signature(initializer: Any) -> dict[str, Any]:
    """Return the parameters of an initializer of a dialect."""
    found = {}
    for name, parameter in parameters_of(initializer).items():
        annotation = parameter.annotation
        words = list(get_args(annotation)) if get_origin(annotation) is Literal else []
        each: dict[str, Any] = {"type": "string" if words else "number"}
        if words:
            each["words"] = words
        if parameter.default is not parameter.empty:
            each["default"] = parameter.default
        found[name] = each
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
