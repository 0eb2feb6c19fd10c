"""Files: save a recipe's file, and verify one against the recipe in its own header."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from fanin import backends
from fanin.errors import FileError, MismatchError, RecipeError
from fanin.file.atomic import beside, locked, naming, publish, real, replacing, sync
from fanin.file.layout import Entry, FileLayout, FileLayoutLike
from fanin.file.plan import read_into
from fanin.recipe.header import has_weights, recipe_in

if TYPE_CHECKING:
    from tqdm import tqdm

CHUNK = 8 << 20
"""Bytes generated at a time: memory stays bounded for any file size, and is large enough for huge pages."""


@dataclass(frozen=True, slots=True)
class Verified:
    """The file that `verify` has compared with its recipe."""

    digest: str
    """Digest of the recipe in the header."""
    tensors: int
    """Number of tensors."""
    size: int
    """Bytes of the file, all of them compared."""


def save(
    recipe: FileLayoutLike, path: str | os.PathLike[str], *, backend: str | None = None, progress: bool | None = None
) -> None:
    """Write the recipe's safetensors file to `path`, with the recipe in its header.

    It takes a few buffers of 8 MiB for a file of any size. The file replaces `path` at the end, all or nothing, and
    keeps the permissions of a file that was there. The literals of a `Recording` are not in it.

    Args:
        recipe: A recipe in any form that `fanin.as_recipe` takes, or its `FileLayout`.
        path: Where to write the file. A symbolic link is followed.
        backend: Name of the backend; by default the fastest one for a CPU, or the one that FANIN_BACKEND names.
        progress: Whether to show a progress bar; by default only on a terminal.

    Raises:
        RecipeError: the recipe is wrong.
        FileError: the file of the recipe has none.
        BackendError: the backend cannot be used here.
        OSError: a file cannot be read or written. Then `path` is as it was.
    """
    for _ in saving(FileLayout.of(recipe), real(path), backend=backend, progress=progress):
        pass


def saving(
    layout: FileLayout, path: Path, *, backend: str | None, progress: bool | None
) -> Generator[bool, None, None]:
    """Write a file as `save` does, and yield True after each chunk; closing the generator leaves nothing behind."""
    content = chunks(layout, backend=backend)
    with replacing(path) as file, byte_bar(layout.size, path.name, progress) as bar:
        for chunk in content:
            file.write(chunk)
            bar.update(len(chunk))
            yield True


def chunks(layout: FileLayout, *, backend: str | None) -> Iterator[memoryview]:
    """Return the file's bytes, a chunk at a time; each is valid until the next one.

    Raises:
        BackendError: the backend cannot be used here.
    """
    maker = backends.get(backend)

    def generate() -> Iterator[memoryview]:
        buffer = np.empty(min(CHUNK, layout.size), np.uint8).data
        for start in range(0, layout.size, CHUNK):
            chunk = buffer[: min(CHUNK, layout.size - start)]
            read_into(layout, start, chunk, maker)
            yield chunk

    return generate()


def verify(path: str | os.PathLike[str], *, backend: str | None = None, progress: bool | None = None) -> Verified:
    """Generate a file again from the recipe in its header, compare every byte, and return what was compared.

        >>> verify("step-0.safetensors").digest

    Args:
        path: A Fanin file.
        backend: Name of the backend; by default the fastest one for a CPU, or the one that FANIN_BACKEND names.
        progress: Whether to show a progress bar; by default only on a terminal.

    Raises:
        FileError: the file is not a safetensors file with a recipe, or has another length than its recipe gives.
        MismatchError: a byte differs; the error names the first tensor and element.
        BackendError: the backend cannot be used here.
        OSError: the file cannot be read.
    """
    maker = backends.get(backend)
    with naming(path), open(path, "rb") as file:
        size = size_of(file)
        layout = layout_of_file(file)
        if size != layout.size:
            raise FileError(f"the file has {size} bytes, its recipe has {layout.size}")
        file.seek(0)
        expected = np.empty(min(CHUNK, size), np.uint8).data
        with byte_bar(size, Path(path).name, progress) as bar:
            for start in range(0, size, CHUNK):
                wanted = expected[: min(CHUNK, size - start)]
                found = file.read(len(wanted))
                if len(found) < len(wanted):
                    raise FileError(f"the file was cut while it was read: it ends after {start + len(found)} bytes")
                read_into(layout, start, wanted, maker)
                if found != wanted:
                    raise mismatch(layout, start, found, wanted)
                bar.update(len(found))
    return Verified(layout.recipe.digest, len(layout.entries), size)


def layout_of(file: io.BufferedReader) -> FileLayout:
    """The layout of a recipe in JSON, or of the one in the header of a safetensors file.

    Raises:
        FileError: it has no recipe.
        RecipeError: the recipe is wrong.
    """
    return layout_of_file(file) if has_weights(file) else FileLayout.of(file.read())


def size_of(file: BinaryIO) -> int:
    """Return the bytes of an open file that is read more than once.

    Raises:
        FileError: it is a pipe or a device.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise FileError("not a regular file: write the bytes of a pipe to one")
    return status.st_size


