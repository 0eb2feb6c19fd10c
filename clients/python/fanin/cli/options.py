"""Arguments that commands share, so that an option has the same meaning in all of them."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, get_args

if TYPE_CHECKING:
    from fanin.client.client import Client
    from fanin.file.layout import FileLayout

SERVICE = "http://127.0.0.1:8000"


def add_recipe(parser: argparse.ArgumentParser, other: str = "") -> None:
    """Add a recipe and the options that replace parts of it. `layout_of` reads them.

    `other` describes a further form of the argument, which the command itself reads.
    """
    parser.add_argument(
        "recipe",
        metavar="RECIPE",
        help="file with a recipe in JSON, a Fanin file, a name of `fanin catalogue`, the JSON itself, or - (standard"
        f" input){other and ', '}{other}",
    )
    add_seed(parser)
    parser.add_argument("--dtype", metavar="TYPE", help="storage type of tensors that do not give their own")


def add_seed(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    told = "%(default)s" if default is not None else "that of the recipe"
    parser.add_argument("--seed", type=_seed, default=default, metavar="N", help=f"seed, 0 to 2^64 - 1 ({told})")


def add_output(parser: argparse.ArgumentParser, what: str = "file to write, or - (standard output)") -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar and no line about the result")


def add_json(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def add_group_size(parser: argparse._ActionsContainer) -> None:
    # 128 is GROUP_SIZE of fanin.quantization, whose import would slow down --help.
    parser.add_argument(
        "--group-size", type=int, metavar="N", default=128, help="columns that share a scale in INT4 (128)"
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help="native, reference or cuda (FANIN_BACKEND, else the fastest that is available)",
    )


def add_service(parser: argparse.ArgumentParser) -> None:
    """Add the options for a service's URL, token and connections. `client` reads them."""
    group = parser.add_argument_group("service")
    group.add_argument(
        "--service",
        metavar="URL",
        default=os.environ.get("FANIN_SERVER") or SERVICE,
        help="root of the service (FANIN_SERVER, else http://127.0.0.1:8000)",
    )
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="has the key for the service, which no other host gets (FANIN_TOKEN)",
    )
    group.add_argument("--ca-certs", metavar="FILE", help="certificates in PEM to trust, in place of the system's")
    group.add_argument("--client-cert", nargs=2, metavar=("CERT", "KEY"), help="files in PEM of a certificate to show")
    group.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="wait for a connection, and for each next byte (%(default)s)",
    )
    group.add_argument(
        "--retries", type=int, default=5, metavar="N", help="further attempts without a new byte (%(default)s)"
    )


def add_fetching(parser: argparse.ArgumentParser, where: str) -> None:
    """Add the options for where bytes are generated, and for how received bytes are checked."""
    from fanin.client.base import Where
    from fanin.client.verification import Verify

    parser.add_argument(
        "--where", choices=get_args(Where), default=where, help="where bytes are generated (%(default)s)"
    )
    parser.add_argument(
        "--verify",
        choices=get_args(Verify),
        default="none",
        help="check received bytes: generate all of them here too (full), or the beginning and the end (sample), or"
        " compare their SHA-256 with the service's (digest) (%(default)s)",
    )
    parser.add_argument(
        "--connections", type=int, default=1, metavar="N", help="connections that fetch parts at once (%(default)s)"
    )
    add_service(parser)


def client(options: argparse.Namespace) -> Client:
    """Return a client of the service that the options name."""
    from fanin.client.client import Client

    logging.basicConfig(format="fanin: %(message)s", level=logging.WARNING)
    given: dict[str, Any] = {
        name: getattr(options, name) for name in ("where", "verify", "connections", "backend") if hasattr(options, name)
    }
    return Client(
        options.service,
        token=options.token_file and options.token_file.read_text().strip(),
        ca_certs=options.ca_certs,
        client_cert=options.client_cert and tuple(options.client_cert),
        timeout=options.timeout,
        retries=options.retries,
        **given,
    )


