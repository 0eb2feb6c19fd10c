"""Checkpoints of step 0, written from a recipe without a model in memory."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import safetensors.torch
import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex, TensorProperties
from torch.distributed.checkpoint.planner import SavePlan, TensorWriteData, WriteItem, WriteItemType
from torch.distributed.checkpoint.state_dict_saver import save

from fanin import backends
from fanin.backends import Backend
from fanin.file import atomic, disk, shards
from fanin.file.layout import Entry, FileLayoutLike
from fanin.region import Region
from fanin.strided import dense, place
from fanin.torch.formats import SHARD_BYTES, Format
from fanin.torch.inputs import Given
from fanin.torch.recorder.recording import DTYPES
from fanin.torch.writable import address, check_eager, plainly

CHUNK_BYTES = 256 << 20
"""Maximum size of a chunk of a DCP checkpoint, and so of its memory, in bytes."""
_TYPES = {name: dtype for dtype, name in DTYPES.items()}


def save_checkpoint(
    recipe: FileLayoutLike,
    directory: str | os.PathLike[str],
    *,
    format: Format = "dcp",
    seed: int | str | None = None,
    shard_bytes: int = SHARD_BYTES,
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
        shard_bytes: Maximum bytes of tensors in a file of `safetensors`, unless one tensor is larger.
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
    with plainly(), atomic.replacing_directory(Path(directory).resolve()) as folder:
        if format == "dcp":
            _save_dcp(given, folder, backend)
        else:
            _save_safetensors(given, folder, shard_bytes, backend)


def _save_safetensors(given: Given, folder: Path, shard_bytes: int, backend: str | None) -> None:
    recipe = given.layout.recipe
    parts = shards.split(recipe, shard_bytes, has_literals=bool(given.literals))
    for name, tensors in parts.items():
        disk.save(recipe.part(tensors), folder / name, backend=backend, progress=False)
    if not given.literals and list(parts) == [shards.WHOLE]:
        return
    if given.literals:
        content = safetensors.torch.save(dict(given.literals), {"format": "pt"})
        with atomic.replacing(folder / shards.literals_name(parts)) as file:
            file.write(content)
    sizes = {name: literal.nbytes for name, literal in given.literals.items()}
    with atomic.replacing(folder / shards.INDEX) as file:
        file.write(shards.index(recipe, parts, sizes))


def _save_dcp(given: Given, folder: Path, backend: str | None) -> None:
    # One file for each chunk: the writer holds the content of one file in memory.
    writer = FileSystemWriter(folder, single_file_per_rank=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        try:
            save({}, storage_writer=writer, planner=_Planner(given, backends.get(backend)), no_dist=True)
        except CheckpointException as error:  # not an Exception; it contains the exception of each rank
            raise error.failures[0][0] from error


class _Planner(DefaultSavePlanner):
    """Returns tensors chunk by chunk, and generates each chunk when the writer requests it."""

    def __init__(self, given: Given, backend: Backend) -> None:
        super().__init__()
        self._backend = backend
        self._makers: dict[tuple[str, tuple[int, ...]], Callable[[], torch.Tensor]] = {}
        self._items: list[WriteItem] = []
        names = {name: name for name in (*given.layout.recipe.tensors, *given.literals)}
        for name, other in (names | dict(given.tied)).items():
            if other in given.literals:
                literal = given.literals[other]
                self._add(name, literal.dtype, literal.shape, (0,) * literal.ndim, literal.shape, literal.clone)
            else:
                self._add_drawn(name, given.layout.entry(other))

    def _add_drawn(self, name: str, entry: Entry) -> None:
        size, dtype = entry.dtype.itemsize, _TYPES[entry.dtype.name]
        whole = Region.of(entry.shape, ...)
        for part in whole.parts(lambda part: math.prod(part.lengths) * size <= CHUNK_BYTES):

            def make(part: Region = part) -> torch.Tensor:
                made = torch.empty(part.lengths, dtype=dtype, device="cpu")
                place(entry, part, address(made), dense(part.lengths, size), self._backend)
                return made

            offsets = tuple(axis.start for axis in part.axes)
            self._add(name, dtype, entry.shape, offsets, part.lengths, make)

    def _add(
        self,
        name: str,
        dtype: torch.dtype,
        shape: tuple[int, ...],
        offsets: tuple[int, ...],
        lengths: tuple[int, ...],
        make: Callable[[], torch.Tensor],
    ) -> None:
        self._makers[name, offsets] = make
        chunk = ChunkStorageMetadata(torch.Size(offsets), torch.Size(lengths))
        data = TensorWriteData(chunk, TensorProperties(dtype), torch.Size(shape))
        self._items.append(WriteItem(MetadataIndex(name, offsets), WriteItemType.SHARD, tensor_data=data))

    def create_local_plan(self) -> SavePlan:
        self.plan = SavePlan(self._items, planner_data={item.index.fqn: (item.index.fqn,) for item in self._items})
        return self.plan

    def resolve_data(self, write_item: WriteItem) -> torch.Tensor:
        index = write_item.index
        assert index.offset is not None
        return self._makers[index.fqn, tuple(index.offset)]()
