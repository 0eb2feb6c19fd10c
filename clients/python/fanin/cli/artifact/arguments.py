"""Arguments that the subcommands of `fanin artifact` share, and the progress bar."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fanin.cli import options as shared
from fanin.terminal import size_text

if TYPE_CHECKING:
    from fanin.artifact import Manifest, Plan, Progress
    from fanin.artifact.engines import Engine

_SHARD_BYTES = 5_000_000_000


def add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="a directory, or s3://bucket/prefix, gs://..., az://...")


def add_request(parser: argparse.ArgumentParser) -> None:
    """Add the recipe, the URL and everything that the bytes of an artifact depend on. `begun` reads them."""
    from fanin.artifact.formats import FORMATS

    shared.add_recipe(parser)
    add_url(parser)
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        default="hf",
        help="hf: files with an index, as Hugging Face libraries read them; safetensors: one file; dcp: a checkpoint"
        " of torch.distributed.checkpoint (%(default)s)",
    )
    parser.add_argument(
        "--shard-size",
        type=shared.size,
        default=_SHARD_BYTES,
        metavar="SIZE",
        help=f"most bytes of tensors in a file, such as 5GB, unless one tensor is larger ({size_text(_SHARD_BYTES)})",
    )
    parser.add_argument(
        "--file",
        dest="files",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="file to put beside the weights, such as config.json; may be repeated",
    )
    parser.add_argument(
        "--literals",
        type=Path,
        metavar="FILE",
        help="literals.safetensors, as `fanin recipe --literals` writes it: more of the weights (for a name of `fanin"
        " catalogue, those of the model)",
    )
    parser.add_argument(
        "--tied",
        action="append",
        default=[],
        type=_tied,
        metavar="NAME=TENSOR",
        help="another name of a tensor, for dcp, such as lm_head.weight=model.embed_tokens.weight; may be repeated",
    )


def add_writing(parser: argparse.ArgumentParser) -> None:
    """Add the options for how items are written. `engine` reads those of the engine."""
    add_engine(parser)
    parser.add_argument(
        "--finish",
        action="store_true",
        help="with --part, complete the artifact if no item of another part is missing. The last part does",
    )
    shared.add_backend(parser)


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the options for which items are worked on, and by what. `engine` reads those of the engine."""
    from fanin.artifact.engines import ENGINES

    parser.add_argument(
        "--part",
        metavar="I/N",
        help="take every N-th item from item I on. auto and auto/N take I, and N, from the environment of a"
        " Kubernetes Indexed Job, a Slurm array or torchrun",
    )
    parser.add_argument(
        "--engine", choices=tuple(ENGINES), default="threads", help="what hands out the items (%(default)s)"
    )
    parser.add_argument("--threads", type=_count, metavar="N", help="threads of `threads` (one per CPU, at most 8)")
    parser.add_argument(
        "--address",
        help="address of the cluster of `ray`, such as 10.0.0.1:6379 (that of RAY_ADDRESS, or of the cluster that runs"
        " on this machine, else a new one)",
    )


def engine(options: argparse.Namespace) -> Engine:
    """Return the engine that the options name.

    Raises:
        ValueError: an option belongs to another engine.
        MissingPackageError: its package is not installed.
    """
    from fanin.artifact.engines import engine_of

    given: dict[str, Any] = {}
    for name, owner in {"threads": "threads", "address": "ray"}.items():
        value = getattr(options, name)
        if value is not None:
            if owner != options.engine:
                raise ValueError(f"--{name} is an option of the engine {owner}, not of {options.engine}")
            given[name] = value
    return engine_of(options.engine, **given)


def begun(options: argparse.Namespace) -> Plan:
    """Claim the destination that the options name, and return the plan."""
    from fanin import artifact
    from fanin.artifact.formats import TIED

    files = {path.name: path.read_bytes() for path in options.files}
    if len(files) < len(options.files):
        raise ValueError("two of the files have the same name")
    tied = dict(options.tied)
    if len(tied) < len(options.tied):
        raise ValueError("two of the tied names are the same")
    return artifact.begin(
        shared.layout_of(options).recipe,
        options.url,
        format=options.format,
        shard_bytes=options.shard_size,
        files=files,
        literals=options.literals.read_bytes() if options.literals else _literals_of(options.recipe),
        options={TIED: tied} if tied else None,
    )


def _literals_of(recipe: str) -> bytes | None:
    """Return the literals of the catalogue's model that the argument names; `None` if there are none."""
    from fanin.cli.names import model_of

    model = model_of(recipe)
    return model.literals() if model else None


@contextmanager
def bar(options: argparse.Namespace) -> Iterator[Callable[[Progress], None]]:
    """Yield a callback that shows progress in a bar, on a terminal and without `--quiet`."""
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, unit_divisor=1000, disable=True if options.quiet else None) as shown:

        def show(progress: Progress) -> None:
            if shown.total != progress.bytes:
                # Bytes that were there before do not count as speed.
                shown.total, shown.initial = progress.bytes, progress.bytes_done
                shown.n = progress.bytes_done
            shown.set_description(f"{progress.items_done}/{progress.items}", refresh=False)
            shown.update(progress.bytes_done - shown.n)

        yield show


def report(options: argparse.Namespace, manifest: Manifest) -> None:
    """Print what an artifact consists of."""
    if not options.quiet:
        files = [*manifest.files, *filter(None, [manifest.commit])]
        size = sum(file.size for file in files)
        print(f"{options.url}: complete, {len(files)} files, {size} bytes, recipe {manifest.recipe}")


def _tied(text: str) -> tuple[str, str]:
    name, equals, tensor = text.partition("=")
    if not (name and equals and tensor):
        raise argparse.ArgumentTypeError(f"{text!r} is not another name, =, and the name of a tensor")
    return name, tensor


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return int(text)
