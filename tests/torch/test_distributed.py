"""Modules of DTensors: each rank makes its own shards, and together they are what one device has."""

from __future__ import annotations

import pytest

import fanin
from fanin import FileLayout
from tests.support.backends import CountingBackend
from tests.support.servers import running
from tests.torch import ranks

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


def test_from_a_service_each_rank_asks_for_its_shards() -> None:
    recipe = ranks.recipe()
    counting = CountingBackend()
    with running(backend=counting) as server:
        before = counting.generated
        answers = ranks.run(2, ranks.fetched, recipe, server.url)
        made = counting.generated - before
    assert set(answers) == {ranks.expected(recipe)}
    layout = FileLayout.of(recipe)
    assert made == layout.size - len(layout.header)


@pytest.mark.soak("frameworks")
@pytest.mark.parametrize("dim", [0, 1])
def test_a_rank_takes_the_memory_of_its_shard(dim: int) -> None:
    for shard, most in ranks.run(8, ranks.most_memory, [16384, 8192], dim):
        print(f"Shard({dim}): {shard / 1e6:.1f} MB of a matrix of {8 * shard / 1e6:.1f} MB, {most / 1e6:.1f} MB taken")
        assert most < shard + (8 << 20)


@pytest.mark.soak("frameworks")
@pytest.mark.parametrize(
    ("world", "shapes"), [(1, [(1,)]), (2, [(2,)]), (4, [(4,), (2, 2)]), (8, [(8,), (2, 4), (4, 2)])]
)
def test_any_mesh_and_placement(world: int, shapes: list[tuple[int, ...]]) -> None:
    check(world, shapes, True, LARGE)


@pytest.mark.soak("frameworks")
def test_the_served_file_has_these_tensors() -> None:
    recipe = ranks.recipe(**LARGE)
    with running() as server, fanin.Client(server.url, where="remote") as client:
        made = client.materialize(recipe)
    assert ranks.digest({**made, "head.weight": made["embedding.weight"]}) == ranks.expected(recipe)
