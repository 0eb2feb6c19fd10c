"""Tensors to inspect, and the readers of recipes, files and directories. Elements are read in blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin import backends
from fanin.backends import pairs
from fanin.dtypes import DTYPE_NAMES, STORAGE, DType
from fanin.errors import FileError, RecipeError
from fanin.file.atomic import naming
from fanin.file.disk import size_of
from fanin.file.layout import Entry, FileLayout
from fanin.file.stored import Header, header_of, headers_of, prefixed
from fanin.inspection.measures.distributions import Expected, expected_of
from fanin.inspection.roles import Role, guessed
from fanin.inspection.thresholds import BLOCK
from fanin.recipe import METADATA_RECIPE, Recipe, as_recipe

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Source:
    """One tensor: what is known about it, and its elements."""

    name: str
    shape: tuple[int, ...]
    dtype: DType
    blocks: Callable[[], Iterator[Array]]
    """Yields the elements in order, in one-dimensional arrays of at most BLOCK elements."""
    role: Role
    expected: Expected | None = None
    """Distribution that a recipe gives."""
    memory: int | None = None
    """Identity of the memory that tied tensors share."""
    is_meta: bool = False
    """True if the tensor has a shape but no memory."""

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def of_recipe(layout: FileLayout, backend: str | None = None) -> list[Source]:
    """Return the tensors of a recipe, which are generated as they are read."""
    maker = backends.get(backend if backend else None)

    def generated(entry: Entry) -> Iterator[Array]:
        for first in range(0, entry.count, BLOCK):
            block = np.empty(min(BLOCK, entry.count - first), entry.dtype.numpy)
            maker.fill(entry.draw, entry.stream, entry.dtype, first, block.view(np.uint8).data)
            yield block

    tensors = layout.recipe.tensors
    return [
        Source(
            entry.name,
            entry.shape,
            entry.dtype,
            lambda entry=entry: generated(entry),  # type: ignore[misc]
            guessed(entry.name, entry.shape),
            expected_of(tensors[entry.name]),
        )
        for entry in layout.entries
    ]


def of_array(name: str, array: Array, role: Role | None = None, memory: int | None = None) -> Source:
    """Return an array in memory as a source.

    Raises:
        ValueError: its type is not a storage type.
    """
    if array.dtype.name not in DTYPE_NAMES:
        raise ValueError(f"{name}: arrays of type {array.dtype} cannot be inspected")
    dtype = STORAGE[DTYPE_NAMES[array.dtype.name]]

    def blocks() -> Iterator[Array]:
        # Little-endian: the parts of a complex number are read from its bytes.
        flat = np.ascontiguousarray(array, dtype.numpy).reshape(-1)
        for first in range(0, len(flat), BLOCK):
            yield flat[first : first + BLOCK]

    return Source(name, array.shape, dtype, blocks, role or guessed(name, array.shape), memory=memory)


def of_file(path: Path) -> tuple[list[Source], list[str]]:
    """Return the tensors of a safetensors file, and remarks about those that cannot be read.

    Raises:
        FileError: the header is damaged.
        OSError: the file cannot be read.
    """
    with naming(path), path.open("rb") as file:
        size = size_of(file)
    return _sources(path, header_of(partial(_range, path), size))


def of_directory(path: Path) -> tuple[list[Source], list[str]]:
    """Return the tensors of a Hugging Face directory: those of all shards that its index, or its files, name.

    Raises:
        FileError: the directory has no safetensors file, one is damaged, its index does not describe its shards, or two
            files have a tensor of the same name.
        OSError: a file cannot be read.
    """
    sizes = {each.name: each.stat().st_size for each in path.iterdir() if each.is_file()}
    sources: list[Source] = []
    remarks: list[str] = []
    with prefixed(str(path)):
        headers = headers_of(sizes, lambda name, start, stop: _range(path / name, start, stop))
        for name, header in headers.items():
            with prefixed(name):
                found, more = _sources(path / name, header)
            sources += found
            remarks += more
    if "config.json" not in sizes:
        remarks.append("the directory has no config.json")
    return sources, remarks


def _range(path: Path, start: int, stop: int) -> bytes:
    """Return bytes [start, stop) of a file."""
    with naming(path), path.open("rb") as file:
        file.seek(start)
        return file.read(stop - start)


def _sources(path: Path, header: Header) -> tuple[list[Source], list[str]]:
    """Return the tensors of a file, and remarks about those that cannot be read.

    Raises:
        FileError: the recipe in the header is wrong.
    """
    recipe = _recipe(header.metadata)
    sources, remarks = [], []
    for name, dtype, shape, start, _ in header.tensors:
        if dtype not in STORAGE:
            remarks.append(f"{name} has the type {dtype}, which cannot be inspected")
            continue
        tensor = recipe.tensors.get(name) if recipe else None
        expected = expected_of(tensor) if tensor is not None and tensor.shape == shape else None
        blocks = _stored(path, start, math.prod(shape), STORAGE[dtype])
        sources.append(Source(name, shape, STORAGE[dtype], blocks, guessed(name, shape), expected))
    return sources, remarks


def _recipe(metadata: Mapping[str, str]) -> Recipe | None:
    """Return the recipe in a file's metadata; None if it has none.

    Raises:
        FileError: it is not one that this version can read.
    """
    if METADATA_RECIPE not in metadata:
        return None
    try:
        return as_recipe(metadata[METADATA_RECIPE])
    except RecipeError as error:
        raise FileError(f"the recipe in the header is wrong: {error}") from None


def _stored(path: Path, start: int, count: int, dtype: DType) -> Callable[[], Iterator[Array]]:
    def blocks() -> Iterator[Array]:
        with naming(path), path.open("rb") as file:
            file.seek(start)
            for first in range(0, count, BLOCK):
                # BLOCK is even: each block begins with a complete byte.
                content = np.empty(dtype.file_bytes(min(BLOCK, count - first)), np.uint8)
                if file.readinto(content.data) < len(content):
                    raise FileError("the file ends inside a tensor")
                yield pairs.unpacked(content, dtype).view(dtype.numpy)

    return blocks


def of_arrays(arrays: Mapping[str, Any]) -> list[Source]:
    """Return arrays by name as sources.

    Raises:
        ValueError: the type of an array is not a storage type.
    """
    return [of_array(str(name), np.asarray(array)) for name, array in arrays.items()]
