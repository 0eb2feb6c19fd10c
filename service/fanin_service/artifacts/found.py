"""The state of an artifact, read from its destination."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from fanin.artifact import Plan
from fanin.artifact.destinations.base import Destination
from fanin.artifact.plan import read_plan
from fanin.artifact.survey import survey
from fanin.errors import NotBegunError
from fanin_service.artifacts.journal import Facts, Journal
from fanin_service.artifacts.opening import place_of

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


def read(root: Destination, alias: str, id: str, lock: threading.Lock) -> Found | None:
    """Return the state of an artifact; None if it was never requested.

    `lock` is held while a plan is read. That runs Python for seconds if the recipe is large and not cached, and in
    several threads it would delay the event loop.

    Raises:
        ArtifactError: its objects are damaged.
        OSError: the destination cannot be read.
    """
    state = Journal(root, id).newest()
    if state is None:
        return None
    place, facts = place_of(root, id), state.facts
    items = count = 0
    plan: Plan | None = None
    with lock, suppress(NotBegunError):
        plan = read_plan(place)
    if plan is not None:
        if place.size(plan.commit_path) is not None:
            return Found(id, alias, place.url, facts, "complete", facts.items, facts.bytes, None, None)
        found = survey(plan, place)
        items, count = found.items_done, found.bytes_done
    return Found(id, alias, place.url, facts, state.state, items, count, state.problem, state.detail)
