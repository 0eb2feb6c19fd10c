"""The recipe store: canonical recipes in files named by digest, shared by the workers of a machine or by replicas.

A file is written once, under a temporary name first, and its digest is checked when it is read. So no reader sees a
part of a file, and no lock is needed. All files may be lost: clients then send their recipes again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUFFIX = ".json"
_RECIPE = re.compile(r"[0-9a-f]{64}\.json")
_PARTIAL = re.compile(r"[0-9a-f]{64}\.[0-9a-f]{32}\.partial")
"""Names of files of the store. Other files of the directory are not touched."""
_PARTIAL_SECONDS = 3600
"""Seconds after which an incomplete file is deleted: its process has ended."""
_SLACK = 100
"""The bounds are checked whenever a process has written this fraction of them: one part of 100."""

_log = logging.getLogger(__name__)


class RecipeStore:
    """Recipes in a directory, bounded in number and in bytes. Those that were not registered for the longest time are
    removed first.

    Every process that shares the directory may exceed the bounds by a hundredth. Any thread may use it. A failure of
    the disk is logged and raises no error: a recipe is then unknown or not stored.
    """

    def __init__(self, directory: Path, *, max_recipes: int, max_bytes: int) -> None:
        self._directory = directory
        self._max_recipes = max_recipes
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._new_recipes = self._new_bytes = 0
        """Recipes and bytes that this process has written since it last checked the bounds."""

    def get(self, digest: str) -> bytes | None:
        """Return the canonical text of this recipe; None if the store does not have it."""
        if not _DIGEST.fullmatch(digest):
            return None
        path = self._path(digest)
        try:
            text = path.read_bytes()
            if hashlib.sha256(text).hexdigest() == digest:
                return text
            _log.warning("the recipe store had a damaged file, now removed: %s", path)
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            _log.warning("the recipe store cannot be read: %s", error)
        return None

    def add(self, digest: str, text: bytes) -> bool:
        """Store a recipe. Return true if it is new."""
        path = self._path(digest)
        try:
            if path.stat().st_size == len(text):
                os.utime(path)
                return False
        except OSError:
            pass  # the file does not exist, or the error is logged below
        partial = path.with_name(f"{digest}.{uuid.uuid4().hex}.partial")
        try:
            partial.write_bytes(text)
            partial.replace(path)
            self._keep_bounds(len(text))
        except OSError as error:
            _log.warning("the recipe store cannot be written, so other processes do not find its recipes: %s", error)
            with suppress(OSError):
                partial.unlink()
        return True

    def _path(self, digest: str) -> Path:
        return self._directory / f"{digest}{_SUFFIX}"

    def _keep_bounds(self, written: int) -> None:
        with self._lock:
            self._new_recipes += 1
            self._new_bytes += written
            if self._new_recipes * _SLACK < self._max_recipes and self._new_bytes * _SLACK < self._max_bytes:
                return
            self._new_recipes = self._new_bytes = 0
            self._prune()

    def _prune(self) -> None:
        """Remove the oldest files beyond the bounds, and incomplete files of processes that have ended."""
        files = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                # Another process may remove the file at the same time.
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    if _RECIPE.fullmatch(entry.name):
                        files.append((status.st_mtime_ns, status.st_size, entry.path))
                    elif _PARTIAL.fullmatch(entry.name) and status.st_mtime < time.time() - _PARTIAL_SECONDS:
                        Path(entry.path).unlink()
        files.sort()
        count, size = len(files), sum(size for _, size, _ in files)
        for _, length, path in files[:-1]:  # the newest always stays
            if count <= self._max_recipes and size <= self._max_bytes:
                return
            Path(path).unlink(missing_ok=True)
            count, size = count - 1, size - length
