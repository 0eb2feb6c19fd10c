"""The outlines of artifacts in destinations, cached."""

from __future__ import annotations

import hashlib
import threading

from fanin.artifact.destinations.base import Destination
from fanin.artifact.documents import MOST_BYTES, PLAN
from fanin.artifact.plan import Outline, Plan, read_outline
from fanin.errors import NotBegunError
from fanin_service.shared_cache import Kept

MAX_BYTES, _PER_OUTLINE, _PER_ITEM = 8 << 20, 1_000, 8
"""Maximum bytes of cached outlines, and bytes of an outline and of an item of it."""


class Outlines:
    """Outlines by the plan that they belong to. Several threads may use it.

    A plan with its recipe takes a second to read, and megabytes of memory. Without the cache, each request for a state
    would cost that much.
    """

    def __init__(self) -> None:
        self._kept = Kept[bytes, Outline](max_bytes=MAX_BYTES)
        self._lock = threading.Lock()

    def of(self, client: str, place: Destination, reading: threading.Lock) -> Outline | None:
        """Return the outline of the artifact at a place; None if no process has begun it.

        `client` is the client that the cache counts it for. `reading` is held while a plan is read. That runs Python
        for a second, and in several threads it would delay the event loop.

        Raises:
            ArtifactError: the artifact is damaged.
            OSError: the destination cannot be read.
        """
        document = place.read(PLAN, MOST_BYTES)
        if document is None:
            return None
        key = _key(place, document)
        with self._lock:
            known = self._kept.get(key)
        if known is not None:
            return known
        try:
            with reading:
                # Without keeping the plan, which has the recipe: its memory would not be counted.
                found = read_outline(place)
        except NotBegunError:
            return None
        self._keep(client, key, found)
        return found

    def learn(self, client: str, place: Destination, plan: Plan) -> None:
        """Cache the outline of a plan that this process writes at a place: the first request needs no reading."""
        self._keep(client, _key(place, plan.document()), plan.outline())

    def _keep(self, client: str, key: bytes, outline: Outline) -> None:
        with self._lock:
            self._kept.add(key, outline, _PER_OUTLINE + _PER_ITEM * len(outline), client)


def _key(place: Destination, document: bytes) -> bytes:
    return hashlib.sha256(f"{place.url}\n".encode() + document).digest()
