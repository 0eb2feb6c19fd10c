"""The objects of an artifact that exist, from one listing of its destination."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from fanin.artifact.destinations.base import Destination
from fanin.artifact.documents import DONE
from fanin.artifact.plan import Outline, Plan

_ABSENT = 2**64 - 1

P = TypeVar("P", Plan, Outline)


@dataclass(frozen=True, slots=True)
class Survey(Generic[P]):
    """Which objects a destination has."""

    plan: P
    sizes: array[int]
    """Size of the object of each item; 2^64 - 1 if there is none."""
    records: bytearray
    """1 for each item that has a record."""
    others: dict[str, int]
    """Sizes of the objects that are neither an item nor a record of one, by key."""

    def is_done(self, number: int) -> bool:
        """Return whether an item has its object and its record."""
        return self.sizes[number] != _ABSENT and bool(self.records[number])

    def missing(self) -> Iterator[int]:
        """Yield the numbers of the items that are to be written."""
        return (number for number in range(len(self.plan)) if not self.is_done(number))

    @property
    def items_done(self) -> int:
        """Number of the items that are complete."""
        return sum(map(self.is_done, range(len(self.plan))))

    @property
    def bytes_done(self) -> int:
        """Bytes of the tensors of these items."""
        return sum(self.plan.arrangement.nbytes(number) for number in range(len(self.plan)) if self.is_done(number))

    @property
    def is_complete(self) -> bool:
        """True if the object exists that completes the artifact."""
        return self.plan.commit_path in self.others


def survey(plan: P, destination: Destination) -> Survey[P]:
    """List a destination.

    Raises:
        OSError: the destination cannot be read.
    """
    found = Survey(plan, array("Q", [_ABSENT]) * len(plan), bytearray(len(plan)), {})
    number_of = plan.arrangement.number
    for key, size in destination.objects():
        name = key[len(DONE) : -len(".json")] if key.startswith(DONE) and key.endswith(".json") else None
        number = number_of(key if name is None else name)
        if number is None:
            found.others[key] = size
        elif name is None:
            found.sizes[number] = size
        else:
            found.records[number] = 1
    return found
