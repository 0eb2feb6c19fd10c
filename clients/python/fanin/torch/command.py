"""`fanin recipe`: the recipe of a model that initializes itself."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch

from fanin.errors import BackendError
from fanin.spelling import text
from fanin.torch.recording import Recording, record

HELP = "The recipe of a model, from its own construction and initialization, which run without the model's memory."
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    sources = parser.add_subparsers(metavar="SOURCE", required=True)
    built = sources.add_parser("torch", help="a model that a function makes")
    built.add_argument("source", metavar="PACKAGE.MODULE:BUILD", help="a function, or class, called without arguments")
    built.set_defaults(builder=builder_of)
    hub = sources.add_parser("hf", help="a model of transformers")
    hub.add_argument("source", metavar="CONFIG.JSON", help="its configuration, or the directory that has it")
    hub.set_defaults(builder=transformer_of)
    for source in (built, hub):
        source.add_argument("--seed", default="0", help="seed of the recipe (%(default)s)")
        source.add_argument("--output", type=Path, metavar="FILE", help="where to write it (standard output)")


def run(options: argparse.Namespace) -> int:
    """Write the recipe, and tell what it leaves to others; returns the exit code."""
    recording = record(options.builder(options.source), seed=options.seed)
    recipe = text(recording.recipe)
    if options.output:
        options.output.write_text(recipe, encoding="utf-8")
    else:
        sys.stdout.write(recipe)
    for line in remarks(recording):
        print(line, file=sys.stderr)
    return 0


def remarks(recording: Recording) -> Iterator[str]:
    """What a recipe does not say, a line for each kind of tensor of a repeated layer."""
    sentences = [
        *((name, f"is {other}") for name, other in recording.tied.items()),
        *((name, f"begins as a copy of {other}; the recipe draws it anew") for name, other in recording.copies.items()),
        *(
            (name, f"has given values, {_kind(tensor)}: not in the recipe")
            for name, tensor in recording.literals.items()
        ),
    ]
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, sentence in sentences:
        groups.setdefault(_NUMBER.sub("*", f"{name} {sentence}"), []).append((name, sentence))
    for group in groups.values():
        more = f" (and {len(group) - 1} more like it)" if len(group) > 1 else ""
        yield f"fanin: {group[0][0]} {group[0][1]}{more}"


def _kind(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def builder_of(source: str) -> Callable[[], torch.nn.Module]:
    """The function that `package.module:build` names, seen from the working directory as by `python -m`."""
    module, _, path = source.partition(":")
    if not module or not path:
        raise ValueError(f"{source!r} is not of the form package.module:build")
    sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{source}: {error}") from None
    if not callable(found):
        raise ValueError(f"{source} is no function, but a {type(found).__name__}")
    return cast(Callable[[], torch.nn.Module], found)


def transformer_of(source: str) -> Callable[[], torch.nn.Module]:
    """The model that a configuration of transformers describes; no code but the library's own is run."""
    path = Path(source) / "config.json" if Path(source).is_dir() else Path(source)
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, Mapping) or "model_type" not in config:
        raise ValueError(f"{path} is no configuration of transformers: it has no model_type")
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise BackendError(f"this command needs a package that is not installed: {error}") from None
    fields = {key: value for key, value in config.items() if key != "model_type"}
    parsed = transformers.AutoConfig.for_model(config["model_type"], **fields)
    for architecture in config.get("architectures") or []:
        if model := getattr(transformers, architecture, None):
            return lambda: model._from_config(parsed)
    return lambda: transformers.AutoModel.from_config(parsed)
