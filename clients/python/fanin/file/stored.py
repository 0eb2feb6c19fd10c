"""Checkpoints in safetensors files of any writer: their headers, and the index of several files."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from fanin.dtypes import STORAGE
from fanin.errors import FileError, RecipeError, shown
from fanin.file import shards
from fanin.recipe import MAX_HEADER_BYTES
from fanin.recipe.strict_json import parse_json


class Stored(NamedTuple):
    """A tensor in a file."""

    name: str
    dtype: str
    """Its type as the header spells it, which need not be one of `STORAGE`."""
    shape: tuple[int, ...]
    start: int
    """Offset of its first byte in the file."""
    stop: int


class Header(NamedTuple):
    """The contents of a file's header."""

    metadata: dict[str, str]
    tensors: list[Stored]
    """In the order of the header."""


def headers_of(sizes: Mapping[str, int], read: Callable[[str, int, int], bytes]) -> dict[str, Header]:
    """Return the header of each file of a checkpoint, in the order of their names.

    The files are those that the index names, or every safetensors file if the directory lacks an index. The index must
    name each tensor of its files, and nothing else: readers look up tensors in it.

    Args:
        sizes: The bytes of each file of the directory, by name.
        read: `read(name, start, stop)` returns bytes [start, stop) of a file.

    Raises:
        FileError: the directory lacks a safetensors file, a file or the index is damaged, the index does not describe
            the files, or two files have a tensor of the same name. The error names the file, and not the directory.
    """
    index = next((names.index for names in shards.NAMES if names.index in sizes), None)
    names = sorted(name for name in sizes if name.endswith(".safetensors"))
    indexed: dict[str, str] = {}
    if index is not None:
        with prefixed(index):
            indexed = _indexed(read(index, 0, sizes[index]) if sizes[index] else b"", sizes)
        names = sorted({*indexed.values()})
    if not names:
        raise FileError("the directory lacks a safetensors file")
    headers, places = {}, dict[str, str]()
    for name in names:
        with prefixed(name):
            headers[name] = header_of(lambda start, stop, name=name: read(name, start, stop), sizes[name])  # type: ignore[misc]
        for stored in headers[name].tensors:
            if stored.name in places:
                raise FileError(f"{places[stored.name]} and {name} both have tensor {quoted(stored.name)}")
            places[stored.name] = name
    if index is not None:
        with prefixed(index):
            _check_index(indexed, places)
    return headers


@contextmanager
def prefixed(place: str) -> Iterator[None]:
    """Say in a `FileError` where its file is."""
    try:
        yield
    except FileError as error:
        raise FileError(f"{place}: {error}") from None


def _indexed(text: bytes, beside: Collection[str]) -> dict[str, str]:
    """Return the file of each tensor that an index names. It is one of the files `beside` the index.

    Raises:
        FileError: it is not an index, or names another file: it could name any file of this machine.
    """
    try:
        document = parse_json(text)
    except RecipeError as error:
        raise FileError(f"weight_map cannot be read: {error}") from None
    indexed = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(indexed, dict):
        raise FileError("weight_map is not an object with the file of each tensor")
    for tensor, file in indexed.items():
        if not isinstance(file, str) or file not in beside:
            raise FileError(
                f"weight_map names tensor {quoted(tensor)} in {file!a:.200}, which is not a file beside the index"
            )
    return indexed


def _check_index(indexed: Mapping[str, str], places: Mapping[str, str]) -> None:
    """Check that an index has the same tensors in the same files as the headers.

    Raises:
        FileError: it has not. The error names the first such tensor.
    """
    for tensor, file in sorted(indexed.items() ^ places.items()):
        verbs = ("does not name", "has") if places.get(tensor) == file else ("names", "does not have")
        raise FileError(f"weight_map {verbs[0]} tensor {quoted(tensor)} in {file}, which {verbs[1]} it")


def quoted(name: str) -> str:
    """Return the name of a tensor in quotation marks, for an error."""
    return json.dumps(shown(name), ensure_ascii=False)


def header_of(read: Callable[[int, int], bytes], size: int) -> Header:
    """Return the header of a safetensors file of `size` bytes. `read(start, stop)` returns its bytes [start, stop).

    It refuses what the official reader refuses, and a name twice: readers differ in which of its tensors they take.

    Raises:
        FileError: the file is not a safetensors file; the error does not name it.
    """
    length = struct.unpack("<Q", read(0, 8))[0] if size > 8 else 0
    if not 0 < length <= min(MAX_HEADER_BYTES, size - 8):
        raise _wrong(
            f"it does not begin with the length of a header, of at most {MAX_HEADER_BYTES} bytes, and that header"
        )
    text = read(8, 8 + length)
    try:
        document = parse_json(text)
        if b"\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()
    except RecipeError as error:
        raise _wrong(f"its header: {error}") from None
    except UnicodeEncodeError:
        raise _wrong("its header: a text has lone surrogates, which are not Unicode") from None
    if not isinstance(document, dict):
        raise _wrong("its header is not an object")
    metadata = document.pop("__metadata__", None)
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise _wrong("__metadata__ in its header is not an object of strings")
    tensors = [_stored(name, member, 8 + length) for name, member in document.items()]
    end = 8 + length
    for stored in sorted(tensors, key=lambda stored: (stored.start, stored.stop)):
        if stored.start != end:
            raise _wrong(f"the bytes of {quoted(stored.name)} begin at {stored.start}; those before it end at {end}")
        end = stored.stop
    if end != size:
        raise _wrong(f"it has {size} bytes, its header says {end}")
    return Header(metadata, tensors)


def _stored(name: str, member: Any, origin: int) -> Stored:
    """Return a tensor of a header. Its offsets count from `origin`.

    Raises:
        FileError: the header does not describe it.
    """
    try:
        dtype, shape, (start, stop) = member["dtype"], member["shape"], member["data_offsets"]
        integers = [*shape, start, stop]
        # `type`, because True is an int. A string would pass as a list of strings.
        valid = isinstance(dtype, str) and isinstance(shape, list)
        valid = valid and all(type(each) is int and 0 <= each < 1 << 64 for each in integers) and start <= stop
    except (TypeError, LookupError, ValueError):
        valid = False
    if not valid:
        raise _wrong(f"the header's member {quoted(name)} lacks a valid dtype, shape or data_offsets")
    if dtype in STORAGE and (stop - start) * 8 != math.prod(shape) * STORAGE[dtype].bits:
        raise _wrong(f"the offsets of {quoted(name)} do not fit its shape")
    return Stored(name, dtype, tuple(shape), origin + start, origin + stop)


def _wrong(detail: str) -> FileError:
    return FileError(f"not a safetensors file: {detail}")
