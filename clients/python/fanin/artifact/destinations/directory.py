"""A directory as the destination of an artifact."""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fanin.artifact.destinations.base import Destination
from fanin.file import atomic

PARTIAL = ".fanin/partial"
"""Folder of the files that are being written."""
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of a file system without hard links."""


class Directory(Destination):
    """Files of one directory. It is created with the first file.

    A file gets its name when its bytes are on the disk, by a hard link, which fails if the name exists. On a file
    system without hard links it is renamed: then a file of another writer that appears in the same moment is replaced.
    """

    def __init__(self, path: Path) -> None:
        """`path` is absolute."""
        self.url = str(path)
        self._path = path

    def create(
        self,
        key: str,
        chunks: Iterable[memoryview],
        size: int,
        metadata: Mapping[str, str] | None = None,  # noqa: ARG002 (a file has none)
    ) -> bool:
        path = self._path / key
        if _exists(path):
            return False
        with atomic.naming(path), self._partial() as (file, partial):
            written = 0
            for chunk in chunks:
                file.write(chunk)
                written += len(chunk)
                del chunk  # else it stays in memory while the next one is generated
            assert written == size, f"{key} has {written} bytes, not {size}"
            atomic.sync(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(partial, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if _exists(path):
                    return False
                partial.rename(path)
        atomic.sync_folder(path.parent)
        return True

    def read(self, key: str, most: int | None = None) -> bytes | None:
        try:
            with (self._path / key).open("rb") as file:
                self.check_size(key, os.fstat(file.fileno()).st_size, most)
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def range(self, key: str, start: int, stop: int) -> bytes:
        with (self._path / key).open("rb") as file:
            file.seek(start)
            return file.read(stop - start)

    def size(self, key: str) -> int | None:
        try:
            return (self._path / key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def objects(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        try:
            entries = os.scandir(self._path / prefix)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                key = prefix + entry.name
                # A link to a folder is listed as a file: it may lead back to a folder above, without an end.
                if entry.is_dir(follow_symlinks=False):
                    if key != PARTIAL:
                        yield from self.objects(key + "/")
                else:
                    # Another process may remove it at any time.
                    with suppress(FileNotFoundError):
                        yield key, _bytes_of(entry)

    def sweep(self, keys: Iterable[str]) -> None:  # noqa: ARG002 (unfinished files have no key)
        """Remove the unfinished files that no process has open.

        On a file system whose locks do not reach other machines, this can remove the file of a writer elsewhere. That
        writer fails, and begins again.
        """
        folder = self._path / PARTIAL
        # Another user's folder cannot be read. That leaves a file behind, and the artifact is complete all the same.
        with suppress(FileNotFoundError, PermissionError):
            for path in folder.iterdir():
                with suppress(OSError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
            # Fails while there is a file in it.
            with suppress(OSError):
                folder.rmdir()

    @contextmanager
    def _partial(self) -> Iterator[tuple[BinaryIO, Path]]:
        """Yield a new file and its path, locked while it is open. It is removed at the end."""
        partial = self._path / PARTIAL / uuid.uuid4().hex
        try:
            with _locked(partial) as file:
                yield file, partial
        finally:
            partial.unlink(missing_ok=True)


def _locked(partial: Path) -> BinaryIO:
    """Return a new, locked file, in a folder that another process may remove while it is empty."""
    while True:
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            detail = "not a directory, nor a symbolic link to one that exists"
            raise NotADirectoryError(errno.ENOTDIR, detail, error.filename) from None
        with suppress(FileNotFoundError):
            file = partial.open("xb")
            # A file system without locks refuses: then nobody sweeps. Else only a sweep has the lock, for a moment.
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                return file
            # Swept between its creation and its lock.
            file.close()


def _bytes_of(entry: os.DirEntry[str]) -> int:
    """Return the size of a file, or that of a broken symbolic link, which keeps a name from being created, too."""
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return entry.stat(follow_symlinks=False).st_size


def _exists(path: Path) -> bool:
    """Return whether there is anything at a path, also a broken symbolic link."""
    return os.path.lexists(path)
