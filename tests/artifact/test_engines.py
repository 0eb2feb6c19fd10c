"""Engines by their names."""

from __future__ import annotations

import sys

import pytest

from fanin.artifact.engines import ENGINES, engine_of
from fanin.errors import MissingPackageError


def test_an_engine_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, ENGINES["ray"], raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"engine ray needs the package ray.*pip install '\.\[ray\]'"):
        engine_of("ray")


def test_an_unknown_engine() -> None:
    with pytest.raises(ValueError, match="engine is one of ray, threads, not 'dask'"):
        engine_of("dask")
