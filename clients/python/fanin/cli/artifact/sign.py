"""`fanin artifact sign`: the signature and the provenance of an artifact."""

from __future__ import annotations

import argparse
import json
import os

from fanin.cli import options as shared
from fanin.cli.artifact import arguments

HELP = (
    "Sign a complete artifact, and state the recipe that it is of. The digests are those of its manifest, and the"
    " weights are not read. FANIN_SIGNING_PASSPHRASE has the passphrase of an encrypted key, or the PIN of a token."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_url(parser)
    parser.add_argument(
        "--key",
        required=True,
        metavar="FILE",
        help="PEM file with a private key of P-256, P-384 or P-521, or a pkcs11: URI (RFC 7512)",
    )
    parser.add_argument(
        "--builder",
        default=os.environ.get("FANIN_BUILDER") or None,
        metavar="URI",
        help="person or system that creates the artifact (FANIN_BUILDER, else the key)",
    )
    shared.add_json(parser)
    shared.add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Sign the artifact; return the exit code."""
    from fanin import artifact

    signed = artifact.sign(options.url, options.key, builder=options.builder)
    assert signed.provenance is not None
    if options.json:
        document = {
            "key": signed.key,
            "files": len(signed.digests),
            "recipe": signed.provenance.recipe,
            "builder": signed.provenance.builder,
            "is_new": signed.is_new,
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))
    elif not options.quiet:
        state = "signed" if signed.is_new else "was signed before"
        print(
            f"{options.url}: {state}, {len(signed.digests)} files, recipe {signed.provenance.recipe},"
            f" key {signed.key}, builder {signed.provenance.builder}"
        )
    return 0
