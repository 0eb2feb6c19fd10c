"""Parts of an artifact as jobs of submitit, which runs functions on Slurm, here by its local executor.

It needs `pip install --group ray`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fanin import artifact
from tests.support.checkpoints import RECIPE, files_of

pytestmark = pytest.mark.soak("ray")
PARTS = 3


def test_an_array_of_submitit(tmp_path: Path) -> None:
    """One job is lost; submitted again, the array writes only its items."""
    submitit = pytest.importorskip("submitit", reason="needs pip install --group ray")
    url = str(tmp_path / "made")
    executor = submitit.LocalExecutor(folder=tmp_path / "logs")
    executor.update_parameters(timeout_min=5)
    plan = artifact.begin(RECIPE, url, shard_bytes=10_300)
    assert len(plan) == PARTS
    parts = [f"{index}/{PARTS}" for index in range(PARTS)]
    for job in executor.map_array(artifact.write_part, [url] * 2, parts[:2]):
        job.result()
    written = {path.name: path.stat().st_ino for path in (tmp_path / "made").glob("model-*")}
    assert len(written) == 2
    for job in executor.map_array(artifact.write_part, [url] * PARTS, parts):
        job.result()
    artifact.finish(url)
    artifact.make(RECIPE, tmp_path / "expected", shard_bytes=10_300)
    assert files_of(tmp_path / "made") == files_of(tmp_path / "expected")
    assert written.items() <= {path.name: path.stat().st_ino for path in (tmp_path / "made").glob("model-*")}.items()
