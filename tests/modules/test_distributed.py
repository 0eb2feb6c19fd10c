"""Modules of DTensors: each rank makes its own shards, and together they are what one device has."""

from __future__ import annotations

import pytest

from tests.modules import ranks

SMALL: dict[str, int] = {}
LARGE = {"wide": 200, "hidden": 328, "vocabulary": 1003}


def check(world: int, shapes: list[tuple[int, ...]], is_thorough: bool, sizes: dict[str, int]) -> None:
    recipe = ranks.recipe(**sizes)
    answers = ranks.run(world, ranks.initialized, recipe, shapes, is_thorough, sizes)
    assert all(answer == answers[0] for answer in answers)
    wanted = ranks.expected(recipe)
    assert {key: found for key, found in answers[0].items() if found != wanted} == {}
    print(f"{world} ranks, {len(answers[0])} models: SHA-256 {wanted}")


def test_two_ranks() -> None:
    check(2, [(2,)], False, SMALL)


def test_four_ranks() -> None:
    check(4, [(4,), (2, 2)], False, SMALL)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("world", "shapes"), [(1, [(1,)]), (2, [(2,)]), (4, [(4,), (2, 2)]), (8, [(8,), (2, 4), (4, 2)])]
)
def test_any_mesh_and_placement(world: int, shapes: list[tuple[int, ...]]) -> None:
    check(world, shapes, True, LARGE)
