"""Comparison of any safetensors files with a recipe: are they step 0 of it?"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from fanin import backends
from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.opening import destination
from fanin.artifact.engines.threads import MOST_THREADS
from fanin.artifact.making import Url
from fanin.artifact.progress import Callback, Progress
from fanin.backends import Backend
from fanin.dtypes import STORAGE
from fanin.errors import MismatchError
from fanin.file.disk import CHUNK, first_difference, mismatch_of
from fanin.file.layout import FileLayout, FileLayoutLike
from fanin.file.stored import Stored, headers_of, prefixed, quoted


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
        FileError: the checkpoint has no safetensors file, one is damaged, the index does not describe its files, or two
            files have a tensor of the same name.
        MismatchError: a tensor is missing, or not in the recipe, or differs; the error names the first of each file,
            and its element.
        BackendError: the backend cannot be used here.
        OSError: the files cannot be read.
    """
    layout = FileLayout.of(recipe)
    maker = backends.get(backend)
    place = destination(url)
    sizes = {key: size for key, size in place.objects() if "/" not in key}
    with prefixed(place.url):
        headers = headers_of(sizes, place.range)
    found = {key: sorted(header.tensors, key=attrgetter("start", "stop")) for key, header in headers.items()}
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


def _check_tensors(layout: FileLayout, found: dict[str, list[Stored]], place: Destination) -> None:
    """Check names, types and shapes.

    Raises:
        MismatchError: one differs.
    """
    names = {stored.name for tensors in found.values() for stored in tensors}
    for key, tensors in found.items():
        for stored in tensors:
            name = quoted(stored.name)
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
        if name not in names:
            raise MismatchError(f"{place.url} does not have tensor {quoted(name)}, which the recipe has", tensor=name)


class _Part(NamedTuple):
    """Bytes of a tensor in a file: elements, or pairs of them in a byte, from `first` on."""

    name: str
    first: int
    start: int
    stop: int


def _groups(tensors: list[Stored]) -> Iterator[list[_Part]]:
    """Yield parts of tensors whose bytes follow one another, at most `CHUNK` bytes at once."""
    group: list[_Part] = []
    for part in (part for stored in tensors for part in _parts(stored)):
        if group and (part.start != group[-1].stop or part.stop - group[0].start > CHUNK):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def _parts(stored: Stored) -> Iterator[_Part]:
    # CHUNK is a multiple of the size of every element.
    itemsize = STORAGE[stored.dtype].in_file.itemsize
    for start in range(stored.start, stored.stop, CHUNK):
        yield _Part(stored.name, (start - stored.start) // itemsize, start, min(start + CHUNK, stored.stop))


class _Comparison:
    """The comparison of several files by threads."""

    def __init__(self, layout: FileLayout, place: Destination, backend: Backend, tally: Callable[[int], None]) -> None:
        self._layout, self._place, self._backend, self._tally = layout, place, backend, tally
        self.stop = threading.Event()

    def run(self, key: str, tensors: list[Stored]) -> None:
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
