"""Initializers have the meaning of their library: a test runs the library, and its values follow our distribution."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import fanin
from fanin.dialects import DIALECTS as LIBRARIES
from fanin.schemes.base import Tensor
from tests.peers.distributions import MATRICES, differences, faults, orthogonal
from tests.peers.initializers import DIALECTS, OTHERS
from tests.peers.layers import LAYERS
from tests.peers.rows import Process, Section

SECTIONS = (*DIALECTS.values(), *OTHERS, *LAYERS)


class Run(NamedTuple):
    """Results of a library for a section."""

    samples: list[NDArray[Any]]
    names: set[str]
    """Public names of the modules."""


def listed(sections: Iterable[Section]) -> list[Any]:
    return [pytest.param(each, id=each.title, marks=[pytest.mark.soak("frameworks")] * each.soak) for each in sections]


def tensors(section: Section) -> list[Tensor]:
    return [fanin.as_recipe(row.tensor).tensors["weight"] for row in section.rows]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Section], Run]:
    """Runs a section, with all others of its process whose libraries are there: most of the time is compilation."""

    @lru_cache
    def samples(process: Process, soak: bool) -> dict[str, Run] | str:
        folder = tmp_path_factory.mktemp(process)
        alike = [each for each in SECTIONS if (each.process, each.soak) == (process, soak)]
        sections = [each for each in alike if find_spec(each.library)]
        request = {section.title: _request(section) for section in sections}
        (folder / "request.json").write_text(json.dumps(request))
        command = [
            sys.executable,
            Path(__file__).with_name("run.py"),
            process,
            folder / "request.json",
            folder / "out.npz",
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            return ended.stderr
        with np.load(folder / "out.npz") as given:
            names = json.loads(str(given["names"]))
            arrays = iter([given[f"arr_{n}"] for n in range(len(given.files) - 1)])
        return {each.title: Run([next(arrays) for _ in each.rows], set(names[each.title])) for each in sections}

    def run(section: Section) -> Run:
        if not find_spec(section.library):
            pytest.skip(f"{section.library} is not installed: make .venv/dev")
        given = samples(section.process, section.soak)
        assert not isinstance(given, str), given
        return given[section.title]

    return run


def _request(section: Section) -> dict[str, Any]:
    calls = [
        (section.around.format(row.call), tensor.shape, MATRICES if orthogonal(tensor.draw) else 1)
        for row, tensor in zip(section.rows, tensors(section))
    ]
    return {"imports": section.imports, "modules": section.modules, "calls": calls}


@pytest.mark.parametrize("section", listed(SECTIONS))
def test_follows_the_library(section: Section, runs: Callable[[Section], Run]) -> None:
    run = runs(section)
    wrong = [
        f"{row.call}: {difference}"
        for row, tensor, sample in zip(section.rows, tensors(section), run.samples, strict=True)
        for difference in differences(sample, tensor)
    ]
    assert not wrong


@pytest.mark.parametrize("section", listed([each for each in SECTIONS if each.modules]))
def test_no_initializer_is_missing(section: Section, runs: Callable[[Section], Run]) -> None:
    names = runs(section).names
    library = next((LIBRARIES[name] for name, each in DIALECTS.items() if each is section), None)
    aliases = library.aliases if library else {}
    assert names >= section.others
    assert {aliases.get(name, name) for name in names - section.others} <= section.names
    assert names
    if library:
        assert set(library.initializers) | set(library.aliases) >= names - section.others
        assert set(library.initializers) <= section.names


def test_another_distribution_is_noticed() -> None:
    """One of 10 % more variance, or cut elsewhere, or moved by a twentieth."""
    sample = np.random.default_rng(1).normal(size=96 * 160)
    for other in (stats.norm(0, 1.05), stats.truncnorm(-3, 3), stats.norm(0.05, 1)):
        assert faults(sample, other), other.args
    assert not faults(sample, stats.norm())
