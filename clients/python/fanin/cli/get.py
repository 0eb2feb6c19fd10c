"""`fanin get`: a file from a service."""

from __future__ import annotations

import argparse

from fanin.cli import options as shared
from fanin.cli.overwriting import check_output, inputs

HELP = (
    "Fetch a file from a service: the one of a recipe, or the Fanin file at a URL, which may be of any server. An"
    " interrupted download is resumed by the same command."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_recipe(parser)
    for action in parser._actions:
        if action.dest == "recipe":
            action.metavar, action.help = "RECIPE|URL", f"URL of a Fanin file, or {action.help}"
    shared.add_output(parser)
    shared.add_backend(parser)
    shared.add_quiet(parser)
    shared.add_fetching(parser, where="remote")


def run(options: argparse.Namespace) -> int:
    """Write the file; return the exit code."""
    from fanin.file import disk

    progress = False if options.quiet else None
    is_url = options.recipe.startswith(("http://", "https://"))
    if is_url and (options.seed is not None or options.dtype is not None):
        raise ValueError("--seed and --dtype belong to a recipe; the file at a URL has its own")
    check_output("--output", options.output, inputs(options))
    layout = None if is_url else shared.layout_of(options)
    with shared.client(options) as client, shared.target(options.output) as path:
        if layout is None:
            client.download(options.recipe, path, progress=progress)
            with path.open("rb") as file:
                layout = disk.layout_of_file(file)
        else:
            client.save(layout, path, progress=progress)
    shared.report(options, layout)
    return 0
