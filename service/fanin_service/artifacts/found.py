"""The state of an artifact, read from its destination."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

from fanin.artifact.destinations.base import Destination
from fanin.artifact.survey import survey
from fanin_service.artifacts.journal import Facts, Journal
from fanin_service.artifacts.opening import place_of
from fanin_service.artifacts.outlines import Outlines

Name = Literal["writing", "complete", "cancelled", "stopped", "failed", "spoiled"]


@dataclass(frozen=True, slots=True)
class Found:
    """An artifact, as its destination shows it."""

    id: str
    alias: str
    url: str
    facts: Facts
    state: Name
    items_done: int
    bytes_done: int
    problem: str | None
    detail: str | None


def read(
    client: str, root: Destination, alias: str, id: str, outlines: Outlines, reading: threading.Lock
) -> Found | None:
    """Return the state of an artifact; None if it was never requested. For `reading`, see `Outlines.of`.

    Raises:
        ArtifactError: its objects are damaged.
        OSError: the destination cannot be read.
    """
    state = Journal(root, id).newest()
    if state is None:
        return None
    place, facts = place_of(root, id), state.facts
    items = count = 0
    outline = outlines.of(client, place, reading)
    if outline is not None:
        if place.size(outline.commit_path) is not None:
            return Found(id, alias, place.url, facts, "complete", facts.items, facts.bytes, None, None)
        found = survey(outline, place)
        items, count = found.items_done, found.bytes_done
    return Found(id, alias, place.url, facts, state.state, items, count, state.problem, state.detail)
