"""`fanin checkpoint`: a checkpoint of step 0 for PyTorch."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from fanin.cli import options as shared
from fanin.file.shards import CONFIG
from fanin.terminal import size_text
from fanin.torch.formats import SHARD_BYTES, Format

HELP = "A checkpoint of step 0, for torch.distributed.checkpoint or for Hugging Face libraries; no model is in memory."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    sources = parser.add_subparsers(metavar="SOURCE", required=True)
    recipe = sources.add_parser("recipe", help="a recipe")
    recipe.add_argument(
        "source",
        metavar="FILE",
        help="a recipe, a Fanin file with one in its header, or a name of `fanin catalogue`",
    )
    built = sources.add_parser("torch", help="a model that a function creates")
    built.add_argument("source", metavar="PACKAGE.MODULE:BUILD", help="a function, or class, called without arguments")
    hub = sources.add_parser("hf", help="a model of transformers")
    hub.add_argument("source", metavar="CONFIG.JSON", help="its configuration; `safetensors` has a copy of it")
    for source, run in ((recipe, _given), (built, _built), (hub, _hub)):
        source.add_argument(
            "-o",
            "--output",
            dest="directory",
            type=Path,
            required=True,
            metavar="DIRECTORY",
            help="directory to create",
        )
        source.add_argument("--format", choices=get_args(Format), default="dcp", help="(%(default)s)")
        shared.add_seed(source)
        source.add_argument(
            "--shard-size",
            type=shared.size,
            default=SHARD_BYTES,
            metavar="SIZE",
            help=f"most bytes in a file of safetensors, such as 5GB ({size_text(SHARD_BYTES)})",
        )
        shared.add_quiet(source)
        source.set_defaults(write=run)


def run(options: argparse.Namespace) -> int:
    """Write the checkpoint; return the exit code."""
    options.write(options)
    if not options.quiet:
        files = [path for path in options.directory.iterdir() if path.is_file()]
        print(f"{options.directory}: {len(files)} files, {sum(path.stat().st_size for path in files)} bytes")
    return 0


# `run` imports torch, so that `--help` works without it.


def _given(options: argparse.Namespace) -> None:
    from fanin.cli.names import check_known, model_of

    model = model_of(options.source)
    if model is None:
        if not Path(options.source).exists():
            check_known(options.source)
        options.source = Path(options.source)
        _recipe(options)
        return
    from safetensors.torch import load

    from fanin.torch.recorder.recording import Recording

    literals = model.literals()
    options.source = Recording(model.recipe(), {}, load(literals) if literals else {}, {}, {}, {})
    _recipe(options, {CONFIG: model.files()[CONFIG]} if options.format == "safetensors" else None)


def _recipe(options: argparse.Namespace, files: Mapping[str, bytes] | None = None) -> None:
    from fanin.torch.checkpoint import save_checkpoint

    save_checkpoint(
        options.source,
        options.directory,
        format=options.format,
        seed=None if options.seed is None else int(options.seed),
        shard_bytes=options.shard_size,
        files=files,
    )


def _built(options: argparse.Namespace) -> None:
    from fanin.cli.builders import builder_of
    from fanin.torch.recorder.recording import record

    options.source = record(builder_of(options.source))
    _recipe(options)


def _hub(options: argparse.Namespace) -> None:
    from fanin.cli.builders import configuration_of, transformer_of
    from fanin.torch.recorder.recording import record

    config = configuration_of(options.source)
    options.source = record(transformer_of(options.source))
    _recipe(options, {CONFIG: config.read_bytes()} if options.format == "safetensors" else None)
