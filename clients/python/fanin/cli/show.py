"""`fanin show`: what a recipe or a file contains."""

from __future__ import annotations

import argparse
import json
import sys

from fanin.cli import options as shared

HELP = "Describe a recipe, or the recipe in a file's header: tensors, shapes, formulas, sizes and digest."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_recipe(parser)
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="machine-readable output")
    forms.add_argument(
        "--recipe", dest="as_recipe", action="store_true", help="print the recipe itself, as JSON for `fanin make`"
    )


def run(options: argparse.Namespace) -> int:
    """Print the description; return the exit code."""
    from fanin.description import describe
    from fanin.names import count, folded
    from fanin.recipe import formatting
    from fanin.recipe.assumed_layouts import assumed
    from fanin.terminal import size_text, table

    layout = shared.layout_of(options)
    if options.as_recipe:
        sys.stdout.write(formatting.text(layout.recipe))
        return 0
    described = describe(layout)
    with_default = assumed(layout.recipe)
    if options.json:
        described["assumed"] = {"layout": "keras", "tensors": with_default}
        print(json.dumps(described, indent=2, ensure_ascii=False))
        return 0
    cells = {
        name: (
            tensor["dtype"],
            "x".join(map(str, tensor["shape"])) or "scalar",
            size_text(tensor["stop"] - tensor["start"]),
            tensor["scheme"],
            str(tensor.get("fan_in", "")),
            str(tensor.get("fan_out", "")),
            tensor["draw"],
        )
        for name, tensor in described["tensors"].items()
    }
    plain, repeated = folded(cells)
    rows = [(name, "", *each) for name, each in plain.items()]
    rows += [(name, str(count(name)), *each) for name, each in repeated.items()]
    head = ("tensor", "times", "dtype", "shape", "bytes", "scheme", "fan_in", "fan_out", "draw")
    print("\n".join(table(head, rows, right=frozenset({1, 4, 6, 7}))))
    size = described["size"]
    print(
        f"{len(described['tensors'])} tensors, {described['parameters']} parameters, {size} bytes ({size_text(size)})"
    )
    print(f"stream {described['stream']}, seed {described['seed']}, digest {described['digest']}")
    if with_default:
        more = f" and {len(with_default) - 1} more" if len(with_default) > 1 else ""
        print(f"layout keras, (*k, in, out), assumed for {with_default[0]}{more}: none is given")
    return 0
