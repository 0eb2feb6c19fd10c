"""The model store: contents by name and digest, as objects that several replicas may share.

    <name>/main            digest of the current content of the name; the last upload wins
    <name>/<digest>.tar    a content, written once and checked by digest when read

In <name>, / is written --, and a capital letter as ! and the small one.

Earlier contents of a name stay readable by their commit ids until the model is deleted.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable

from fanin.file import archive
from fanin_service.models.content import Content, content_key
from fanin_service.models.errors import ModelError
from fanin_service.models.names import group_of, name_of
from fanin_service.models.objects import Objects, ObjectsError

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_POINTER = "main"
_TRIES = 100
"""Maximum number of tries to change a name that other processes change at the same time."""
_SUFFIX = ".tar"
MAX_FILES = 10_000
"""Maximum number of files of a content that is read. The limit for uploads is a setting."""

RECOUNT_SECONDS, REFUSAL_SECONDS = 60.0, 1.0
"""Maximum age in seconds of the count of bytes in the store, since counting takes time for every model. And the maximum
age before an upload is refused."""

_log = logging.getLogger(__name__)


class ModelStore:
    """Contents of models. Any thread may use it; every call may raise ObjectsError."""

    def __init__(self, objects: Objects, max_bytes: int) -> None:
        self._objects = objects
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._taken, self._counted_at = 0, -math.inf
        """Bytes in the store, and the time of the last complete count."""

    def names(self) -> list[str]:
        """Return the names of all models, sorted."""
        return sorted(name_of(group) for group in self._objects.groups(_POINTER) if group == group.lower())

    def advice(self, name: str) -> str:  # noqa: ARG002 (the catalogue's depends on it)
        """Return what to do about a name that is of no model."""
        return "PUT it to /v1/models/{namespace}/{name}"

    def main(self, name: str) -> str | None:
        """Return the digest of the current content of a name; None if there is none."""
        pointer = self._objects.get(f"{group_of(name)}/{_POINTER}")
        digest = _digest(pointer)
        if pointer is not None and digest is None:
            _log.warning("the model store has a damaged name; upload the model again: %s", name)
        return digest

    def modified(self, name: str, digest: str | None = None) -> float | None:
        """Return when another content was last uploaded under the name, or when its content with this digest was.

        The time is in seconds since 1970; None if the name or the content does not exist.
        """
        return self._objects.modified(_key(name, digest) if digest else f"{group_of(name)}/{_POINTER}")

    def digest_of(self, name: str, key: bytes) -> str | None:
        """Return the digest of the content that these bytes of a commit id represent; None if the name has none."""
        digests = (object_.partition("/")[2].removesuffix(_SUFFIX) for object_ in self._objects.sizes(group_of(name)))
        return next((digest for digest in digests if _DIGEST.fullmatch(digest) and content_key(digest) == key), None)

    def get(self, name: str, digest: str) -> Content | None:
        """Return a content of this name; None if the store does not have it, or only a damaged one."""
        stored = self._objects.get(_key(name, digest))
        if stored is None:
            return None
        try:
            content = Content.stored(archive.unpack(stored, MAX_FILES))
            if content.digest == digest:
                return content
        except (ValueError, KeyError, ModelError):
            pass
        _log.warning("the model store has a damaged content; upload the model again: %s %s", name, digest)
        return None

    def put(self, name: str, content: Content, check: Callable[[bool], None] = lambda _: None) -> bool:
        """Store this content as the current one of a name. Return true if the name is new.

        `check` raises an error if the name must not change, given whether it has a model. The name changes only if the
        result of `check` still holds, although other processes may change it.

        Raises:
            ModelError: the store has reached its limit, or another content of the name has the same commit ids.
        """
        pointer, is_new = f"{group_of(name)}/{_POINTER}", False
        for _ in range(_TRIES):
            before = self._objects.get(pointer)
            digest = _digest(before)
            check(digest is not None)
            self._put_content(name, content)
            # An upload of the same content is not a change, and must not change `modified`.
            if digest != content.digest:
                if not self._objects.swap(pointer, before, f"{content.digest}\n".encode()):
                    continue
                is_new = is_new or digest is None
            # Another process may have deleted the model after the content was found or stored.
            if self._objects.modified(_key(name, content.digest)) is not None:
                return is_new
        raise ObjectsError(f"other processes have changed {name} {_TRIES} times meanwhile")

    def _put_content(self, name: str, content: Content) -> None:
        """Store a content without making it the current one.

        Raises:
            ModelError: the store has reached its limit, or another content of the name has the same commit ids.
        """
        if self.get(name, content.digest) is not None:
            return
        other = self.digest_of(name, content.key)
        if other not in (None, content.digest):
            # Only a client that searches for such a content can upload it, with 2^40 tries. Commit ids would then be
            # ambiguous.
            raise ModelError(f"would have the commit ids of another content of {name}")
        stored = archive.pack(content.all)
        self._check_room(len(stored))
        self._objects.put(_key(name, content.digest), stored)
        self._add_to_taken(len(stored))

    def delete(self, name: str) -> bool:
        """Delete a model with all contents of its name. Return true if it existed."""
        pointer = f"{group_of(name)}/{_POINTER}"
        keys = self._objects.sizes(group_of(name))
        # Delete the pointer first: it must not refer to a deleted content.
        for key in sorted(keys, key=lambda key: key != pointer):
            self._objects.delete(key)
        self._add_to_taken(-sum(keys.values()))
        # Another process may have found a content before it was deleted here, and then put it as the current one.
        digest = self.main(name)
        if digest is not None and self._objects.modified(_key(name, digest)) is None:
            self._objects.delete(pointer)
        return pointer in keys

    def _check_room(self, size: int) -> None:
        """Check that `size` more bytes fit in the store.

        Raises:
            ModelError: they do not fit.
        """
        if self._count(RECOUNT_SECONDS) + size > self._max_bytes:
            taken = self._count(REFUSAL_SECONDS)
            if taken + size > self._max_bytes:
                raise ModelError(f"{size} bytes; the store has {taken} of at most {self._max_bytes}: delete some")

    def _count(self, seconds: float) -> int:
        """Return the bytes in the store. Changes by other processes in the last `seconds` may be missing."""
        with self._lock:
            now = time.monotonic()
            if now - self._counted_at >= seconds:
                self._taken, self._counted_at = sum(self._objects.sizes().values()), now
            return self._taken

    def _add_to_taken(self, size: int) -> None:
        with self._lock:
            self._taken += size


def _digest(pointer: bytes | None) -> str | None:
    """Return the digest in the object of a name; None for an absent or damaged object."""
    digest = "" if pointer is None else pointer.decode("ascii", "replace").strip()
    return digest if _DIGEST.fullmatch(digest) else None


def _key(name: str, digest: str) -> str:
    return f"{group_of(name)}/{digest}{_SUFFIX}"
