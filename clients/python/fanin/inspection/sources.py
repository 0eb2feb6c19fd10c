"""Tensors to inspect, and the readers of recipes, files and directories. Elements are read in blocks."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin import backends
from fanin.backends import pairs
from fanin.dtypes import DTYPE_NAMES, STORAGE, DType
from fanin.errors import FileError, RecipeError, shown
from fanin.file import shards
from fanin.file.atomic import naming
from fanin.file.layout import Entry, FileLayout
from fanin.inspection.measures.distributions import Expected, expected_of
from fanin.inspection.roles import Role, guessed
from fanin.inspection.thresholds import BLOCK
from fanin.recipe import MAX_HEADER_BYTES, METADATA_RECIPE
from fanin.recipe.strict_json import parse_json

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
        flat = np.ascontiguousarray(array).reshape(-1)
        for first in range(0, len(flat), BLOCK):
            yield flat[first : first + BLOCK]

    return Source(name, array.shape, dtype, blocks, role or guessed(name, array.shape), memory=memory)


def of_file(path: Path) -> tuple[list[Source], list[str]]:
    """Return the tensors of a safetensors file, and remarks about those that cannot be read.

    Raises:
        FileError: the header is damaged.
        OSError: the file cannot be read.
    """
    sources, remarks, _ = _file(path)
    return sources, remarks


def _file(path: Path) -> tuple[list[Source], list[str], list[str]]:
    """As `of_file`. The third list has the names of all tensors of the header."""
    with naming(path), path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        text = file.read(length) if 0 < length <= MAX_HEADER_BYTES else b""
        if not text or len(text) < length:
            raise FileError("not a safetensors file: it does not begin with the length of a header, and a header")
        try:
            document = parse_json(text)
        except RecipeError as error:
            raise FileError(f"not a safetensors file: {error}") from None
        if not isinstance(document, dict):
            raise FileError("not a safetensors file: its header is not an object")
        file.seek(0, 2)
        size = file.tell() - 8 - length
        metadata = document.pop("__metadata__", None)
        recipe = _recipe(metadata)
        sources, remarks = [], []
        for name, member in document.items():
            dtype_name, shape, start = _place(name, member, size)
            if dtype_name not in STORAGE:
                remarks.append(f"{name} has the type {dtype_name}, which cannot be inspected")
                continue
            dtype = STORAGE[dtype_name]
            if (member["data_offsets"][1] - start) * 8 != math.prod(shape) * dtype.bits:
                raise FileError(f"not a safetensors file: the offsets of {shown(name)} do not fit its shape")
            tensor = recipe.tensors.get(name) if recipe else None
            expected = expected_of(tensor) if tensor is not None and tensor.shape == shape else None
            blocks = _stored(path, 8 + length + start, math.prod(shape), dtype)
            sources.append(Source(name, shape, dtype, blocks, guessed(name, shape), expected))
    return sources, remarks, list(document)


def _recipe(metadata: Any) -> Any:
    """Return the recipe in a file's metadata; None if it has none.

    Raises:
        FileError: it is not one that this version can read.
    """
    from fanin.recipe import as_recipe

    text = metadata.get(METADATA_RECIPE) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return as_recipe(text)
    except RecipeError as error:
        raise FileError(f"the recipe in the header is wrong: {error}") from None


def _place(name: str, member: Any, size: int) -> tuple[str, tuple[int, ...], int]:
    """Return type, shape and first byte of a tensor of a header.

    Raises:
        FileError: the header does not give them.
    """
    try:
        dtype, shape, (start, stop) = member["dtype"], member["shape"], member["data_offsets"]
        integers = [*shape, start, stop]
        valid = isinstance(dtype, str) and all(type(each) is int and each >= 0 for each in integers)
    except (TypeError, KeyError, ValueError):
        valid = False
    if not valid or not start <= stop <= size:
        raise FileError(f"not a safetensors file: the header's member {shown(name)} is damaged")
    return dtype, tuple(shape), start


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


def of_directory(path: Path) -> tuple[list[Source], list[str]]:
    """Return the tensors of a Hugging Face directory: those of all shards that its index, or its files, name.

    Raises:
        FileError: the directory has no safetensors file, its index is damaged or names a tensor that its shard lacks,
            or two files have a tensor of the same name.
        OSError: a file cannot be read.
    """
    index = next((each for names in shards.NAMES if (each := path / names.index).is_file()), None)
    indexed = {} if index is None else _indexed(index)
    names = sorted(each.name for each in path.glob("*.safetensors")) if index is None else sorted({*indexed.values()})
    if not names:
        raise FileError(f"{path} has no safetensors file")
    sources: list[Source] = []
    remarks: list[str] = []
    places: dict[str, str] = {}
    for name in names:
        found, more, tensors = _file(path / name)
        sources += found
        remarks += more
        for tensor in tensors:
            if tensor in places:
                raise FileError(f"{path}: {places[tensor]} and {name} both have the tensor {shown(tensor)}")
            places[tensor] = name
    for tensor, name in indexed.items():
        if places.get(tensor) != name:
            raise FileError(f"{index} names the tensor {shown(tensor)} in {name}, which does not have it")
    if not (path / "config.json").is_file():
        remarks.append("the directory has no config.json")
    return sources, remarks


def _indexed(index: Path) -> dict[str, str]:
    """Return the shard of each tensor that an index names.

    Raises:
        FileError: it is damaged, or names a file outside of its directory.
    """
    try:
        found = dict(json.loads(index.read_bytes())["weight_map"].items())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise FileError(f"{index} is damaged: it has no weight_map") from None
    for tensor, name in found.items():
        # A shard lies in the directory: an index from elsewhere names no other file of this machine.
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".."):
            where = f"{index}: weight_map names the tensor {shown(tensor)} in {name!a:.200}"
            raise FileError(f"{where}, which is not in its directory: name a file beside the index")
    return found


def of_arrays(arrays: Mapping[str, Any]) -> list[Source]:
    """Return arrays by name as sources.

    Raises:
        ValueError: the type of an array is not a storage type.
    """
    return [of_array(str(name), np.asarray(array)) for name, array in arrays.items()]
