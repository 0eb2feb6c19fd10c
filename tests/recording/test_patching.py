"""Functions that are replaced while a thread needs it."""

from __future__ import annotations

import types

import pytest

from fanin.recording.patching import Replaced


def module() -> types.SimpleNamespace:
    return types.SimpleNamespace(first=int, second=str)


def test_all_functions_are_replaced_inside_and_none_outside() -> None:
    owner = module()
    replaced = Replaced({"first": lambda _: float, "second": lambda _: bytes})
    for _ in range(2):
        with replaced.within(owner):  # type: ignore[arg-type]
            assert (owner.first, owner.second) == (float, bytes)
        assert (owner.first, owner.second) == (int, str)


def test_a_name_that_does_not_exist_leaves_the_others_as_they_were() -> None:
    owner = module()
    replaced = Replaced({"first": lambda _: float, "missing": lambda _: bytes})
    for _ in range(2):
        with pytest.raises(AttributeError, match="missing"), replaced.within(owner):  # type: ignore[arg-type]
            pass
        assert owner.first is int
