"""Keep the ratios of each release and machine, and find those that fell from one release to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fanin_lab.bench.machine import rounded
from fanin_lab.bench.pairs import Summary
from fanin_lab.tables import Table

Release = dict[str, Any]
"""Version, date, name of the machine, and figures: by name, the ratio and its interval. A larger figure is better."""
TOLERATED = 0.05
"""Part by which a figure may fall beyond its interval. Compilers and kernels of the system differ that much."""


def release(version: str, date: str, machine: str, figures: Mapping[str, Summary]) -> Release:
    """Return the entry of a release on one machine."""
    kept = {
        name: [rounded(value) for value in (found.median, found.low, found.high)] for name, found in figures.items()
    }
    return {"version": version, "date": date[:10], "machine": machine, "figures": kept}


def recorded(releases: list[Release], new: Release) -> list[Release]:
    """Return the releases with a new one. It replaces an earlier entry of the same version and machine."""

    def key(one: Release) -> tuple[str, str]:
        return one["version"], one["machine"]

    if key(new) in map(key, releases):
        return [new if key(one) == key(new) else one for one in releases]
    return [*releases, new]


def regressions(releases: list[Release]) -> list[str]:
    """Return a sentence for each figure that is clearly lower than in the release before on the same machine."""
    found = []
    before: dict[str, Release] = {}
    for new in releases:
        old = before.get(new["machine"], {"figures": {}})
        for name, (median, _, high) in new["figures"].items():
            if name in old["figures"]:
                was, low, _ = old["figures"][name]
                if high < low * (1 - TOLERATED):
                    found.append(
                        f"{name}: {was:.2f} in {old['version']}, {median:.2f} in {new['version']} ({new['machine']})"
                    )
        before[new["machine"]] = new
    return found


def table(releases: list[Release]) -> Table:
    """Return a row for each figure and a column for each release and machine, with the interval of the figure."""
    machines = list(dict.fromkeys(one["machine"] for one in releases))
    names = dict.fromkeys(name for one in releases for name in one["figures"])
    head = ["ratio", *(f"{one['version']} ({1 + machines.index(one['machine'])})" for one in releases)]
    rows: list[Sequence[str]] = []
    for name in names:
        cells = [one["figures"].get(name) for one in releases]
        rows.append([name, *(f"{cell[0]:.2f} ({cell[1]:.2f} to {cell[2]:.2f})" if cell else "" for cell in cells)])
    return "Releases", head, rows
