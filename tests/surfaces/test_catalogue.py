"""Models of the catalogue by `from_pretrained`, unmodified, with no file prepared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fanin
from fanin import models
from fanin_service.settings import Settings
from tests.support.servers import running
from tests.surfaces import hub

pytest.importorskip("transformers", reason="transformers is not installed")
FEW = ["tiny-qwen3", "tiny-qwen3-moe", "tiny-resnet", "tiny-whisper", "tiny-gpt-oss-mxfp4", "tiny-dit"]
TINY = [name for name in models.names() if name.startswith("tiny-")]


def _is_quantized(name: str) -> bool:
    """Return whether a model has weights that a format quantizes, and transformers loads it."""
    try:
        models.get(name).files("fp8")
    except (ValueError, fanin.RecipeError):
        return False
    return name not in ("tiny-dinov2",)  # transformers 5.24.0 cannot convert the names of its quantized weights


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(FEW, id="few"),
        pytest.param(TINY, id="all", marks=pytest.mark.soak("catalogue")),
    ],
)
def test_from_pretrained(names: list[str], tmp_path: Path) -> None:
    _load(names, tmp_path)


@pytest.mark.soak("catalogue")
def test_from_pretrained_of_quantized_models(tmp_path: Path) -> None:
    """Every tiny model in FP8, and a decoder in every format of compressed-tensors and DeepSeek."""
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    forms = ("fp8-channel", "fp8-block", "int8", "mxfp8", "mxfp4", "nvfp4", "int4", "int4-asymmetric")
    names = [*(f"{name}-fp8" for name in filter(_is_quantized, TINY)), *(f"tiny-llama-3-{form}" for form in forms)]
    _load(names, tmp_path)


def _load(names: list[str], tmp_path: Path) -> None:
    with running(Settings(catalogue=True)) as server:
        command = [sys.executable, "-m", "tests.surfaces.catalogue", *names]
        environment = hub.environment(server.url, tmp_path)
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == names
