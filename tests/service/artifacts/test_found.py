"""The state of an artifact that another process is about to begin."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fanin.artifact import Plan
from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.directory import Directory
from fanin.artifact.documents import PLAN, RECIPE
from fanin.artifact.plan import begin
from fanin.errors import ArtifactError
from fanin_service.artifacts import found
from fanin_service.artifacts.journal import Facts, Journal, State
from fanin_service.artifacts.opening import place_of
from fanin_service.artifacts.outlines import Outlines
from tests.support.artifacts import RECIPE as DOCUMENT

ID = "0" * 64
PLANNED = Plan.of(DOCUMENT, shard_bytes=2_000_000, files={"config.json": b"{}"})
ORDERED = State(facts=Facts(recipe="a" * 64, format="hf", shard_bytes=2_000_000, items=6, bytes=7), state="writing")


class Overtaken(Directory):
    """A destination in which another process begins the artifact after each object that was not found."""

    def read(self, key: str, most: int | None = None) -> bytes | None:
        content = super().read(key, most)
        if content is None:
            begin(PLANNED, Directory(self._path))
        return content


@pytest.mark.parametrize("existing", [(), (PLAN,), (PLAN, RECIPE)])
def test_an_artifact_that_begins_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: tuple[str, ...]
) -> None:
    """It is being written, and not in conflict, at each step of the other process."""
    root = Directory(tmp_path)
    Journal(root, ID).update(lambda _: ORDERED, ORDERED)
    begin(PLANNED, Directory(tmp_path / "begun"))
    for key in existing:
        content = (tmp_path / "begun" / key).read_bytes()
        place_of(root, ID).create(key, [memoryview(content)], len(content))

    def overtaken(root: Directory, id: str) -> Destination:
        return Overtaken(tmp_path / id)

    monkeypatch.setattr(found, "place_of", overtaken)
    for _ in range(2):
        seen = found.read("client", root, "weights", ID, Outlines(), threading.Lock())
        assert seen is not None
        assert (seen.state, seen.items_done, seen.problem) == ("writing", 0, None)


def test_a_damaged_plan_is_an_error(tmp_path: Path) -> None:
    root = Directory(tmp_path)
    Journal(root, ID).update(lambda _: ORDERED, ORDERED)
    place_of(root, ID).create(PLAN, [memoryview(b"{")], 1)
    with pytest.raises(ArtifactError, match=r"plan\.json is damaged"):
        found.read("client", root, "weights", ID, Outlines(), threading.Lock())
