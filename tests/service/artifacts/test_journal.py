"""Journals: the newest state counts, and simultaneous changes follow one another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fanin.artifact.destinations.directory import Directory
from fanin.artifact.destinations.opening import destination
from fanin_service.artifacts import journal
from fanin_service.artifacts.errors import ArtifactStateError
from fanin_service.artifacts.journal import Facts, Journal, State

ID = "0" * 64
FACTS = Facts(recipe="a" * 64, format="hf", shard_bytes=1 << 20, items=3, bytes=5)
FIRST = State(facts=FACTS, state="stopped")


def test_states_follow_one_another(tmp_path: Path) -> None:
    mine, other = (Journal(destination(tmp_path), ID) for _ in range(2))
    assert mine.newest() is None
    assert mine.update(lambda state: state.cancelled("x")) is None
    mine.update(lambda state: state.ordered("x"), FIRST)
    assert other.update(lambda state: state.ordered("x"), FIRST) == State(facts=FACTS, state="writing", clients=("x",))
    other.update(lambda state: state.ordered("y"))
    found = mine.update(lambda state: state.cancelled("x"))
    assert found is not None
    assert (found.state, found.clients) == ("writing", ("y",))
    assert mine.update(lambda state: state.cancelled("stranger")) == found
    found = other.update(lambda state: state.cancelled("y"))
    assert found is not None
    assert (found.state, found.clients) == ("cancelled", ())
    assert other.update(lambda state: state.ended("failed", ())) == found
    names = sorted(path.name for path in (tmp_path / ".artifacts" / ID).iterdir())
    assert names == [f"{number:06}.json" for number in range(1, 5)]


def test_no_simultaneous_change_is_lost(tmp_path: Path) -> None:
    def order(mark: str) -> None:
        Journal(destination(tmp_path), ID).update(lambda state: state.ordered(mark), FIRST)

    marks = [f"{number:02}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(order, marks))
    found = Journal(destination(tmp_path), ID).newest()
    assert found is not None
    assert sorted(found.clients) == marks


def test_many_states_do_not_end_an_artifact(tmp_path: Path) -> None:
    """Nor does finding the newest take a request for each: another client may have begun and cancelled it often."""
    looks = list[str]()

    class Counted(Directory):
        def size(self, key: str) -> int | None:
            looks.append(key)
            return super().size(key)

    folder = tmp_path / ".artifacts" / ID
    folder.mkdir(parents=True)
    for count in range(1, 1100):
        newest = FIRST.ordered(str(count))
        (folder / f"{count:06}.json").write_text(newest.model_dump_json())
        if count < 20 or count > 1090:
            looks.clear()
            assert Journal(Counted(tmp_path), ID).newest() == newest
            assert len(looks) <= 2 * count.bit_length()
    assert Journal(Directory(tmp_path), ID).update(lambda state: state.ordered("x")) is not None
    (folder / "000001.json").unlink()
    found = Journal(Directory(tmp_path), ID).newest()
    assert found is not None
    assert found.clients == ("1099", "x")


def test_a_journal_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_STATES", 2)
    mine = Journal(destination(tmp_path), ID)
    mine.update(lambda state: state.ordered("x"), FIRST)
    mine.update(lambda state: state.cancelled("x"))
    with pytest.raises(ArtifactStateError, match="begun and ended 2 times"):
        mine.update(lambda state: state.ordered("x"))


def test_a_spoiled_artifact_stays_so() -> None:
    spoiled = State(facts=FACTS, state="writing", clients=("x",)).ended("spoiled", (), "not-ready", "why")
    with pytest.raises(ArtifactStateError, match="why"):
        spoiled.ordered("x")


def test_what_stops_one_process_does_not_stop_another() -> None:
    both = State(facts=FACTS, state="writing", clients=("x", "y"))
    left = both.ended("stopped", {"x"}, "quota-exceeded", "why")
    assert left == State(facts=FACTS, state="writing", clients=("y",))
    assert left.ended("stopped", {"x", "y"}, "quota-exceeded").problem == "quota-exceeded"
    assert both.ended("failed", {"x"}).state == "failed"


def test_a_damaged_journal_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / ".artifacts" / ID
    folder.mkdir(parents=True)
    (folder / "000001.json").write_text("{}")
    with pytest.raises(ArtifactStateError, match=r"000001\.json: not a state"):
        Journal(destination(tmp_path), ID).newest()
