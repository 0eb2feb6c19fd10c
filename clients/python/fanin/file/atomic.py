"""Files and directories that are complete or absent, also after a crash."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LONG_NAME = 150
"""Bytes of a file name that leave room for what is added to it while the file is not complete."""
_OF_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of reading and writing an open file. Python knows no path then, so that they name none."""
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""Errors of `flock` on a file system that has no locks, as network file systems may."""


def real(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file, or of the one that a symbolic link leads to.

    To open a loop of links is an `OSError`; `Path.resolve` raises a RuntimeError before Python 3.13.

    Raises:
        OSError: the link is that of an open pipe, as `/dev/stdout` can be. It leads to no path.
    """
    found = Path(os.path.realpath(path))
    if Path(path).exists() and not found.exists():
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return found


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add `path` to an error of the disk that names no file, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _OF_DISK:
            error.filename = os.fspath(path)
        raise


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """Yield a file to write, which takes the place of `path` when the block ends without an error.

    A file that is replaced keeps its permissions. A `private` one is always for its owner alone.
    """
    partial = beside(path, uuid.uuid4().hex)
    try:
        # Within: a signal may come as soon as the file is there.
        with naming(path), open(partial, "xb", opener=_private if private else None) as file:
            if not private and (mode := _mode(path)) is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
            yield file
            sync(file)
        publish(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Yield a directory to fill; it takes the place of `path`, absent or empty, when the block ends without an error.

    Raises:
        FileExistsError: there is something at `path`.
    """
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name[:20]}.{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir()
        yield partial
        publish(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def locked(partial: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Yield the open file `partial`, which is created where it is absent, and its path; for this process alone.

    On a file system without locks it is a new file under another name, which is removed if it still has that name at
    the end. Another process could write to `partial` at the same time.

    Raises:
        BlockingIOError: another process has it.
    """
    while True:
        with open(os.open(partial, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(error.errno, "another process is downloading it", str(partial)) from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                if not os.fstat(file.fileno()).st_size:
                    partial.unlink(missing_ok=True)
                break
            # Between opening and locking, another process may have finished and renamed it.
            try:
                is_same = os.path.samestat(os.fstat(file.fileno()), partial.stat())
            except FileNotFoundError:
                continue
            if is_same:
                yield file, partial
                return
    own = partial.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        with own.open("x+b") as file:
            yield file, own
    finally:
        own.unlink(missing_ok=True)


def beside(path: Path, mark: str) -> Path:
    """Return the path of an incomplete file in the directory of `path`; `mark` tells it from others.

    Raises:
        IsADirectoryError, FileNotFoundError: `path` is a directory, or has none to be in.
        OSError: `path` is not a regular file.
    """
    mode = _mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if mode is not None and not stat.S_ISREG(mode):
        # A device would be replaced by a file of its name.
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    name = path.name
    if len(octets := os.fsencode(name)) > LONG_NAME:
        name = f"{name[:20]}.{hashlib.sha256(octets).hexdigest()[:16]}"
    return path.with_name(f".{name}.{mark}.partial")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def sync(file: BinaryIO) -> None:
    """Write what is buffered to the disk itself."""
    file.flush()
    os.fsync(file.fileno())


def publish(partial: Path, path: Path) -> None:
    """Rename, and write the renaming to the disk itself."""
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Write the names in a directory to the disk itself."""
    # Some network file systems cannot; the file is in place all the same.
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _mode(path: Path) -> int | None:
    """Type and permissions of the file at `path`, by one call, since another process may remove it at any time; None if
    there is none.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
