"""The journal of an artifact: its states, each in a separate object that is never replaced.

The newest state counts. It is in the destination, so every replica reads it, and it survives every process. It is
beside the artifact and not in it: an artifact has only files that are signed and verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fanin.artifact.destinations.base import Destination
from fanin_service.artifacts.errors import ArtifactStateError

FOLDER = ".artifacts"
"""Prefix of all journals in a destination."""
MAX_STATES = 999_999
"""Maximum number of states of an artifact. Any client that may write it adds states, so few would let one client end it
for all."""

StateName = Literal["writing", "cancelled", "stopped", "failed", "spoiled"]


class Facts(BaseModel):
    """The contents of an artifact, which never change."""

    model_config = ConfigDict(frozen=True)

    recipe: str
    """Digest of the recipe."""
    format: str
    shard_bytes: int | None
    items: int
    """Files of weights."""
    bytes: int
    """Bytes of these files."""


class State(BaseModel):
    """A state of an artifact."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    facts: Facts
    state: StateName
    clients: tuple[str, ...] = ()
    """Marks of the clients that want it. A reader of the destination sees no names."""
    problem: str | None = None
    """Name of the problem because of which it failed."""
    detail: str | None = None

    def ordered(self, mark: str) -> State:
        """Return the state after the client with this mark has requested the artifact.

        Raises:
            ArtifactStateError: the artifact is spoiled.
        """
        if self.state == "spoiled":
            raise ArtifactStateError(f"this artifact cannot be completed: {self.detail}")
        if self.state != "writing":
            return State(facts=self.facts, state="writing", clients=(mark,))
        if mark in self.clients:
            return self
        return State(facts=self.facts, state="writing", clients=(*self.clients, mark))

    def cancelled(self, mark: str) -> State:
        """Return the state after the client with this mark has cancelled. Others that requested the artifact get it."""
        left = tuple(each for each in self.clients if each != mark)
        if self.state != "writing" or (left and mark not in self.clients):
            return self
        return State(facts=self.facts, state="writing" if left else "cancelled", clients=left)

    def ended(
        self, state: StateName, marks: Collection[str], problem: str | None = None, detail: str | None = None
    ) -> State:
        """Return the state after a process has stopped writing the artifact for the clients with these marks.

        Other processes may write the artifact for other clients, and a process that stops does not stop them. Its
        clients may have used their quota.
        """
        if self.state != "writing":
            return self
        if state == "stopped" and (left := tuple(each for each in self.clients if each not in marks)):
            return State(facts=self.facts, state="writing", clients=left)
        return State(facts=self.facts, state=state, problem=problem, detail=detail)


def mark_of(artifact: str, client: str) -> str:
    """Return the mark of a client in the journal of an artifact."""
    return hashlib.sha256(f"{artifact}\n{client}".encode()).hexdigest()[:16]


class Journal:
    """The states of one artifact. Every call waits for the destination."""

    def __init__(self, destination: Destination, artifact: str) -> None:
        """`destination` is the complete one, with all artifacts."""
        self._destination, self._prefix = destination, f"{FOLDER}/{artifact}/"
        self._number = 0
        """Number of the newest known state; 0 if none is known."""
        self._state: State | None = None

    def newest(self) -> State | None:
        """Return the newest state; None if the artifact has none."""
        if self._number == 0:
            self._read(self._last())
        else:
            while self._read(self._number + 1):
                pass
        return self._state

    def update(self, change: Callable[[State], State], first: State | None = None) -> State | None:
        """Store the newest state after a change, and return it. `first` is changed if the journal is empty.

        Another process may store a state at the same time. That one is then changed.

        Raises:
            ArtifactStateError: the artifact has had too many states.
        """
        while True:
            known = self.newest()
            state = known or first
            if state is None:
                return None
            changed = change(state)
            if changed == known:
                return known
            if self._number >= MAX_STATES:
                raise ArtifactStateError(f"this artifact was begun and ended {MAX_STATES} times; no more is possible")
            content = changed.model_dump_json().encode()
            if self._destination.create(self._key(self._number + 1), [memoryview(content)], len(content)):
                self._number, self._state = self._number + 1, changed
                return changed

    def _last(self) -> int:
        """Return the number of the newest state; 0 if there is none.

        The numbers have no gaps, so the requests grow with the logarithm of the number of states.
        """
        if not self._exists(1):
            # Only a list shows that the destination can be read, and states whose first ones were deleted.
            return max((_number(key) for key, _ in self._destination.objects(self._prefix)), default=0)
        last, absent = 1, 2
        while absent <= MAX_STATES and self._exists(absent):
            last, absent = absent, 2 * absent
        while absent - last > 1:
            middle = (last + absent) // 2
            last, absent = (middle, absent) if self._exists(middle) else (last, middle)
        return last

    def _exists(self, number: int) -> bool:
        return self._destination.size(self._key(number)) is not None

    def _read(self, number: int) -> bool:
        """Read a state. Return false if the artifact has no state with this number."""
        content = self._destination.read(self._key(number)) if number else None
        if content is None:
            return False
        try:
            self._state = State.model_validate_json(content)
        except ValidationError as error:
            raise ArtifactStateError(f"{self._key(number)}: not a state: {error.errors()[0]['msg']}") from None
        self._number = number
        return True

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:06}.json"


def _number(key: str) -> int:
    name = key.rpartition("/")[2].removesuffix(".json")
    return int(name) if name.isascii() and name.isdecimal() else 0
