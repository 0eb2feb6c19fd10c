"""Checkpoints of step 0, written from a recipe without a model in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import safetensors.torch
import torch

from fanin import backends
from fanin.artifact import formats
from fanin.artifact.formats.dcp.archived import Kind
from fanin.artifact.formats.dcp.literals import literals_file
from fanin.artifact.formats.safetensors_files import options_for
from fanin.file import atomic
from fanin.file.layout import FileLayoutLike
from fanin.torch.formats import SHARD_BYTES, Format
from fanin.torch.inputs import Given
from fanin.torch.writable import check_eager, plainly

_FORMATS = {"dcp": "dcp", "safetensors": "hf"}
"""Formats of artifacts."""


def save_checkpoint(
    recipe: FileLayoutLike,
    directory: str | os.PathLike[str],
    *,
    format: Format = "dcp",
    seed: int | str | None = None,
    shard_bytes: int = SHARD_BYTES,
    files: Mapping[str, bytes] | None = None,
    backend: str | None = None,
) -> None:
    """Write a checkpoint of a recipe's tensors to a new directory, in bounded memory and all or nothing.

    Call it in one process. It does not use a process group.

        >>> fanin.torch.save_checkpoint(recording, "step-0", seed=42)

    Args:
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`. The literals of a `Recording`
            are written too. The layout must be given where a distribution depends on it.
        directory: Where to write the checkpoint.
        format: `dcp` is the format of torch.distributed.checkpoint, which any sharding loads. It has a recording's tied
            names too. `safetensors` is a Hugging Face directory: files with an index, each of which `fanin verify` can
            check. Tied names are left to the model, as transformers does.
        seed: 0 to 2^64 - 1, in place of the recipe's own.
        shard_bytes: Maximum bytes of tensors in a file. `safetensors` has a larger one if one tensor is larger.
        files: Further files such as config.json, by their names. With the config.json of a model of diffusers, the
            files of weights have the names that diffusers reads.
        backend: Name of the backend; by default the fastest one for a CPU, or the one that FANIN_BACKEND names.

    Raises:
        ValueError: the format or the size of files is wrong.
        FileExistsError: the directory exists and is not empty.
        RecipeError, FileError, BackendError: as `fanin.save`.
        OSError: the checkpoint cannot be written. Then nothing of it is left.
    """
    if format not in get_args(Format):
        raise ValueError(f"format is one of {', '.join(get_args(Format))}, not {format!r}")
    if shard_bytes < 1:
        raise ValueError(f"shard_bytes is at least 1, not {shard_bytes}")
    check_eager()
    given = Given.of(recipe, seed)
    options: dict[str, Any] = {formats.TIED: dict(given.tied)} if format == "dcp" else options_for(files or {})
    request = formats.Given(given.layout.recipe, shard_bytes, bool(given.literals), options)
    arrangement = formats.arrangement_of(_FORMATS[format])(request)
    maker = backends.get(backend)
    with plainly(), atomic.replacing_directory(atomic.real(directory)) as folder:
        given_files = dict(files or {})
        if given.literals:
            assert arrangement.literals_path is not None
            given_files[arrangement.literals_path] = _literals(given.literals, format)
        for path, content in given_files.items():
            _write(folder / path, [content])
        for number in range(len(arrangement)):
            _write(folder / arrangement.name(number), arrangement.content(number).chunks(maker))
        if arrangement.commit_path is not None:
            _write(folder / arrangement.commit_path, [arrangement.commit(given_files.__getitem__)])


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    with atomic.replacing(path) as file:
        for chunk in chunks:
            file.write(chunk)


def _literals(literals: Mapping[str, torch.Tensor], format: Format) -> bytes:
    given = {name: literal.contiguous() for name, literal in literals.items()}
    if format == "safetensors":
        return safetensors.torch.save(given, {"format": "pt"})
    return literals_file(
        {
            name: (
                Kind(f"{literal.dtype}".removeprefix("torch."), literal.itemsize, tuple(literal.shape)),
                literal.reshape(-1).view(torch.uint8).numpy().tobytes(),
            )
            for name, literal in given.items()
        }
    )
