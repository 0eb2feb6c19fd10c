"""`fanin recipe`: the recipe of a model that initializes itself."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fanin.cli import options as shared
from fanin.cli import overwriting
from fanin.cli.builders import (
    builder_of,
    configuration_of,
    framework_of,
    module_file_of,
    quantization_of,
    transformer_of,
)
from fanin.cli.overwriting import check_output
from fanin.file.atomic import replacing
from fanin.quantization import FORMATS, quantize, quantize_as
from fanin.recipe import Recipe
from fanin.recipe.formatting import text
from fanin.recording.literals import file_of

HELP = "The recipe of a model, from its own construction and initialization, which run without the model's memory."
_FUNCTION = ("PACKAGE.MODULE:BUILD", "a function, or class, called without arguments")
_LITERAL = "see --literals"
_INCOMPLETE = "this recipe does not describe the full model: --literals FILE writes the rest, also for fanin push"
_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


@dataclass(frozen=True)
class Found:
    """The recipe of a model, and the facts that the command reports with it."""

    recipe: Recipe
    remarks: Iterable[tuple[str, str]]
    """Names of tensors, each with a sentence about a fact that the recipe does not describe."""
    literals: bytes | None
    """A safetensors file of the tensors that are not in the recipe; `None` if there are none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    sources = parser.add_subparsers(metavar="SOURCE", required=True)
    for name, found, summary, metavar, says in (
        ("torch", _torch, "a PyTorch model that a function creates", *_FUNCTION),
        ("keras", _keras, "a Keras model that a function creates and builds", *_FUNCTION),
        ("jax", _jax, "a pytree that a function creates: the state of an NNX module, parameters of Linen", *_FUNCTION),
        ("hf", _transformer, "a model of transformers", "CONFIG.JSON", "its configuration, or the directory with it"),
    ):
        source = sources.add_parser(name, help=summary)
        source.add_argument("source", metavar=metavar, help=says)
        source.set_defaults(found=found)
        shared.add_seed(source, default="0")
        source.add_argument(
            "-o", "--output", type=Path, metavar="FILE", default=Path("-"), help="file to write (standard output)"
        )
        source.add_argument(
            "--literals", type=Path, metavar="FILE", help="safetensors file for tensors that no recipe describes"
        )
        source.add_argument(
            "--quantize", metavar="FORMAT", help="quantize the weights of linear layers; see fanin recipe quantize"
        )
        shared.add_group_size(source)
    quantized = sources.add_parser("quantize", help="a recipe, with the weights of linear layers quantized")
    shared.add_recipe(quantized)
    quantized.add_argument("quantize", metavar="FORMAT", help=", ".join(FORMATS))
    shared.add_group_size(quantized)
    quantized.add_argument(
        "-o", "--output", type=Path, metavar="FILE", default=Path("-"), help="file to write (standard output)"
    )
    quantized.set_defaults(found=None, literals=None)


def run(options: argparse.Namespace) -> int:
    """Write the recipe, report what it does not describe, and return the exit code."""
    inputs: list[tuple[str, str | Path]]
    if options.found is None:
        found = Found(shared.layout_of(options).recipe, (), None)
        inputs = list(overwriting.inputs(options))
    else:
        found = options.found(options.source, options.seed)
        source = configuration_of(options.source) if options.found is _transformer else module_file_of(options.source)
        inputs = [("the source", source)] if source else []
    found = replace(found, recipe=_quantized(found.recipe, options))
    check_output("--output", options.output, inputs)
    if options.literals:
        check_output("--literals", options.literals, [*inputs, ("--output", options.output)])
    if options.literals and found.literals is not None:
        _write(options.literals, found.literals)
    if shared.is_standard(options.output):
        sys.stdout.write(text(found.recipe))
    else:
        _write(options.output, text(found.recipe).encode())
    print_remarks(found)
    if found.literals is not None and not options.literals:
        print(f"fanin: {_INCOMPLETE}", file=sys.stderr)
    return 0


def print_remarks(found: Found) -> None:
    """Print on standard error what the recipe of a model does not describe."""
    for line in _lines(found.remarks):
        print(line, file=sys.stderr)


def _quantized(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """Return the recipe in the format that the options, or the configuration of transformers, name."""
    if options.quantize:
        return quantize(recipe, options.quantize, group_size=options.group_size)
    config = quantization_of(options.source) if options.found is _transformer else None
    return quantize_as(recipe, config) if config else recipe


def _write(path: Path, content: bytes) -> None:
    """Write the file completely, or not at all."""
    with replacing(path) as file:
        file.write(content)


def _lines(remarks: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield one line for each kind of tensor of a repeated layer."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, sentence in remarks:
        groups.setdefault(_NUMBER.sub("*", f"{name} {sentence}"), []).append((name, sentence))
    for group in groups.values():
        more = f" (and {len(group) - 1} more like it)" if len(group) > 1 else ""
        yield f"fanin: {group[0][0]} {group[0][1]}{more}"


def recorded(source: str, framework: str | None, seed: str) -> Found:
    """Return the recipe of the model that `package.module:build` names.

    Args:
        source: The function, or class.
        framework: `torch`, `keras` or `jax`; `None` for the one that its module uses.
        seed: The seed of the recipe.

    Raises:
        ValueError: no function has this name, or its module does not show which framework it uses.
        RecordError: no recipe describes the model.
    """
    return _RECORDERS[framework or framework_of(source)](source, seed)


def _torch(source: str, seed: str) -> Found:
    return _recorded(builder_of(source), seed)


def _recorded(build: Callable[[], Any], seed: str) -> Found:
    from fanin.torch.recorder.recording import record

    recording = record(build, seed=seed)
    remarks = [
        *((name, f"is tied to {other}") for name, other in recording.tied.items()),
        *((name, f"begins as a copy of {other}; the recipe draws it anew") for name, other in recording.copies.items()),
        *(
            (name, f"has {norm.what}, of {norm.of} under this seed: {_LITERAL}")
            for name, norm in recording.norms.items()
        ),
        *(
            (name, f"has given values, {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}: {_LITERAL}")
            for name, tensor in recording.literals.items()
            if name not in recording.norms
        ),
    ]
    return Found(recording.recipe, remarks, recording.literals_file())


def _transformer(source: str, seed: str) -> Found:
    return _recorded(transformer_of(source), seed)


def _keras(source: str, seed: str) -> Found:
    from fanin.keras.recording import record

    recording = record(builder_of(source), seed=seed)
    return _with_arrays(recording.recipe, recording.literals)


def _jax(source: str, seed: str) -> Found:
    from fanin.jax.recording import record

    recording = record(builder_of(source), seed=seed)
    return _with_arrays(recording.recipe, recording.literals)


_RECORDERS = {"torch": _torch, "keras": _keras, "jax": _jax}
"""Functions that return the recipe of a model, by framework."""


def _with_arrays(recipe: Recipe, literals: Mapping[str, Any]) -> Found:
    remarks = [
        (name, f"has given values, {value.dtype} {list(value.shape)}: {_LITERAL}") for name, value in literals.items()
    ]
    return Found(recipe, remarks, file_of(literals))
