"""`fanin artifact verify`: an artifact, compared with its signature."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from fanin.cli import options as shared
from fanin.cli.artifact import arguments
from fanin.terminal import printable

HELP = "Verify the signature of an artifact, its provenance and the SHA-256 of every file. The recipe is not used."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_url(parser)
    parser.add_argument("--key", required=True, metavar="FILE", help="PEM file with the public key of the signer")
    parser.add_argument("--recipe", metavar="RECIPE", help="recipe that has to be the signed one, in any form")
    parser.add_argument(
        "--contents",
        choices=("full", "none"),
        default="full",
        help="none: do not read the weights, and compare names, sizes, recipe and provenance (%(default)s)",
    )
    shared.add_json(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Verify the artifact; return the exit code."""
    from fanin import artifact

    recipe = None
    if options.recipe is not None:
        recipe = shared.layout_of(argparse.Namespace(recipe=options.recipe, dtype=None, seed=None)).recipe
    signed = artifact.verify_signature(options.url, options.key, recipe=recipe, contents=options.contents)
    said = signed.provenance
    if options.json:
        provenance = said and {**asdict(said), "seed": str(said.seed)}
        print(json.dumps({"key": signed.key, "files": len(signed.digests), "provenance": provenance}, indent=2))
    elif not options.quiet:
        origin = f"recipe {said.recipe}, builder {printable(said.builder)}" if said else "without a provenance"
        print(f"{options.url}: as signed, {len(signed.digests)} files, key {signed.key}, {origin}")
    return 0
