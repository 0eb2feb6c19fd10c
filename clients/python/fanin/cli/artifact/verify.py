"""`fanin artifact verify`: an artifact, compared with its recipe or with its signature."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from fanin.cli import options as shared
from fanin.cli.artifact import arguments
from fanin.recipe import Recipe
from fanin.terminal import printable, size_text

HELP = (
    "Generate an artifact again, and compare every byte. With --key, verify its signature instead: the provenance and"
    " the SHA-256 of every file. With --against and no --key, compare safetensors files of any writer with a recipe."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_url(parser)
    parser.add_argument("--key", metavar="FILE", help="PEM file with the public key of the signer")
    parser.add_argument(
        "--against",
        metavar="RECIPE",
        help="recipe, in any form, whose tensors the files have to have; with --key the one that has to be signed",
    )
    parser.add_argument(
        "--contents",
        choices=("full", "none"),
        help="with --key. none: do not read the weights, and compare names, sizes, recipe and provenance (full)",
    )
    parser.add_argument(
        "--read",
        type=float,
        metavar="FRACTION",
        help="fraction of the stored bytes to compare, in random chunks of 8 MiB. 0 compares digests alone (1)",
    )
    arguments.add_engine(parser)
    shared.add_backend(parser)
    shared.add_json(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Verify the artifact; return the exit code."""
    _check(options)
    recipe = None
    if options.against is not None:
        recipe = shared.layout_of(argparse.Namespace(recipe=options.against, dtype=None, seed=None)).recipe
    if options.key is not None:
        document, text = _by_signature(options, recipe)
    elif recipe is not None:
        document, text = _with_recipe(options, recipe)
    else:
        document, text = _by_recipe(options)
    if options.json:
        print(json.dumps(document, indent=2))
    elif not options.quiet:
        print(f"{options.url}: {text}")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not belong together.

    Raises:
        ValueError: there are some.
    """
    if options.key is None and options.contents is not None:
        raise ValueError("--contents is an option of --key")
    for name in ("read", "part"):
        if getattr(options, name) is not None and (options.key is not None or options.against is not None):
            raise ValueError(f"--{name} is an option without --key and --against: it is for the artifact's own recipe")


def _by_signature(options: argparse.Namespace, recipe: Recipe | None) -> tuple[dict[str, Any], str]:
    from fanin import artifact

    signed = artifact.verify_signature(options.url, options.key, recipe=recipe, contents=options.contents or "full")
    said = signed.provenance
    provenance = said and {**asdict(said), "seed": str(said.seed)}
    origin = f"recipe {said.recipe}, builder {printable(said.builder)}" if said else "without a provenance"
    document = {"key": signed.key, "files": len(signed.digests), "provenance": provenance}
    return document, f"as signed, {len(signed.digests)} files, key {signed.key}, {origin}"


def _with_recipe(options: argparse.Namespace, recipe: Recipe) -> tuple[dict[str, Any], str]:
    from fanin import artifact

    with arguments.bar(options) as show:
        found = artifact.compare(options.url, recipe, backend=options.backend, progress=show)
    tensors = shared.counted(found.tensors)
    return asdict(found), f"{tensors}, {size_text(found.bytes)}, all as recipe {found.recipe} says"


def _by_recipe(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from fanin import artifact

    read = 1.0 if options.read is None else options.read
    with arguments.bar(options) as show:
        found = artifact.verify(
            options.url,
            read=read,
            part=options.part or "0/1",
            engine=arguments.engine(options),
            backend=options.backend,
            progress=show,
        )
    compared = "every byte" if read == 1 else f"{read:.3g} of the bytes, and digests" if read else "digests alone"
    items = "1 item" if found.items == 1 else f"{found.items} items"
    text = f"{items}, {size_text(found.bytes)}, as recipe {found.recipe} says; compared: {compared}"
    return asdict(found), text
