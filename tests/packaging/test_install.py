"""Installing: with a compiler the native backend comes along, without one the same bytes are made in NumPy."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fanin
from tests.samples import MIXED

ROOT = Path(__file__).parents[2]
SCRIPT = f"""
import hashlib, sys, fanin
fanin.save({MIXED!r}, sys.argv[1])
print(",".join(fanin.backends.available()), hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())
"""


def build(folder: Path, **environment: str) -> Path:
    """A wheel of this project, built apart from the tree."""
    source = folder / "source"
    for name in ("clients/python", "service"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.parametrize(("compiler", "backends"), [("gcc", "native,reference"), ("/bin/false", "reference")])
def test_a_wheel_with_and_without_a_compiler(compiler: str, backends: str, tmp_path: Path) -> None:
    wheel = build(tmp_path, CC=compiler)
    assert wheel.name.endswith("none-any.whl") == (backends == "reference")
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    # -S -I would hide the dependencies; the wheel's own folder comes first instead.
    found = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            f"import sys; sys.path.insert(0, {str(installed)!r})\n{CLEAN}\n{SCRIPT}",
            tmp_path / "f",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    fanin.save(MIXED, tmp_path / "expected")
    expected = hashlib.sha256((tmp_path / "expected").read_bytes()).hexdigest()
    assert found.stdout.split() == [backends, expected]


CLEAN = "sys.meta_path = [finder for finder in sys.meta_path if 'ScikitBuild' not in type(finder).__name__]"
"""An editable install of this project would be found before any path."""


def test_importing_is_light() -> None:
    heavy = (
        "{'urllib3', 'torch', 'jax', 'cupy', 'scipy', 'fastapi', 'httpx', 'safetensors', 'pandas'} & set(sys.modules)"
    )
    code = f"import sys, fanin; print({heavy})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_the_public_names_are_documented() -> None:
    assert list(fanin.__all__) == sorted(fanin.__all__)
    for name in fanin.__all__:
        assert getattr(fanin, name).__doc__, name
