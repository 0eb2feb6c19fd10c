"""Models of the catalogue by `from_pretrained`, unmodified, with no file prepared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fanin import models
from fanin_service.settings import Settings
from tests.support.servers import running
from tests.surfaces import hub

pytest.importorskip("transformers", reason="transformers is not installed")
FEW = ["tiny-qwen3", "tiny-qwen3-moe", "tiny-resnet", "tiny-whisper"]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(FEW, id="few"),
        pytest.param(
            [name for name in models.names() if name.startswith("tiny-")], id="all", marks=pytest.mark.soak("catalogue")
        ),
    ],
)
def test_from_pretrained(names: list[str], tmp_path: Path) -> None:
    with running(Settings(catalogue=True)) as server:
        command = [sys.executable, "-m", "tests.surfaces.catalogue", *names]
        environment = hub.environment(server.url, tmp_path)
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == names
