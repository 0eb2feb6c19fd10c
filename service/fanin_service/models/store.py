"""The model store: contents by name and digest, as objects that several replicas may share.

    <name>/main            digest of the content that the name stands for; the last put wins
    <name>/<digest>.tar    a content, written once and checked by digest when read

What was put under a name before stays readable by its commit ids until the model is deleted.
"""

from __future__ import annotations

import logging
import re

from fanin import archive
from fanin_service.models.content import Content, content_key
from fanin_service.models.errors import ModelError
from fanin_service.models.objects import Objects

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_POINTER = "main"
_SUFFIX = ".tar"
MAX_FILES = 10_000
"""Of a content that is read; how many may be put is a setting."""

_log = logging.getLogger(__name__)


class ModelStore:
    """Contents of models. Used by any thread; every call may raise ObjectsError."""

    def __init__(self, objects: Objects, max_bytes: int) -> None:
        self._objects = objects
        self._max_bytes = max_bytes

    def names(self) -> list[str]:
        """The names of all models, sorted."""
        groups = (key.partition("/") for key in self._objects.sizes())
        return sorted(_name(group) for group, _, object_ in groups if object_ == _POINTER)

    def main(self, name: str) -> str | None:
        """Digest of the content that a name stands for, if it stands for one."""
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
                # Possible only for who looks for it, with 2^40 tries; commit ids would be of either.
                raise ModelError(f"has the commit ids of another content of {name}")
            stored = archive.pack(content.all)
            taken = sum(self._objects.sizes().values())
            if taken + len(stored) > self._max_bytes:
                raise ModelError(
                    f"{len(stored)} bytes; the store has {taken} of at most {self._max_bytes}: delete some"
                )
            self._objects.put(_key(name, content.digest), stored)
        before = self.main(name)
        # The same content again is no change, and `modified` says so.
        if before != content.digest:
            self._objects.put(f"{_group(name)}/{_POINTER}", f"{content.digest}\n".encode())
        return before is None

    def delete(self, name: str) -> bool:
        """Forget a model, with all that its name ever stood for; true if there was one."""
        keys = self._objects.sizes(_group(name))
        # Its name first: it must not stand for what is gone.
        for key in sorted(keys, key=lambda key: not key.endswith(f"/{_POINTER}")):
            self._objects.delete(key)
        return f"{_group(name)}/{_POINTER}" in keys


def _group(name: str) -> str:
    """One part for two: no part of a name has two hyphens."""
    return name.replace("/", "--")


def _name(group: str) -> str:
    return group.replace("--", "/")


def _key(name: str, digest: str) -> str:
    return f"{_group(name)}/{digest}{_SUFFIX}"
