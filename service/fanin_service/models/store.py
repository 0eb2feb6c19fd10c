"""The model store: contents by name and digest, as objects that several replicas may share.

    <name>/main            digest of the content that the name stands for; the last put wins
    <name>/<digest>.tar    a content, written once and checked by digest when read

In <name>, / is written --, and a capital letter as ! and the small one.

What was put under a name before stays readable by its commit ids until the model is deleted.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time

from fanin import archive
from fanin_service.models.content import Content, content_key
from fanin_service.models.errors import ModelError
from fanin_service.models.objects import Objects

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_UPPER, _ESCAPED = re.compile("[A-Z]"), re.compile("!([a-z])")
_POINTER = "main"
_SUFFIX = ".tar"
MAX_FILES = 10_000
"""Of a content that is read; how many may be put is a setting."""

RECOUNT_SECONDS, REFUSAL_SECONDS = 60.0, 1.0
"""How old the count of bytes in the store may be, which takes time for every model; and before a put is refused."""

_log = logging.getLogger(__name__)


class ModelStore:
    """Contents of models. Used by any thread; every call may raise ObjectsError."""

    def __init__(self, objects: Objects, max_bytes: int) -> None:
        self._objects = objects
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._taken, self._counted_at = 0, -math.inf
        """Bytes in the store, and when all of them were counted."""

    def names(self) -> list[str]:
        """The names of all models, sorted."""
        return sorted(_name(group) for group in self._objects.groups(_POINTER) if group == group.lower())

    def main(self, name: str) -> str | None:
        """Digest of the content that a name stands for, if there is one."""
        pointer = self._objects.get(f"{_group(name)}/{_POINTER}")
        digest = "" if pointer is None else pointer.decode("ascii", "replace").strip()
        if pointer is not None and not _DIGEST.fullmatch(digest):
            _log.warning("the model store has a damaged name, to be put again: %s", name)
        return digest if _DIGEST.fullmatch(digest) else None

    def modified(self, name: str, digest: str | None = None) -> float | None:
        """When the name was put last with another content, or when its content of this digest was put, in seconds since
        1970; None if there is no such thing.
        """
        return self._objects.modified(_key(name, digest) if digest else f"{_group(name)}/{_POINTER}")

    def digest_of(self, name: str, key: bytes) -> str | None:
        """Digest of the content of this name that these bytes of a commit id stand for."""
        digests = (object_.partition("/")[2].removesuffix(_SUFFIX) for object_ in self._objects.sizes(_group(name)))
        return next((digest for digest in digests if _DIGEST.fullmatch(digest) and content_key(digest) == key), None)

    def get(self, name: str, digest: str) -> Content | None:
        """A content of this name, if it is kept."""
        stored = self._objects.get(_key(name, digest))
        if stored is None:
            return None
        try:
            content = Content.stored(archive.unpack(stored, MAX_FILES))
            if content.digest == digest:
                return content
        except (ValueError, KeyError, ModelError):
            pass
        _log.warning("the model store has a damaged content, to be put again: %s %s", name, digest)
        return None

    def put(self, name: str, content: Content) -> bool:
        """Let a name stand for this content; true if it stood for none.

        Raises:
            ModelError: the store is full.
        """
        if self.get(name, content.digest) is None:
            other = self.digest_of(name, content.key)
            if other not in (None, content.digest):
                # Possible only for a client that searches for it, with 2^40 tries; commit ids would be of either.
                raise ModelError(f"has the commit ids of another content of {name}")
            stored = archive.pack(content.all)
            self._check_room(len(stored))
            self._objects.put(_key(name, content.digest), stored)
            self._add_to_taken(len(stored))
        before = self.main(name)
        # The same content again is no change, and `modified` says so.
        if before != content.digest:
            self._objects.put(f"{_group(name)}/{_POINTER}", f"{content.digest}\n".encode())
        return before is None

    def delete(self, name: str) -> bool:
        """Delete a model, with all that its name ever stood for; true if it existed."""
        keys = self._objects.sizes(_group(name))
        # Its name first: it must not stand for what is gone.
        for key in sorted(keys, key=lambda key: not key.endswith(f"/{_POINTER}")):
            self._objects.delete(key)
        self._add_to_taken(-sum(keys.values()))
        return f"{_group(name)}/{_POINTER}" in keys

    def _check_room(self, size: int) -> None:
        """
        Raises:
            ModelError: `size` more bytes do not fit in the store.
        """
        if self._count(RECOUNT_SECONDS) + size > self._max_bytes:
            taken = self._count(REFUSAL_SECONDS)
            if taken + size > self._max_bytes:
                raise ModelError(f"{size} bytes; the store has {taken} of at most {self._max_bytes}: delete some")

    def _count(self, seconds: float) -> int:
        """Bytes in the store; what other processes did in the last `seconds` may be missing."""
        with self._lock:
            now = time.monotonic()
            if now - self._counted_at >= seconds:
                self._taken, self._counted_at = sum(self._objects.sizes().values()), now
            return self._taken

    def _add_to_taken(self, size: int) -> None:
        with self._lock:
            self._taken += size


def _group(name: str) -> str:
    """The group of a model: one part for two, since no part of a name has two hyphens.

    `A` is written `!a`. Where a file system ignores case, `Me/x` and `me/x` would otherwise be one model, and a key
    for the one could replace the other.
    """
    return _UPPER.sub(lambda letter: f"!{letter[0].lower()}", name.replace("/", "--"))


def _name(group: str) -> str:
    return _ESCAPED.sub(lambda letter: letter[1].upper(), group.replace("--", "/"))


def _key(name: str, digest: str) -> str:
    return f"{_group(name)}/{digest}{_SUFFIX}"
