"""Objects: bytes under keys, in a directory that processes share. Each write replaces a file; reads need no lock."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from fanin.file import atomic

_PARTIAL_SECONDS = 3600
"""Seconds after which an incomplete file is deleted: its process has ended."""
_LOCK, _LOCK_SECONDS, _POLL_SECONDS = ".lock", 10.0, 0.01
"""Name of the file that is locked for a swap, maximum seconds for the lock, and seconds between two tries."""
_ABSENT = (errno.ENOENT, errno.ENAMETOOLONG)
"""Errors of a file that does not exist, or cannot: its name is too long for the file system."""


class ObjectsError(Exception):
    """The objects cannot be read or written now. The message gives the reason."""


class ObjectsFullError(ObjectsError):
    """The store has no space left for an object."""


class Objects(Protocol):
    """Bytes under keys of two parts, `group/name`. Any thread may use it.

    Every call may raise ObjectsError.
    """

    def get(self, key: str) -> bytes | None:
        """Return the object under this key; None if there is none."""

    def put(self, key: str, content: bytes) -> None:
        """Store an object, replacing the one under its key. Readers never see a part of it, and it survives a crash."""

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        """Store `new` if the object under this key is `old`, or if `old` is None and there is none. Else return false.

        If several processes swap the same object at once, one succeeds.
        """

    def delete(self, key: str) -> None:
        """Delete the object under this key, if there is one."""

    def modified(self, key: str) -> float | None:
        """Return the object's upload time in seconds since 1970, by the store's clock; None if it does not exist."""

    def sizes(self, group: str | None = None) -> dict[str, int]:
        """Return the bytes of every object, of a group or of all, by key. The time grows with the number of objects."""

    def groups(self, name: str) -> list[str]:
        """Return the groups that have an object with this name."""


class DirectoryObjects:
    """Objects as files of a directory."""

    def __init__(self, directory: Path | None = None) -> None:
        """Without `directory`, use a temporary one. It is created at the first put and deleted with this object."""
        self._directory = directory
        self._lock = threading.Lock()

    def _made(self) -> Path:
        with self._lock:
            if self._directory is None:
                self._directory = Path(tempfile.mkdtemp(prefix="fanin-models-"))
                weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
            return self._directory

    def get(self, key: str) -> bytes | None:
        if self._directory is None:
            return None
        try:
            return (self._directory / key).read_bytes()
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise _failure(error) from error

    def put(self, key: str, content: bytes) -> None:
        try:
            path = self._made() / key
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic.replacing(path) as file:
                file.write(content)
            for partial in path.parent.glob(".*.partial"):
                with suppress(FileNotFoundError):
                    if partial.stat().st_mtime < time.time() - _PARTIAL_SECONDS:
                        partial.unlink()
        except OSError as error:
            raise _failure(error) from error

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        with self._locked(key):
            if self.get(key) != old:
                return False
            self.put(key, new)
            return True

    def delete(self, key: str) -> None:
        if self._directory is None:
            return
        try:
            (self._directory / key).unlink(missing_ok=True)
        except OSError as error:
            raise _failure(error) from error

    def modified(self, key: str) -> float | None:
        if self._directory is None:
            return None
        try:
            return (self._directory / key).stat().st_mtime
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise _failure(error) from error

    def sizes(self, group: str | None = None) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in self._folders() if group is None else [group]:
            for entry in self._entries(each):
                with suppress(FileNotFoundError):
                    if not entry.name.startswith("."):
                        found[f"{each}/{entry.name}"] = entry.stat().st_size
        return found

    def groups(self, name: str) -> list[str]:
        if self._directory is None:
            return []
        try:
            return [group for group in self._folders() if Path(f"{self._directory}/{group}/{name}").exists()]
        except OSError as error:
            raise _failure(error) from error

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Lock the group of a key against the same block in any process. On a file system without locks, do not lock.

        The lock ends with the process. Its file stays: another process may wait for the lock of that same file.
        """
        try:
            folder = (self._made() / key).parent
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise _failure(error) from error
        try:
            _lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _folders(self) -> list[str]:
        return [entry.name for entry in self._entries("") if entry.is_dir()]

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        """Return the entries of a folder. With pathlib this would take five times as long."""
        if self._directory is None:
            return []
        try:
            with os.scandir(self._directory / folder) as entries:
                return list(entries)
        except OSError as error:
            if error.errno in (*_ABSENT, errno.ENOTDIR):
                return []
            raise _failure(error) from error


def _lock(descriptor: int) -> None:
    """Lock an open file until it is closed.

    Raises:
        ObjectsError: another process has locked it for too long. That process may be suspended.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise ObjectsError(f"another process has locked {_LOCK} for {_LOCK_SECONDS:g} seconds") from None
            time.sleep(_POLL_SECONDS)
        except OSError as error:
            if error.errno not in atomic.NO_LOCKS:
                raise _failure(error) from error
            return None


def _failure(error: OSError) -> ObjectsError:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return (ObjectsFullError if is_full else ObjectsError)(str(error))