def layout_of_file(file: BinaryIO) -> FileLayout:
    """The layout of the recipe that stands in the header of a safetensors file, read from its start.

    Raises:
        FileError: there is none.
    """
    recipe = recipe_in(file)
    try:
        return FileLayout.of(recipe)
    except RecipeError as error:
        raise FileError(f"the recipe in the header is wrong: {error}") from None


def mismatch(layout: FileLayout, start: int, found: bytes | memoryview, wanted: bytes | memoryview) -> MismatchError:
    """The error that names the first difference between two versions of bytes [start, start + n) of a file."""
    offset = start + first_difference(found, wanted)
    if offset < len(layout.header):
        return MismatchError(f"the header differs at byte {offset}")
    entry = layout.entries[layout.index_at(offset)]
    return mismatch_of(entry, start - entry.start, found, wanted, offset)


def first_difference(found: bytes | memoryview, wanted: bytes | memoryview) -> int:
    """Return the offset of the first byte that differs, or that only the longer one has."""
    length = min(len(found), len(wanted))
    differs = np.frombuffer(found, np.uint8, length) != np.frombuffer(wanted, np.uint8, length)
    return int(np.argmax(differs)) if differs.any() else length


def mismatch_of(
    entry: Entry, begin: int, found: bytes | memoryview, wanted: bytes | memoryview, offset: int
) -> MismatchError:
    """The error that names the first element in which two versions of the bytes from `begin` on of a tensor differ.

    The byte that differs is at `offset` of a file.
    """
    at, dtype = first_difference(found, wanted), entry.dtype.in_file
    element = (begin + at) // dtype.itemsize * dtype.elements
    if dtype.is_packed and at < min(len(found), len(wanted)) and (found[at] ^ wanted[at]) & 15 == 0:
        element += 1
    position = ", ".join(map(str, np.unravel_index(element, entry.shape)))
    where = f"tensor {json.dumps(entry.name, ensure_ascii=False)}, element {element} [{position}]"
    return MismatchError(f"{where} differs at byte {offset} of the file", tensor=entry.name, element=element)


@contextmanager
def resuming(path: Path, layout: FileLayout) -> Iterator[tuple[BinaryIO, int]]:
    """Yield a file to complete and the number of bytes that it has. It replaces `path` if the block ends without error.

    On an error the file stays beside `path`, so that the next call can resume. It is deleted if its bytes are wrong.

    Raises:
        BlockingIOError: another process is completing it.
    """
    with naming(path), locked(partial_of(path, layout)) as (file, partial):
        have = os.fstat(file.fileno()).st_size
        if have > layout.size:
            have = 0
        file.truncate(have)
        file.seek(have)
        try:
            yield file, have
        except BaseException as error:
            if isinstance(error, MismatchError) or file.tell() == 0:
                partial.unlink(missing_ok=True)
            raise
        sync(file)
        publish(partial, path)


def partial_of(path: Path, layout: FileLayout) -> Path:
    """Return the path at which an interrupted download of a file to `path` leaves its bytes."""
    return beside(path, layout.recipe.digest[:16])


def discard_partial(path: Path, layout: FileLayout) -> None:
    """Remove what an interrupted download left, unless another process is writing it."""
    partial = partial_of(path, layout)
    if partial.exists():
        with suppress(BlockingIOError), locked(partial):
            partial.unlink(missing_ok=True)


def byte_bar(total: int, description: str, progress: bool | None) -> tqdm[None]:
    """A progress bar in bytes; `progress` None shows it on a terminal only."""
    from tqdm import tqdm  # here, since many programs never show one

    disable = None if progress is None else not progress
    if sys.stderr is None:  # a program without a console
        disable = True
    return tqdm(total=total, desc=description, unit="B", unit_scale=True, unit_divisor=1000, disable=disable)
