"""The commands of `fanin`: their summaries, and the modules that are imported when one is used."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Protocol

from fanin.errors import MissingPackageError

PLUGINS = "fanin.commands"
"""Entry points of commands outside the library: the service's and the lab's."""
PACKAGES = {
    "aiohttp": "async",
    "jax": "jax",
    "keras": "keras",
    "matplotlib": "bench",
    "safetensors": "torch",
    "shtab": "completion",
    "torch": "torch",
}
"""Extras of pyproject.toml that install a package, if it is not the extra of the command."""


class Module(Protocol):
    """Module of a command."""

    HELP: str
    """Description, for `--help` of the command."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int: ...


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    summary: str
    """One line for `fanin --help`."""
    module: str | None = None
    """Module of the library; None for a command of another package."""
    extra: str | None = None
    """Extra of pyproject.toml that it needs."""
    default: str | None = None
    """Subcommand that is used if the first argument does not name one."""


COMMANDS: Mapping[str, Command] = {
    "make": Command("generate a recipe's file on this machine", "fanin.cli.make"),
    "slice": Command("generate or fetch a part of one tensor", "fanin.cli.slice"),
    "verify": Command("generate a file again from its own header and compare every byte", "fanin.cli.verify"),
    "show": Command("describe a recipe or a file: tensors, formulas, sizes, digest", "fanin.cli.show"),
    "look": Command("show a recipe and its weights in a browser", "fanin.cli.look"),
    "inspect": Command("statistics of weights, the signal in a model, and findings", "fanin.cli.inspect"),
    "catalogue": Command("list published models whose names stand for a recipe", "fanin.cli.catalogue"),
    "schemes": Command("list the initializers, or explain one", "fanin.cli.schemes"),
    "recipe": Command("write the recipe of a model in PyTorch, Keras, JAX or transformers", "fanin.cli.recipe"),
    "checkpoint": Command("write a checkpoint of step 0 for PyTorch", "fanin.cli.checkpoint", "torch"),
    "artifact": Command(
        "write a checkpoint of any size to a directory or a bucket", "fanin.cli.artifact", default="make"
    ),
    "get": Command("fetch a file from a service", "fanin.cli.get"),
    "push": Command("store a model in a service under a name", "fanin.cli.push"),
    "serve": Command("serve weights over HTTP", extra="service"),
    "keys": Command("create, list and revoke the API keys of a service", extra="service"),
    "bench": Command("measure how fast this machine generates weights", extra="bench"),
    "compare": Command("compare initializers on small networks", extra="compare"),
    "completion": Command("print a completion script for a shell", "fanin.cli.completion", "completion"),
}
"""By name, in the order of `fanin --help`."""


def available() -> dict[str, Command]:
    """Return the commands of this installation, those of unknown packages last."""
    plugins = {plugin.name for plugin in entry_points(group=PLUGINS)}
    known = {name: each for name, each in COMMANDS.items() if each.module or name in plugins}
    others = {name: Command(f"see fanin {name} --help") for name in sorted(plugins - COMMANDS.keys())}
    return known | others


def written_out(words: list[str]) -> list[str]:
    """Return the words of a command line with the subcommand that they leave out."""
    command = COMMANDS.get(words[0]) if len(words) > 1 and not words[1].startswith("-") else None
    if command is None or command.default is None or words[1] in import_module(command.module or "").SUBCOMMANDS:
        return words
    return [words[0], command.default, *words[1:]]


def fill_in(name: str, command: Command, parser: argparse.ArgumentParser) -> None:
    """Add description, arguments and `run` of a command to its parser.

    Raises:
        MissingPackageError: it needs a package that is not installed.
    """
    try:
        module: Module = _module(name, command)
    except ModuleNotFoundError as error:
        raise missing(name, command, error) from None

    def run(options: argparse.Namespace) -> int:
        try:
            return module.run(options)
        except MissingPackageError:
            raise
        except ModuleNotFoundError as error:
            raise missing(name, command, error) from None

    parser.description = module.HELP
    module.add_arguments(parser)
    parser.set_defaults(run=run)


def _module(name: str, command: Command) -> Module:
    if command.module:
        found: Module = import_module(command.module)
        return found
    (plugin,) = entry_points(group=PLUGINS, name=name)
    loaded: Module = plugin.load()
    return loaded


def missing(name: str, command: Command, error: ModuleNotFoundError) -> MissingPackageError:
    """Return the error that says what to install for a command."""
    package = (error.name or "").partition(".")[0]
    extra = PACKAGES.get(package, command.extra)
    what = f"in a checkout of Fanin, run: pip install '.[{extra}]'" if extra else f"run: pip install {package}"
    return MissingPackageError(f"fanin {name} needs the package {package}, which is not installed; {what}")
