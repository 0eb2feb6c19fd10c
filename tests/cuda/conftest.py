"""Fixtures of the CUDA backend's tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fanin import backends
from fanin.backends import cuda
from fanin.backends.cuda import CudaBackend
from tests.cuda.fake_cupy import FakeCuPy, Make


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def make(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A backend and the GPU that it is on. Its grid is so small that every thread strides."""
    monkeypatch.setattr(cuda, "THREADS", 3)
    monkeypatch.setattr(cuda, "BLOCKS", 1)
    for function in (backends.load, backends._usable, cuda._multiprocessors):
        monkeypatch.setattr(function, "cache_clear", function.cache_clear)  # they are emptied before and after
        function.cache_clear()

    def made(
        pace: Any = "random", version: str = "14.0.0", gpus: int = 1, **sizes: int
    ) -> tuple[FakeCuPy, CudaBackend]:
        fake = FakeCuPy(folder, pace, version=version, gpus=gpus)
        monkeypatch.setitem(sys.modules, "cupy", fake)  # type: ignore[arg-type]
        return fake, CudaBackend(**sizes)

    return made
