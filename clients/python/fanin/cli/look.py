"""`fanin look`: a recipe and its weights in a browser, without a service."""

from __future__ import annotations

import argparse
import json
import sys
import webbrowser
from pathlib import Path
from threading import Thread
from typing import Any

from fanin.cli import options as shared

HELP = (
    "Show a recipe and its weights in a browser: tensors, formulas, distributions and values, for any seed. The page"
    " generates the weights itself. Only this machine can open it, until you press Ctrl-C."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared.add_recipe(parser, "or package.module:build, a function that creates a model")
    parser.add_argument(
        "--framework",
        choices=("torch", "keras", "jax"),
        help="framework of the model that a function creates (the one that its module imports)",
    )
    parser.add_argument("--no-browser", action="store_true", help="open no browser; the address is printed")
    parser.add_argument("--port", type=int, metavar="N", default=0, help="port to listen at (any that is free)")


def run(options: argparse.Namespace) -> int:
    """Serve the page until an interrupt; return the exit code."""
    from fanin import page
    from fanin.page.local import PageServer

    if not 0 <= options.port < 1 << 16:
        raise ValueError(f"--port {options.port}: a port is a number from 0 to 65535")
    title = _title(options.recipe)
    start = page.start(service=False, recipe=_document(options), title=title)
    try:
        server = PageServer(start, options.port)
    except OSError as error:
        raise OSError(error.errno, f"port {options.port}: {error.strerror}; --port chooses another one") from None
    with server:
        print(f"{title or 'the recipe'}: {server.url} (Ctrl-C ends)", flush=True)
        if not options.no_browser:
            # Some browsers return only when the user closes them.
            Thread(target=_open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def _open(url: str) -> None:
    if not webbrowser.open(url):
        print("fanin: found no browser: open the address yourself", file=sys.stderr)


def _title(source: str) -> str | None:
    """Return the name of what an argument names; `None` for standard input and for JSON."""
    return None if source == "-" or source.lstrip().startswith("{") else Path(source).name


def _document(options: argparse.Namespace) -> Any:
    """Return the recipe as JSON values: as its author has written it, if the options change nothing.

    The seed is a string, because JavaScript reads integers beyond 2^53 inexactly.

    Raises:
        RecipeError, FileError, OSError, ValueError: as `shared.layout_of`.
        RecordError: no recipe describes the model.
    """
    from fanin.cli.builders import is_builder
    from fanin.errors import FileError
    from fanin.recipe import as_recipe, formatting

    if is_builder(options.recipe):
        from fanin.cli.recipe import print_remarks, recorded

        found = recorded(options.recipe, options.framework, options.seed or "0")
        print_remarks(found)
        options.recipe = formatting.text(found.recipe)
    elif options.framework:
        raise ValueError(f"--framework is for package.module:build, and {options.recipe} is a recipe or a file")
    try:
        document, layout = shared.read(options.recipe)
    except FileError as error:
        raise FileError(
            f"{options.recipe}: {error}. fanin look shows a recipe, or a file that Fanin has written. Use fanin inspect"
            f" {options.recipe} for the tensors of another file"
        ) from None
    recipe = layout.recipe if layout else as_recipe(document)
    if options.seed is None and options.dtype is None and layout is None:
        return {**document, "seed": str(recipe.seed)}
    options.recipe = formatting.text(recipe) if layout else json.dumps(document)
    return json.loads(formatting.text(shared.layout_of(options).recipe))
