"""The history of releases: a regression is seen, and noise is not called one."""

from __future__ import annotations

import pytest

from fanin_lab.bench import history
from fanin_lab.bench.pairs import Summary


def release(version: str, ratio: float, spread: float = 0.02, machine: str = "a") -> history.Release:
    found = Summary(ratio, ratio * (1 - spread), ratio * (1 + spread), 11)
    return history.release(
        version, "2026-01-02T03:04:05+00:00", machine, {"normal": found, "same": Summary(1, 1, 1, 9)}
    )


@pytest.mark.parametrize(
    ("new", "regressed"),
    [
        (release("2", 3.0), True),
        (release("2", 3.6), True),
        (release("2", 3.75), False),  # within 5 % of the interval
        (release("2", 5.0), False),
        (release("2", 3.0, spread=0.4), False),  # so noisy that it can have been 4.2
        (release("2", 3.0, machine="b"), False),
    ],
)
def test_a_figure_that_falls_is_seen(new: history.Release, regressed: bool) -> None:
    found = history.regressions([release("1", 4.0), new])
    assert bool(found) == regressed
    if found:
        assert found == [f"normal: 4.00 in 1, {new['figures']['normal'][0]:.2f} in 2 (a)"]


def test_each_release_is_compared_with_the_one_before_on_its_machine() -> None:
    releases = [release("1", 4), release("1", 2, machine="b"), release("2", 3), release("3", 3), release("2", 2)]
    assert len(history.regressions(releases)) == 2


def test_a_release_measured_again_replaces_its_entry() -> None:
    releases = [release("1", 4), release("1", 5, machine="b")]
    assert history.recorded(releases, release("1", 6)) == [release("1", 6), releases[1]]
    assert history.recorded(releases, release("2", 6)) == [*releases, release("2", 6)]


def test_the_table_has_every_figure() -> None:
    title, head, rows = history.table([release("1", 4), release("2", 5, machine="b")])
    assert (title, head) == ("Releases", ["ratio", "1 (1)", "2 (2)"])
    assert rows[0] == ["normal", "4.00 (3.92 to 4.08)", "5.00 (4.90 to 5.10)"]
    assert len(rows) == 2
