"""`fanin push`: a named model for a service."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from fanin.cli import options as shared

HELP = "Store a model in a service under a name, in place of an earlier one."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="NAME or NAMESPACE/NAME")
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="its recipe in JSON; or a directory with recipe.json, whose other files are stored too, except hidden ones"
        " and generated weights; or a name of `fanin catalogue`. The seed is that of the revision main",
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="files to serve beside the weights: config.json, a tokenizer's. literals.safetensors, as `fanin recipe"
        " --literals` writes it, has more of the weights",
    )
    shared.add_json(parser)
    shared.add_quiet(parser)
    shared.add_service(parser)


def run(options: argparse.Namespace) -> int:
    """Store the model; return the exit code."""
    from fanin.cli.names import model_of
    from fanin.file.archive import files_of_model
    from fanin.models import RECIPE
    from fanin.terminal import size_text

    given = {path.name: path.read_bytes() for path in options.files}
    if len(given) < len(options.files):
        raise ValueError("two of the files have the same name")
    if options.recipe.lstrip().startswith("{"):
        recipe = options.recipe.encode()
    elif known := model_of(options.recipe, takes_directory=True):
        given = known.files() | given
        recipe = given.pop(RECIPE)
    elif (directory := Path(options.recipe)).is_dir():
        stored = files_of_model(directory)
        recipe = stored.pop(RECIPE, None) or (directory / RECIPE).read_bytes()
        given = stored | given
    else:
        with shared.opened(options.recipe) as file:
            recipe = file.read()
    with shared.client(options) as client:
        model = client.push(options.name, recipe, given)
    if options.json:
        print(json.dumps(model, indent=2, ensure_ascii=False))
    elif not options.quiet:
        print(f"{model['name']}: {model['tensors']} tensors, {size_text(model['size'])}, main is {model['main']}")
        print(f"commit {model['commit']}")
    return 0
