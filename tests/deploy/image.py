"""The Dockerfile without an engine: its stages read, its steps replayed, its processes run in bubblewrap."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
SHELLS = ("sh", "bash", "dash")


@dataclass(frozen=True)
class Stage:
    """A stage: what it starts from, and its instructions in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def value(self, instruction: str) -> str | None:
        """Return the argument of the last instruction of this kind."""
        found = [value for name, value in self.steps if name == instruction]
        return found[-1] if found else None

    def variables(self, instruction: str) -> dict[str, str]:
        """Return the variables that ENV, LABEL or ARG instructions set."""
        words = [word for name, value in self.steps if name == instruction for word in shlex.split(value)]
        return dict(word.partition("=")[::2] for word in words)


def stages(dockerfile: Path = ROOT / "Dockerfile") -> dict[str, Stage]:
    """The stages by name; the last is what a build without a target makes."""
    found: dict[str, Stage] = {}
    globals_ = Stage("")
    current = globals_
    for step in DockerfileParser(fileobj=io.BytesIO(dockerfile.read_bytes())).structure:
        if step["instruction"] == "FROM":
            base, _, name = step["value"].split()
            current = found[name] = Stage(_expand(base, globals_.variables("ARG")))
        elif step["instruction"] != "COMMENT":
            current.steps.append((step["instruction"], step["value"]))
    return found


def chain(target: str) -> list[Stage]:
    """Return the stages that `target` is built from, in order."""
    every = stages()
    return ([*chain(every[target].base)] if every[target].base in every else []) + [every[target]]


def final(target: str) -> Stage:
    """The image: all instructions of its chain."""
    parts = chain(target)
    return Stage(parts[0].base, [step for stage in parts for step in stage.steps])


def words(value: str | None) -> list[str]:
    """Return an instruction in exec form, which needs no shell."""
    assert value is not None
    found = json.loads(value[value.index("[") :])
    assert all(isinstance(word, str) for word in found)
    return list(found)


def bubblewrap() -> str:
    """The program that makes sandboxes; the test is skipped where it is missing or may not."""
    program = shutil.which("bwrap")
    if program is None:
        pytest.skip("bubblewrap is not installed: apt-get install bubblewrap")
    tried = subprocess.run([program, "--ro-bind", "/", "/", "--unshare-all", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"bubblewrap cannot make a sandbox here: {tried.stderr.strip()}")
    return program


def sandbox(own: dict[str, Path], *, writable: bool) -> list[str]:
    """The machine's root, where the paths `own` come from elsewhere and /tmp is empty; the network is shared."""
    arguments = [bubblewrap(), "--unshare-all", "--share-net", "--die-with-parent", "--cap-drop", "ALL"]
    hidden = {"dev", "proc", "tmp", *(path[1:] for path in own)}
    for entry in sorted(Path("/").iterdir()):
        if entry.is_symlink():
            arguments += ["--symlink", str(entry.readlink()), str(entry)]
        elif entry.name not in hidden:
            arguments += ["--ro-bind", str(entry), str(entry)]
    arguments += ["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
    for path, source in own.items():
        arguments += ["--bind" if writable else "--ro-bind", str(source), path]
    return [*arguments, "--remount-ro", "/"]


def run_as_image(target: str, command: Sequence[str], own: dict[str, Path], **environment: str) -> list[str]:
    """The command as a container of `target` runs it: read-only root, its user, its environment, no shell."""
    image = final(target)
    user, group = str(image.value("USER")).split(":")
    arguments = [*sandbox(own, writable=False), "--uid", user, "--gid", group, "--chdir", str(image.value("WORKDIR"))]
    for shell in {Path(found).resolve() for name in SHELLS if (found := shutil.which(name))}:
        arguments += ["--ro-bind", "/dev/null", str(shell)]
    arguments.append("--clearenv")
    for name, value in {**image.variables("ENV"), **environment}.items():
        arguments += ["--setenv", name, value]
    return [*arguments, "--", *command]


def replay(stage: str, folder: Path) -> dict[str, Path]:
    """Run the steps of a build stage except for system packages; return the folders that it created, by path."""
    own = {path: folder / path[1:] for path in ("/opt", "/src", "/wheel")}
    python = folder / "bin" / "python"
    for path in (*own.values(), python.parent):
        path.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    environment = {"PATH": f"{python.parent}:{os.environ['PATH']}"}
    for part in chain(stage):
        arguments = part.variables("ARG")
        for instruction, value in part.steps:
            if instruction == "COPY":
                *sources, target = value.split()
                for source in sources:
                    _copy(ROOT / source, own["/src"] / target if len(sources) == 1 else own["/src"] / Path(source).name)
            elif instruction == "RUN" and not value.startswith("apt-get"):
                command = words(value) if value.startswith("[") else ["sh", "-euc", value]
                where = [*sandbox({**own, str(python.parent): python.parent}, writable=True), "--chdir", "/src"]
                subprocess.run([*where, *command], env={**os.environ, **environment, **arguments}, check=True)
    return own


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    else:
        shutil.copy(source, target)


def _expand(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: variables[match[1]], text)


def entries(lock: Path) -> list[str]:
    """Pinned packages, each with its hashes on one line."""
    text = re.sub(r"^#.*\n", "", lock.read_text(), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
