"""Progress of an artifact, while it is written and afterwards."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fanin.artifact.destinations.opening import destination
from fanin.artifact.plan import Plan, read_plan
from fanin.artifact.survey import survey


@dataclass(frozen=True, slots=True)
class Progress:
    """Items and bytes of an artifact, in all and written. Bytes are those of tensors, without headers."""

    items: int
    items_done: int
    bytes: int
    bytes_done: int


@dataclass(frozen=True, slots=True)
class Status:
    """State of an artifact. Bytes are those of tensors, without headers."""

    url: str
    recipe: str
    """Digest of the recipe of all tensors."""
    format: str
    items: int
    items_done: int
    """Items that have their object and their record."""
    bytes: int
    bytes_done: int
    """Bytes of these items."""
    is_complete: bool
    """True if the object exists that completes the artifact."""


Callback = Callable[[Progress], None]
"""Is called after each part that was written, by one thread at a time. An exception that it raises ends the work."""


class Tally:
    """Counts what the writers of one call have written. Any thread may use it."""

    def __init__(
        self,
        plan: Plan,
        numbers: Iterable[int],
        callback: Callback | None = None,
        is_done: Callable[[int], bool] = lambda _: False,
    ) -> None:
        """Count the items with these numbers; those that are done count from the beginning."""
        self._items = self._items_done = self._bytes = self._bytes_done = 0
        for number in numbers:
            nbytes = plan.arrangement.nbytes(number)
            self._items += 1
            self._bytes += nbytes
            if is_done(number):
                self._items_done += 1
                self._bytes_done += nbytes
        self._callback = callback
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes of tensors. The number is negative if they are to be written again."""
        with self._lock:
            self._bytes_done += count
            self._tell()

    def done(self) -> None:
        """Count an item that is complete, whose bytes were counted by `add`."""
        with self._lock:
            self._items_done += 1
            self._tell()

    def _tell(self) -> None:
        if self._callback is not None:
            self._callback(Progress(self._items, self._items_done, self._bytes, self._bytes_done))


def status(url: str | os.PathLike[str]) -> Status:
    """Return how much of an artifact is in a destination, from one listing.

        >>> fanin.artifact.status("s3://bucket/step-0").is_complete

    Args:
        url: A directory, or a URL s3://, gs:// or az://.

    Raises:
        ValueError: the URL is wrong.
        ArtifactError: the destination has no artifact, or it is damaged.
        OSError: the destination cannot be read.
    """
    place = destination(url)
    plan = read_plan(place)
    found = survey(plan, place)
    return Status(
        place.url,
        plan.recipe.digest,
        plan.format,
        len(plan),
        found.items_done,
        plan.nbytes,
        found.bytes_done,
        found.is_complete,
    )
