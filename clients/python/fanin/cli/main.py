"""The command line `fanin`; `CODES` says what its exit codes mean."""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Any, get_args

from fanin import backends, files, signals
from fanin.client.base import Where
from fanin.client.client import Client
from fanin.client.verification import Verify
from fanin.description import describe
from fanin.errors import BackendError, FileError, MismatchError, RecipeError, ServiceError
from fanin.file_layout import FileLayout
from fanin.names import count, folded
from fanin.recipe.assumed_layouts import assumed
from fanin.schemes import catalogue
from fanin.schemes.base import Scaled

PLUGINS = "fanin.commands"
"""Entry points of other packages' commands: `serve` comes from the service."""
EXTRAS = {
    "serve": "service",
    "keys": "service",
    "compare": "compare",
    "bench": "bench",
    "checkpoint": "torch",
    "torch": "torch",
    "jax": "jax",
    "keras": "keras",
    "safetensors": "torch",
}
"""By package, or else by command: the optional dependencies, named in pyproject.toml, that bring what is missing."""
EXIT_CODES: dict[type[BaseException], int] = {
    MismatchError: 1,
    FileError: 1,
    RecipeError: 2,
    ValueError: 2,
    ServiceError: 3,
    BackendError: 3,
    OSError: 4,
}


CODES = (
    "Exit codes: 0 done; 1 the bytes differ from the recipe, or a file is damaged; 2 wrong usage or a wrong recipe; "
    "3 the service or the backend failed, or a package is missing; 4 a file cannot be read or written, or another "
    "process is writing it; 130 interrupted."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Raises:
        KeyboardInterrupt: the user interrupted it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    # Exit as after an error, so that no partial file stays. A closed terminal sends SIGHUP. (The service has handlers
    # of its own.)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signals.handle(number, lambda number, _: sys.exit(128 + number))
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of tensors may have characters that the terminal has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parser(arguments).parse_args(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = options.run(options)
    except BrokenPipeError:
        # The reader of our output has seen enough, as in `fanin show | head`.
        sys.stdout = None
        return 0
    except tuple(EXIT_CODES) as error:
        print(f"fanin: {_printable(str(error))}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"fanin: {_printable(str(message))}", file=sys.stderr)


def _printable(text: str) -> str:
    """What others wrote must not steer the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


class _Command(argparse.ArgumentParser):
    """The parser of one command. It reports unknown arguments itself, with the usage of this command."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}; {self.prog} --help lists the options")
        return options, unknown


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fanin", description="Initial weights from a recipe and a seed.", epilog=CODES
    )
    parser.add_argument("--version", action="version", version=f"fanin {version('fanin')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Command)

    get = _command(commands, "get", _get, "fetch a file from a service")
    get.add_argument("source", help="URL of a Fanin file, or a recipe (- for standard input)")
    get.add_argument("output", type=Path, help="file to write")
    get.add_argument("--where", choices=get_args(Where), default="remote", help="where it is generated (%(default)s)")
    get.add_argument(
        "--verify",
        choices=get_args(Verify),
        default="none",
        help="check what is received: generate all of it (full), or its beginning and end (sample), or compare its"
        " SHA-256 with the service's (digest) (%(default)s)",
    )
    get.add_argument("--connections", type=int, default=1, help="connections that fetch parts at once (%(default)s)")
    _add_server(get)

    push = _command(commands, "push", _push, "store a model in a service under a name")
    push.add_argument("name", help="NAME or NAMESPACE/NAME")
    push.add_argument("recipe", type=Path, help="its recipe; the seed is that of the revision main")
    push.add_argument(
        "files",
        nargs="*",
        type=Path,
        help="files to serve beside the weights: config.json, a tokenizer's. literals.safetensors, as `fanin recipe`"
        " writes it, has more of the weights",
    )
    _add_server(push)

    make = _command(commands, "make", _make, "generate a recipe's file on this machine")
    make.add_argument("recipe", help="recipe, or a Fanin file for the one in its header (- for standard input)")
    make.add_argument("output", type=Path, help="file to write")
    _add_backend(make)

    verify = _command(commands, "verify", _verify, "generate a file again from its own header and compare every byte")
    verify.add_argument("file", type=Path)
    _add_backend(verify)

    show = _command(commands, "show", _show, "tensors, shapes, formulas, sizes and digest of a recipe or file")
    show.add_argument("recipe", help="recipe or Fanin file (- for standard input)")
    show.add_argument("--json", action="store_true", help="machine-readable")

    schemes = _command(commands, "schemes", _schemes, "every initializer, its parameters and its formula")
    schemes.add_argument("--json", action="store_true", help="machine-readable")

    for plugin in entry_points(group=PLUGINS):
        parser_of_plugin = commands.add_parser(plugin.name, help=f"see fanin {plugin.name} --help")
        if plugin.name in arguments[:1]:
            _load(plugin, parser_of_plugin, is_help=bool({"-h", "--help"} & set(arguments)))
    return parser


def _load(plugin: EntryPoint, parser: argparse.ArgumentParser, is_help: bool) -> None:
    """Let another package fill in its command: a module with HELP, add_arguments(parser) and run(options).

    Without a package that it needs, the command's help says so.

    Raises:
        BackendError: a package is missing and no help was asked for.
    """
    try:
        module = plugin.load()
    except ModuleNotFoundError as error:
        refusal = _missing(plugin.name, error)
        if not is_help:
            raise refusal from None
        parser.description = str(refusal)
        return

    def run(options: argparse.Namespace) -> int:
        try:
            code: int = module.run(options)
        except ModuleNotFoundError as error:
            raise _missing(plugin.name, error) from None
        return code

    parser.description = module.HELP
    module.add_arguments(parser)
    parser.set_defaults(run=run)


def _missing(command: str, error: ModuleNotFoundError) -> BackendError:
    """Return what to install for a command that cannot import a package."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package) or EXTRAS.get(command)
    what = f"in a checkout of Fanin, run: pip install '.[{extra}]'" if extra else f"run: pip install {package}"
    return BackendError(f"fanin {command} needs the package {package}, which is not installed; {what}")


def _command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
    parser.set_defaults(run=run)
    return parser


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", default="http://127.0.0.1:8000", help="the service (%(default)s)")
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="has the key for the server, which is sent to no other (or FANIN_TOKEN has it)",
    )
    parser.add_argument("--ca-certs", metavar="FILE", help="certificates in PEM to trust, in place of the system's")
    parser.add_argument("--client-cert", nargs=2, metavar=("CERT", "KEY"), help="files in PEM of a certificate to show")
    parser.add_argument(
        "--timeout", type=float, default=30.0, help="seconds without a byte before a retry (%(default)s)"
    )
    parser.add_argument("--retries", type=int, default=5, help="retries without progress (%(default)s)")


def _server(options: argparse.Namespace) -> dict[str, Any]:
    """What a client is told of the server."""
    return {
        "url": options.server,
        "token": options.token_file and options.token_file.read_text().strip(),
        "ca_certs": options.ca_certs,
        "client_cert": options.client_cert and tuple(options.client_cert),
        "timeout": options.timeout,
        "retries": options.retries,
    }


def _add_backend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backend", help="native or reference; by default the fastest there is")


def _get(options: argparse.Namespace) -> int:
    is_url = options.source.startswith(("http://", "https://"))
    with Client(
        **_server(options), where=options.where, verify=options.verify, connections=options.connections
    ) as client:
        if is_url:
            client.download(options.source, options.output)
        else:
            client.save(_layout(options.source), options.output)
    return 0


def _push(options: argparse.Namespace) -> int:
    given = {path.name: path.read_bytes() for path in options.files}
    if len(given) < len(options.files):
        raise ValueError("two of the files have the same name")
    with Client(**_server(options)) as client:
        model = client.push(options.name, options.recipe.read_bytes(), given)
    print(f"{model['name']}: {model['tensors']} tensors, {_bytes(model['size'])}, main is {model['main']}")
    print(f"commit {model['commit']}")
    return 0


def _make(options: argparse.Namespace) -> int:
    files.save(_layout(options.recipe), options.output, backend=options.backend)
    return 0


def _verify(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    verified = files.verify(options.file, backend=options.backend)
    seconds = time.perf_counter() - started
    print(
        f"{options.file}: {verified.tensors} tensors, {verified.size} bytes, all as recipe {verified.digest} says"
        f" ({verified.size / seconds / 1e9:.2f} GB/s, {backends.get(options.backend).name})"
    )
    return 0


def _show(options: argparse.Namespace) -> int:
    layout = _layout(options.recipe)
    described = describe(layout)
    with_default = assumed(layout.recipe)
    if options.json:
        described["assumed"] = {"layout": "keras", "tensors": with_default}
        print(json.dumps(described, indent=2, ensure_ascii=False))
        return 0
    cells = {
        name: (
            tensor["dtype"],
            "x".join(map(str, tensor["shape"])) or "scalar",
            _bytes(tensor["stop"] - tensor["start"]),
            tensor["scheme"],
            str(tensor.get("fan_in", "")),
            str(tensor.get("fan_out", "")),
            tensor["draw"],
        )
        for name, tensor in described["tensors"].items()
    }
    plain, repeated = folded(cells)
    rows = [(name, "", *each) for name, each in plain.items()]
    rows += [(name, str(count(name)), *each) for name, each in repeated.items()]
    _print_table(
        ("tensor", "times", "dtype", "shape", "bytes", "scheme", "fan_in", "fan_out", "draw"),
        rows,
        right=frozenset({1, 4, 6, 7}),
    )
    size = described["size"]
    print(f"{len(described['tensors'])} tensors, {described['parameters']} parameters, {size} bytes ({_bytes(size)})")
    print(f"stream {described['stream']}, seed {described['seed']}, digest {described['digest']}")
    if with_default:
        more = f" and {len(with_default) - 1} more" if len(with_default) > 1 else ""
        print(f"layout keras, (*k, in, out), assumed for {with_default[0]}{more}: none is given")
    return 0


def _schemes(options: argparse.Namespace) -> int:
    entries = catalogue()
    if options.json:
        print(json.dumps(entries, indent=2, ensure_ascii=False))
        return 0
    _print_table(
        ("scheme", "also called", "formula", "parameters"),
        [
            (
                entry["scheme"],
                ", ".join(entry["aliases"]),
                entry["formula"],
                ", ".join(name for name in entry["parameters"] if name not in Scaled.model_fields) or "",
            )
            for entry in entries
        ],
    )
    return 0


def _layout(source: str) -> FileLayout:
    """The layout of a recipe, or of the one in a safetensors file."""
    with nullcontext(sys.stdin.buffer) if source == "-" else open(source, "rb") as file:
        assert isinstance(file, io.BufferedReader)
        return files.layout_of(file)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.4g} PB"


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
