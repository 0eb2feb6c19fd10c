"""`fanin schemes`: the initializers."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from fanin.cli import options as shared

HELP = "List the initializers with their formulas, or explain one: parameters, defaults, formula, source, an example."
WIDTH = 100
_INDENT = 19
_TYPES = {"number": "a number", "integer": "an integer", "boolean": "true or false", "string": "a text"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "constant": {"shape": [10], "value": 0.5},
    "uniform": {"shape": [784, 10], "low": -0.1, "high": 0.1},
    "normal": {"shape": [784, 10], "std": 0.02},
    "truncated_normal": {"shape": [784, 10], "std": 0.02},
    "variance_scaling": {"shape": [784, 10], "scale": 2.0, "mode": "fan_in", "distribution": "truncated_normal"},
    "fan_uniform": {"shape": [10], "fan": 784},
    "siren": {"shape": [256, 256], "omega": 30.0},
    "scaled_normal": {"shape": [768, 768], "std": 0.02, "depth": 24},
    "small_init": {"shape": [768, 768], "width": 768},
    "wang_init": {"shape": [768, 768], "width": 768, "layers": 24},
    "deepnorm": {"shape": [768, 768], "decoder_layers": 24},
    "subln": {"shape": [768, 768], "decoder_layers": 24},
    "fixup": {"shape": [3, 3, 64, 64], "layers": 16, "branch_layers": 2},
    "eye": {"shape": [64, 64]},
    "dirac": {"shape": [3, 3, 64, 64]},
    "log_range": {"shape": [1536, 16]},
    "rope_frequencies": {"shape": [32]},
    "alibi_slopes": {"shape": [16]},
    "bilinear": {"shape": [4, 4, 3, 3]},
    "blocks": {
        "shape": [1024],
        "parts": [{"size": 256, "scheme": "ones"}, {"size": 768, "scheme": "zeros"}],
    },
    "orthogonal": {"shape": [256, 256]},
    "delta_orthogonal": {"shape": [3, 3, 64, 64]},
    "sparse": {"shape": [784, 10], "sparsity": 0.9, "std": 0.01},
    "log_of_uniform": {"shape": [24], "low": 1.0, "high": 16.0},
    "dt_bias": {"shape": [1536]},
    "rg_lru": {"shape": [2560]},
    "power_range": {"shape": [768], "low": -6.0, "high": -1.0, "power": 0.7},
    "sinusoidal": {"shape": [512, 768]},
    "stft": {"shape": [400, 1, 201]},
    "quantized": {
        "shape": [256, 512],
        "dtype": "F8_E4M3",
        "format": "fp8_channel",
        "tensor": {"shape": [256, 512], "scheme": "normal", "std": 0.02},
    },
    "t_fixup": {"shape": [512, 512], "layers": 6, "side": "encoder"},
    "retention_decay": {"shape": [8]},
    "hippo_legs": {"shape": [64, 64]},
    "s4d_inv": {"shape": [32]},
    "lru_nu": {"shape": [256]},
    "logit_of_uniform": {"shape": [256], "low": 0.00390625, "high": 0.99609375},
}
"""A tensor of each scheme that needs a special shape or parameters."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="explain this one; names of other libraries also work")
    shared.add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the list or the explanation; return the exit code."""
    from fanin.recipe.faults import unknown_scheme
    from fanin.schemes import ALIASES, catalogue

    entries = {entry["scheme"]: entry for entry in catalogue()}
    if options.name is None:
        lines = json.dumps([*entries.values()], indent=2, ensure_ascii=False) if options.json else listed(entries)
        print(lines)
        return 0
    name = ALIASES.get(options.name, options.name)
    if name not in entries:
        raise ValueError(f"{options.name}: {unknown_scheme(options.name)}")
    print(json.dumps(entries[name], indent=2, ensure_ascii=False) if options.json else explained(entries[name]))
    return 0


def listed(entries: Mapping[str, dict[str, Any]]) -> str:
    """Return a list of at most `WIDTH` columns: names, formulas and other names."""
    lines = []
    for name, entry in entries.items():
        lines += _field(name, entry["formula"])
        if entry["aliases"]:
            lines += _field("", f"also called {', '.join(entry['aliases'])}")
    return "\n".join([*lines, "", "fanin schemes NAME explains one: parameters, defaults, source, an example."])


def explained(entry: Mapping[str, Any]) -> str:
    """Return everything about one scheme, in at most `WIDTH` columns."""
    lines = [entry["scheme"] + "".join(f", also {alias}" for alias in entry["aliases"]), ""]
    for paragraph in textwrap.dedent("    " + (entry["description"] or "")).strip().split("\n\n"):
        lines += [*textwrap.wrap(" ".join(paragraph.split()), WIDTH), ""]
    lines += [*_field("formula", entry["formula"]), *_field("source", entry["source"]), ""]
    if entry["parameters"]:
        lines.append("parameters")
        for name, schema in entry["parameters"].items():
            lines += _field(f"  {name}", "; ".join(_parameter(schema)))
        lines.append("")
    example = json.dumps({"scheme": entry["scheme"], **EXAMPLES.get(entry["scheme"], {"shape": [784, 10]})})
    lines += [
        "example",
        *textwrap.wrap(f"fanin show '{example}'", WIDTH, initial_indent="  ", subsequent_indent="    "),
    ]
    return "\n".join(lines)


def _field(name: str, text: str) -> list[str]:
    """Return lines with a name to the left of a text."""
    wrapped = textwrap.wrap(text, WIDTH - _INDENT, break_on_hyphens=False) or [""]
    return [(name.ljust(_INDENT - 1) + " " + wrapped[0]).rstrip(), *(" " * _INDENT + line for line in wrapped[1:])]


def _parameter(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is allowed, the default and the meaning."""
    yield _allowed(schema)
    yield f"default {json.dumps(schema['default'])}" if "default" in schema else "required"
    if "description" in schema:
        yield schema["description"].rstrip(".")


def _allowed(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_allowed(each) for each in schema["anyOf"]))
    if schema.get("type") == "array":
        return "a list"
    if schema.get("type") == "null":
        return "null"
    what = _TYPES.get(schema.get("type", ""), "an object")
    bounds = [
        f"{words} {schema[key]}"
        for key, words in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]
    return " ".join([what, *bounds])
