"""Comparison of any safetensors files with a recipe: are they step 0 of it?"""

from __future__ import annotations

import json
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from fanin import backends
from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.opening import destination
from fanin.artifact.engines.threads import MOST_THREADS
from fanin.artifact.making import Url
from fanin.artifact.progress import Callback, Progress
from fanin.backends import Backend
from fanin.dtypes import STORAGE
from fanin.errors import FileError, MismatchError
from fanin.file import shards
from fanin.file.disk import CHUNK, first_difference, mismatch_of
from fanin.file.layout import FileLayout, FileLayoutLike
from fanin.recipe import MAX_HEADER_BYTES


@dataclass(frozen=True, slots=True)
class Compared:
    """The checkpoint that `compare` has compared with a recipe."""

    url: str
    recipe: str
    """Digest of the recipe."""
    files: int
    tensors: int
    bytes: int
    """Bytes of the tensors, all of them compared."""


class _Stored(NamedTuple):
    """A tensor in a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    """Offset of its first byte in the file."""
    stop: int


def compare(
    url: Url,
    recipe: FileLayoutLike,
    *,
    backend: str | None = None,
    progress: Callback | None = None,
) -> Compared:
    """Compare the safetensors files of a checkpoint with a recipe, tensor by tensor.

        >>> fanin.artifact.compare("s3://bucket/step-0", "recipe.json")

    Headers, the order of tensors and their distribution over files do not matter. If there is an index, its files are
    compared, and it must name their tensors. Otherwise every safetensors file is compared that is not in a folder.

    Args:
        url: A directory, or a URL s3://, gs:// or az://.
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`.
        backend: Name of the backend that generates.
        progress: Is called with a `Progress`, of which the checkpoint is the only item.

    Raises:
        ValueError: the URL is wrong.
        RecipeError: the recipe is wrong.
        FileError: the checkpoint has no safetensors file, or one is damaged.
        MismatchError: a tensor is missing, or not in the recipe, or differs; the error names the first of each file,
            and its element. Or the index does not name the tensors of its files.
        BackendError: the backend cannot be used here.
        OSError: the files cannot be read.
    """
    layout = FileLayout.of(recipe)
    maker = backends.get(backend)
    place = destination(url)
    sizes = {key: size for key, size in place.objects() if "/" not in key}
    path = next((names.index for names in shards.NAMES if names.index in sizes), None)
    index = None if path is None else _index(place, path)
    found = {key: _tensors(place, key, size) for key, size in _files(place, sizes, index)}
    if path is not None and index is not None:
        _check_index(path, index, found, place)
    _check_tensors(layout, found, place)
    total = sum(stored.stop - stored.start for tensors in found.values() for stored in tensors)
    done, lock = 0, threading.Lock()

    def tally(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            if progress is not None:
                progress(Progress(1, done == total, total, done))

    comparison = _Comparison(layout, place, maker, tally)
    with ThreadPoolExecutor(min(MOST_THREADS, len(found)), thread_name_prefix="fanin-compare") as pool:
        futures = [pool.submit(comparison.run, key, tensors) for key, tensors in found.items()]
        try:
            for future in futures:
                future.result()
        finally:
            comparison.stop.set()
            pool.shutdown(cancel_futures=True)
    return Compared(place.url, layout.recipe.digest, len(found), len(layout.entries), total)


def _index(place: Destination, path: str) -> dict[str, str]:
    """Return the file of each tensor that the index at this path names.

    Raises:
        FileError: it is damaged.
    """
    try:
        found = dict(json.loads(place.read(path) or b"")["weight_map"].items())
        if all(isinstance(name, str) for name in found.values()):
            return found
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise FileError(f"{place.url}: {path} is damaged")


def _files(place: Destination, sizes: dict[str, int], index: dict[str, str] | None) -> list[tuple[str, int]]:
    """Return the key and the size of each file with tensors."""
    names = sorted(key for key in sizes if key.endswith(".safetensors")) if index is None else sorted({*index.values()})
    if not names:
        raise FileError(f"{place.url} has no safetensors file")
    if missing := [name for name in names if name not in sizes]:
        raise FileError(
            f"{place.url}: weight_map of the index names {missing[0]!a:.200}, which is not a file beside it"
        )
    return [(name, sizes[name]) for name in names]


def _check_index(path: str, index: dict[str, str], found: dict[str, list[_Stored]], place: Destination) -> None:
    """Check that the index names each tensor of the files, and nothing else. Readers look up tensors in it.

    Raises:
        MismatchError: it does not.
    """
    stored = {(tensor.name, key) for key, tensors in found.items() for tensor in tensors}
    for name, key in sorted(stored ^ {*index.items()}):
        shown = json.dumps(name, ensure_ascii=False)
        verbs = ("does not name", "has") if (name, key) in stored else ("names", "does not have")
        detail = f"{path} {verbs[0]} tensor {shown} in {key}, which {verbs[1]} it"
        raise MismatchError(f"{place.url}: {detail}", tensor=name)


def _tensors(place: Destination, key: str, size: int) -> list[_Stored]:
    """Return the tensors of a file, in the order of their bytes."""
    try:
        (length,) = struct.unpack("<Q", place.range(key, 0, 8))
        if length > MAX_HEADER_BYTES:
            raise ValueError(f"its header has {length} bytes; readers allow {MAX_HEADER_BYTES}")
        header = json.loads(place.range(key, 8, 8 + length), object_pairs_hook=_without_repetition)
        header.pop("__metadata__", None)
        tensors = []
        for name, entry in header.items():
            start, stop = (8 + length + offset for offset in _integers(entry["data_offsets"]))
            tensors.append(_Stored(name, str(entry["dtype"]), _integers(entry["shape"]), start, stop))
        tensors.sort(key=lambda stored: (stored.start, stored.stop))
        end = 8 + length
        for stored in tensors:  # safetensors reads no file with a gap or an overlap
            if stored.start != end or stored.stop < end:
                raise ValueError(f"the bytes of {stored.name!r} do not follow those before it, which end at {end}")
            end = stored.stop
        if end != size:
            raise ValueError(f"it has {size} bytes, its header says {end}")
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError, RecursionError, struct.error) as error:
        raise FileError(f"{place.url}: {key} is not a safetensors file: {error}") from None
    return tensors


def _without_repetition(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """
    Raises:
        ValueError: a name occurs twice. Readers differ in which of its tensors they take.
    """
    if len(found := dict(members)) < len(members):
        name = next(name for name, count in Counter(name for name, _ in members).items() if count > 1)
        raise ValueError(f"its header has {name!r} twice")
    return found


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or any(type(value) is not int or value < 0 for value in values):
        raise ValueError(f"{values!r:.100} are not integers from 0 on")
    return tuple(values)


def _check_tensors(layout: FileLayout, found: dict[str, list[_Stored]], place: Destination) -> None:
    """Check names, types and shapes.

    Raises:
        MismatchError: one differs.
    """
    files: dict[str, str] = {}
    for key, tensors in found.items():
        for stored in tensors:
            name = json.dumps(stored.name, ensure_ascii=False)
            if stored.name in files:
                raise MismatchError(f"{place.url}: tensor {name} is in {files[stored.name]} and in {key}")
            files[stored.name] = key
            if stored.name not in layout.places:
                raise MismatchError(f"{place.url}: {key} has tensor {name}, which the recipe does not have")
            entry = layout.entry(stored.name)
            expected = entry.dtype.name, entry.shape, entry.nbytes
            if (stored.dtype, stored.shape, stored.stop - stored.start) != expected:
                raise MismatchError(
                    f"{place.url}: {key} has tensor {name} with type {stored.dtype} and shape {list(stored.shape)};"
                    f" the recipe has {entry.dtype.name} and {list(entry.shape)}",
                    tensor=stored.name,
                )
    for name in layout.entries.names:
        if name not in files:
            shown = json.dumps(name, ensure_ascii=False)
            raise MismatchError(f"{place.url} does not have tensor {shown}, which the recipe has", tensor=name)


class _Part(NamedTuple):
    """Bytes of a tensor in a file: elements, or pairs of them in a byte, from `first` on."""

    name: str
    first: int
    start: int
    stop: int


def _groups(tensors: list[_Stored]) -> Iterator[list[_Part]]:
    """Yield parts of tensors whose bytes follow one another, at most `CHUNK` bytes at once."""
    group: list[_Part] = []
    for part in (part for stored in tensors for part in _parts(stored)):
        if group and (part.start != group[-1].stop or part.stop - group[0].start > CHUNK):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _parts(stored: _Stored) -> Iterator[_Part]:
    # CHUNK is a multiple of the size of every element.
    itemsize = STORAGE[stored.dtype].in_file.itemsize
    for start in range(stored.start, stored.stop, CHUNK):
        yield _Part(stored.name, (start - stored.start) // itemsize, start, min(start + CHUNK, stored.stop))


class _Comparison:
    """The comparison of several files by threads."""

    def __init__(self, layout: FileLayout, place: Destination, backend: Backend, tally: Callable[[int], None]) -> None:
        self._layout, self._place, self._backend, self._tally = layout, place, backend, tally
        self.stop = threading.Event()

    def run(self, key: str, tensors: list[_Stored]) -> None:
        """Compare one file, unless another one has failed.

        Raises:
            MismatchError: it differs.
        """
        for group in _groups(tensors):
            if self.stop.is_set():
                return
            self._compare(key, group)
            self._tally(group[-1].stop - group[0].start)

    def _compare(self, key: str, group: list[_Part]) -> None:
        begin = group[0].start
        stored = memoryview(self._place.range(key, begin, group[-1].stop))
        for part in group:
            entry = self._layout.entry(part.name)
            dtype = entry.dtype.in_file
            found = stored[part.start - begin : part.stop - begin]
            wanted = memoryview(bytearray(part.stop - part.start))
            self._backend.fill(entry.draw, entry.stream, dtype, part.first, wanted)
            if found != wanted:
                begin, offset = part.first * dtype.itemsize, part.start + first_difference(found, wanted)
                error = mismatch_of(entry, begin, found, wanted, offset)
                raise MismatchError(f"{self._place.url}: {key}: {error}", tensor=error.tensor, element=error.element)
