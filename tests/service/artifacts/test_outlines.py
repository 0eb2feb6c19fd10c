"""Outlines: what a survey of an artifact needs of its plan, cached without the recipe."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

import pytest

from fanin.artifact import Plan, plan
from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.directory import Directory
from fanin.artifact.plan import begin, read_plan
from fanin.artifact.survey import survey
from fanin_service.artifacts.found import read
from fanin_service.artifacts.journal import Facts, Journal, State
from fanin_service.artifacts.opening import place_of
from fanin_service.artifacts.outlines import Outlines

ORDERED = State(facts=Facts(recipe="a" * 64, format="hf", shard_bytes=1, items=6, bytes=7), state="writing")


def planned(seed: int, tensors: int = 3, **options: Any) -> Plan:
    repeated = {f"t{{0..{tensors - 1}}}": {"shape": [2], "scheme": "zeros"}}
    return Plan.of({"seed": seed, "layout": "torch", "tensors": {}, "repeated": repeated}, **options)


def test_a_plan_is_read_once_for_many_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, outlines, reads = Directory(tmp_path), Outlines(), list[str]()
    ids = [f"{number:064}" for number in range(12)]
    for seed, id in enumerate(ids):
        Journal(root, id).update(lambda _: ORDERED, ORDERED)
        begin(planned(seed), place_of(root, id))
    parse = plan._read

    def counted(destination: Destination, document: bytes) -> Plan:
        reads.append(destination.url)
        return parse(destination, document)

    monkeypatch.setattr(plan, "_read", counted)
    for id in ids * 3:
        found = read("client", root, "weights", id, outlines, threading.Lock())
        assert found is not None
        assert (found.state, found.items_done) == ("writing", 0)
    assert len(reads) == len(ids)
    # The plans have recipes, whose memory nobody counts.
    assert not any(str(tmp_path) in url for url, _ in plan._plans)


def test_a_plan_that_this_process_writes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, outlines, id = Directory(tmp_path), Outlines(), "7" * 64
    Journal(root, id).update(lambda _: ORDERED, ORDERED)
    made = planned(1, 3000, shard_bytes=1 << 20)
    outlines.learn("client", place_of(root, id), made)
    begin(made, place_of(root, id))
    monkeypatch.setattr(plan, "_read", lambda *_: pytest.fail("the plan was read"))
    found = read("client", root, "weights", id, outlines, threading.Lock())
    assert found is not None
    assert (found.state, found.items_done) == ("writing", 0)
    # Another plan at this place, as another process would write it, is read.
    other = Directory(tmp_path / "other")
    begin(planned(2), other)
    with pytest.raises(pytest.fail.Exception, match="the plan was read"):
        outlines.of("client", other, threading.Lock())


@pytest.mark.parametrize("format", ["hf", "safetensors", "dcp"])
def test_an_outline_has_no_tensors(tmp_path: Path, format: str) -> None:
    whole = planned(0, 3000, format=format, shard_bytes=2**40)
    outline = whole.outline()
    assert len(pickle.dumps(outline)) < 1000
    assert outline.commit_path == whole.commit_path
    place = Directory(tmp_path)
    name = whole.arrangement.name(0)
    for key in (name, f".fanin/done/{name}.json", whole.commit_path):
        place.create(key, [memoryview(b"x")], 1)
    for found in (survey(outline, place), survey(whole, place)):
        assert (found.items_done, found.bytes_done, found.is_complete) == (1, 24_000, True)


def test_a_process_keeps_few_tensors_of_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_PLAN_TENSORS", 7)
    monkeypatch.setattr(plan, "_plans", type(plan._plans)())
    for seed, tensors in enumerate([3, 3, 9, 2, 3]):
        place = Directory(tmp_path / str(seed))
        begin(planned(seed, tensors), place)
        assert read_plan(place) is read_plan(place)
    assert [len(kept.recipe.tensors) for kept in plan._plans.values()] == [2, 3]