def layout_of(options: argparse.Namespace) -> FileLayout:
    """Return the layout of the recipe that the options name.

    Raises:
        RecipeError: the recipe is wrong.
        FileError: it is in a damaged file.
        OSError: the file cannot be read.
        ValueError: `--dtype` changes nothing, or the argument is neither a file nor a recipe.
    """
    from fanin.file.layout import FileLayout
    from fanin.recipe import as_recipe, with_dtype

    document, layout = read(options.recipe)
    if options.dtype is not None:
        recipe, layout = with_dtype(document, options.dtype), None
    else:
        recipe = layout.recipe if layout else as_recipe(document)
    if options.seed is not None:
        recipe, layout = recipe.seeded(options.seed), None
    return layout or FileLayout.of(recipe)


def read(source: str) -> tuple[Any, FileLayout | None]:
    """Return the JSON values of the recipe that an argument names, and the layout if they are from a Fanin file.

    Raises:
        RecipeError, FileError, OSError, ValueError: as `layout_of`.
    """
    from fanin.file import disk
    from fanin.recipe import parse_json
    from fanin.recipe.header import has_weights

    if source.lstrip().startswith("{"):
        return parse_json(source), None
    with opened(source) as file:
        if has_weights(file):
            layout = disk.layout_of_file(file)
            return parse_json(layout.recipe.canonical), layout
        return parse_json(file.read()), None


@contextmanager
def opened(source: str) -> Iterator[Any]:
    """Yield the buffered reader of a file, of a catalogue model's recipe, or of standard input for `-`.

    Raises:
        ValueError: the argument is not a file, but looks like a part of a recipe, a URL or the name of a model. Or it
            is both a file and the name of a model.
        OSError: the file cannot be read.
    """
    if source == "-":
        yield sys.stdin.buffer
        return
    from fanin.cli.names import check_known, path_of

    try:
        file = open(path_of(source), "rb")  # noqa: SIM115  closed below
    except FileNotFoundError:
        if source.startswith(("http://", "https://")):
            raise ValueError(f"{source} is a URL: fetch the file first, with fanin get {source} -o FILE") from None
        if "=" in source:
            example = '\'{"shape": [784, 10], "scheme": "glorot_uniform"}\''
            raise ValueError(f"{source} is not a file; a recipe is JSON, such as {example}") from None
        check_known(source)
        raise
    with file:
        yield file


@contextmanager
def target(path: Path) -> Iterator[Path]:
    """Yield a path to write to. For `-`, the file at this path is copied to standard output at the end.

    Raises:
        ValueError: standard output is a terminal.
    """
    if not is_standard(path):
        yield path
        return
    out = standard_output()
    with tempfile.TemporaryDirectory(prefix="fanin-") as folder:
        whole = Path(folder, "output")
        yield whole
        with whole.open("rb") as file:
            shutil.copyfileobj(file, out, 1 << 20)
        out.flush()


def is_standard(path: Path) -> bool:
    """Return whether a path means standard input or output."""
    return str(path) == "-"


def standard_output() -> BinaryIO:
    """Return standard output for bytes.

    Raises:
        ValueError: it is a terminal, or the parent closed it.
    """
    if sys.__stdout__ is None:
        raise ValueError("standard output is closed: use -o FILE, or a pipe")
    if sys.stdout.isatty():
        raise ValueError("standard output is a terminal, which cannot show weights: use -o FILE, or a pipe")
    return sys.stdout.buffer


def report(options: argparse.Namespace, layout: FileLayout) -> None:
    """Print what was written: on standard error if standard output received the file. Print nothing with `--quiet`."""
    if options.quiet:
        return
    is_piped = is_standard(options.output)
    name = "standard output" if is_piped else options.output
    print(
        f"{name}: {counted(len(layout.entries))}, {layout.size} bytes, recipe {layout.recipe.digest}",
        file=sys.stderr if is_piped else sys.stdout,
    )


def counted(tensors: int) -> str:
    return f"{tensors} tensor" if tensors == 1 else f"{tensors} tensors"


def size(text: str) -> int:
    """Return the bytes of a size such as 5GB, 512MiB or 1000000.

    Raises:
        argparse.ArgumentTypeError: it is not one.
    """
    from fanin.sizes import byte_count

    count = byte_count(text.strip())
    if not count:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 5GB, 512MiB or 1000000")
    return count


def _seed(text: str) -> str:
    if not (text.isascii() and text.isdecimal() and int(text) < 2**64):
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 0 to 2^64 - 1")
    return text
