"""`fanin catalogue`: the models whose names stand for a recipe."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from fanin.cli import options as shared

HELP = (
    "List the models whose names other commands accept in place of a recipe's file. With a NAME, describe that model or"
    " write its files."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="a model (all)")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIRECTORY",
        help="directory to create: recipe.json and config.json, and literals.safetensors if the model has literals",
    )
    shared.add_json(forms)
    parser.add_argument(
        "--quantize", metavar="FORMAT", help="with --output: files of a quantized checkpoint; see fanin recipe quantize"
    )
    shared.add_group_size(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Print the list or the model, or write the model's files; return the exit code."""
    from fanin import models
    from fanin.file.atomic import replacing_directory
    from fanin.terminal import size_text, table

    if options.output is not None:
        if options.name is None:
            raise ValueError("--output needs the NAME of a model")
        files = models.get(options.name).files(options.quantize, group_size=options.group_size)
        with replacing_directory(options.output.resolve()) as folder:
            for name, content in files.items():
                (folder / name).write_bytes(content)
        if not options.quiet:
            print(f"{options.output}: {', '.join(files)}")
        return 0
    if options.quantize:
        raise ValueError("--quantize needs --output, the directory to create")
    found = [models.get(name) for name in ([options.name] if options.name else models.names())]
    if options.json:
        print(json.dumps([asdict(model) for model in found], indent=2))
        return 0
    rows = [
        (
            each.name,
            f"{each.parameters:,}",
            size_text(each.bf16_bytes),
            each.dtype,
            each.library,
            each.architecture,
            each.reads,
        )
        for each in found
    ]
    head = ("name", "parameters", "BF16", "dtype", "library", "architecture", "reads")
    print("\n".join(table(head, rows, right=frozenset({1, 2}))))
    return 0
