"""Test the `cuda` backend on an NVIDIA GPU, measure it, and write docs/bench/<gpu>.json and docs/gpu.md.

    python -m tests.gpu [STEP ...]    # or: make gpu

It takes at most 8 minutes. Each step has a time limit, and its result is stored before the next one starts. The most
important steps come first, so that a machine that is lost early has given them. Steps of an earlier run that are not
run again stay. Nothing is downloaded.

Exit codes:

- 0: all steps passed in full
- 1: a step failed, had no time, or is incomplete
- 69: no NVIDIA GPU
- 78: a Python package is missing, CuPy cannot use the GPU, or the native kernels were not built

make prints a code other than 0, as in `Error 69`, and exits with 2 itself.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
STORE = ROOT / "docs" / "bench"
LOGS = ROOT / "build" / "gpu"
PAGE = ROOT / "docs" / "bench" / "gpu.py"
BUDGET = 460.0
"""Seconds of all steps together. Writing the pages takes a few more."""
SHORTEST = 10.0
"""Seconds that must be left for a step to start."""
NO_GPU, NO_PACKAGE = 69, 78
PACKAGES = ("fanin", "fanin_lab", "fanin_service", "cupy", "pytest", "hypothesis", "fastapi", "uvicorn")
INSTALL = f"""\
    {sys.executable} -m pip install --editable '.[service,cuda12]' 'pytest>=8.2' hypothesis nvidia-curand-cu12
or, with a driver of CUDA 13,
    {sys.executable} -m pip install --editable '.[service,cuda13]' 'pytest>=8.2' hypothesis nvidia-curand
with a C compiler, for the kernels to compare with. Another Python: make gpu GPU_PYTHON=/path/to/python.
Without torch with CUDA and jax[cuda12] or jax[cuda13], steps that use them are incomplete."""


class Step(NamedTuple):
    """One process, and the most seconds it may take."""

    about: str
    seconds: float
    command: Sequence[str]


def tests(*names: str) -> list[str]:
    """Return the command that runs these tests. A warning of another package is not an error here."""
    chosen = [f"tests/cuda/test_gpu.py::{name}" for name in names]
    return [
        sys.executable,
        "-m",
        "pytest",
        "-vrs",
        "--color=no",
        "-p",
        "no:cacheprovider",
        "-W",
        "default",
        "--tb=short",
        *chosen,
    ]


def bench(what: str, seconds: float) -> list[str]:
    """Return the command that measures; it hurries once the time is half over."""
    return [sys.executable, "-m", "tests.gpu.bench", what, "--seconds", str(seconds / 2)]


STEPS = {
    "answer": Step(
        "the known answer of every draw; pinned memory", 60, tests("test_known_answer", "test_pinned_memory")
    ),
    "parity": Step("every draw and type", 90, tests("test_every_case", "test_a_constant")),
    "device": Step("speed on the GPU", 90, bench("device", 90)),
    "composed": Step("composed draws and complex numbers", 40, tests("test_composed_draws")),
    "orthogonal": Step("orthogonal matrices", 60, tests("test_orthogonal_matrices")),
    "dlpack": Step("arrays in torch and JAX", 60, tests("test_arrays", "test_dlpack_to_torch", "test_dlpack_to_jax")),
    "host": Step("speed to host memory", 60, bench("host", 60)),
    "service": Step("the service with the GPU", 60, tests("test_the_service")),
    "beyond": Step("more than 2^32 elements", 90, tests("test_beyond_32_bits")),
    "sizes": Step("sizes around powers of two", 120, tests("test_sizes_around_powers_of_two")),
}


def gpus() -> int:
    """Return how many GPUs the driver has. This needs no package."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    return count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0


def missing() -> list[str]:
    """Return the packages that no step can do without."""
    return [name for name in PACKAGES if not find_spec(name)]


def process(command: Sequence[str], seconds: float, log: Path) -> tuple[int | None, str]:
    """Return exit code and output of a command; None for the code if it took too long. Its children end with it."""
    with log.open("w+", encoding="utf-8", errors="replace") as output:
        running = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
        try:
            code: int | None = running.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            code = None
        finally:  # also if this process is interrupted
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # a process within a hung driver does not end
                running.wait(5)
        output.seek(0)
        return code, output.read()


def outcome(code: int | None, output: str) -> dict[str, Any]:
    """Return the stored form of a result: its verdict, counts of tests, rows of measurements, reasons of omissions."""
    found: dict[str, Any] = {"result": "no time" if code is None else "failed" if code else "passed"}
    rows = []
    for line in output.splitlines():
        with suppress(ValueError):
            if line.startswith("{"):
                rows.append(json.loads(line))
    if rows:
        found["rows"] = rows
    reasons = {f"{row['not measured']}: {row['reason']}" for row in rows if "not measured" in row}
    for name in ("PASSED", "FAILED", "SKIPPED"):
        if count := len(re.findall(rf"^tests/\S+.* {name}\b", output, re.MULTILINE)):
            found[name.lower()] = count
    reasons |= set(re.findall(r"^SKIPPED \[\d+\] \S+: (.*)$", output, re.MULTILINE))
    if reasons:
        found["skips"] = sorted(reasons)
    if found["result"] == "passed" and (reasons or found.get("skipped")):
        # A missing package or an unusable peer must not count as passed.
        found["result"] = "incomplete" if found.get("passed") or rows else "not run"
    if found["result"] in ("failed", "no time"):
        found["output"] = output[-4000:]
    return found


def stored(path: Path) -> dict[str, Any]:
    """Return what earlier runs on this kind of GPU stored."""
    if not path.exists():
        return {"steps": {}}
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document


def store(path: Path, document: dict[str, Any]) -> None:
    """Write the document in place of the old one, at once."""
    steps = ",\n".join(f"  {json.dumps(name)}: {_lines(step)}" for name, step in document["steps"].items())
    text = f'{{\n "gpu": {json.dumps(document["gpu"])},\n "steps": {{\n{steps}\n }}\n}}\n'
    new = path.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(path)


def _lines(step: dict[str, Any]) -> str:
    """Return a step as JSON with a line for each row."""
    head = json.dumps({name: value for name, value in step.items() if name != "rows"})
    if "rows" not in step:
        return head
    return head[:-1] + ', "rows": [\n   ' + ",\n   ".join(map(json.dumps, step["rows"])) + "\n  ]}"


def run(
    about: dict[str, Any],
    steps: dict[str, Step],
    path: Path,
    budget: float = BUDGET,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> bool:
    """Run the steps in order, store the result of each, and return whether all passed in full."""
    LOGS.mkdir(parents=True, exist_ok=True)
    document = stored(path)
    document["gpu"] = about
    deadline, passed = time.monotonic() + budget, True
    interrupt: KeyboardInterrupt | None = None
    for name, step in steps.items():
        started, left = time.monotonic(), deadline - time.monotonic()
        if left < SHORTEST:
            found: dict[str, Any] = {"result": "no time"}
        else:
            say(f"{name}: {step.about}, at most {min(step.seconds, left):.0f} s")
            log = LOGS / f"{name}.log"
            try:
                found = outcome(*process(step.command, min(step.seconds, left), log))
            except KeyboardInterrupt as error:
                interrupt = error
                found = outcome(None, log.read_text("utf-8", "replace"))
        found |= {
            "seconds": round(time.monotonic() - started, 1),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "fanin": about["fanin"],
        }
        passed &= found["result"] == "passed"
        if found["result"] != "no time" or "rows" in found or name not in document["steps"]:
            document["steps"][name] = found
            store(path, document)
            if "rows" in found:  # also where the machine is lost before anyone copies its files
                say(json.dumps(found["rows"], separators=(",", ":")))
        if interrupt:
            raise interrupt
        counts = ", ".join(f"{found[key]} {key}" for key in ("passed", "failed", "skipped") if key in found)
        say(f"{name}: {found['result']} in {found['seconds']} s {counts}".rstrip())
        for line in (
            *(f"not run: {each}" for each in found.get("skips", ())),
            *found.get("output", "").splitlines()[-15:],
        ):
            say(f"    {line}")
    return passed


def section(document: dict[str, Any]) -> str:
    """Return the section of docs/gpu.md with these results."""
    return "\n".join(runpy.run_path(str(PAGE))["section"](document))


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in STEPS]:
        print(f"STEP: {unknown[0]!r} is unknown; allowed: {', '.join(STEPS)}", file=sys.stderr)
        return 2
    if not gpus():
        print("no NVIDIA GPU: its driver is not loaded here, or shows no device. Nothing was run.", file=sys.stderr)
        return NO_GPU
    if packages := missing():
        print(f"these packages are missing: {', '.join(packages)}. Install them by\n{INSTALL}", file=sys.stderr)
        return NO_PACKAGE
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, signal.default_int_handler)
    LOGS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    code, output = process([sys.executable, "-m", "tests.gpu.probe"], 90, LOGS / "probe.log")
    if code != 0:
        reason = "the driver did not answer in 90 s" if code is None else "\n".join(output.strip().splitlines()[-15:])
        print(f"this GPU cannot be tested:\n{reason}\nInstall what is missing by\n{INSTALL}", file=sys.stderr)
        return NO_PACKAGE
    about = json.loads(output.splitlines()[-1])
    path = STORE / f"{re.sub('[^a-z0-9]+', '-', about['name'].lower()).strip('-')}.json"
    print(f"{about['name']}, CuPy {about['cupy']}: results in {path.relative_to(ROOT)}", flush=True)
    steps = {name: step for name, step in STEPS.items() if not names or name in names}
    try:
        passed = run(about, steps, path, BUDGET - (time.monotonic() - started))
    except KeyboardInterrupt:
        print("interrupted; the finished steps are stored", file=sys.stderr)
        passed = False
    finally:
        if path.exists():
            subprocess.run([sys.executable, str(PAGE)], cwd=ROOT, timeout=30, check=False)
            # Also where the machine is gone before anyone copies its files.
            print(section(stored(path)), flush=True)
    print(f"{path.relative_to(ROOT)} has everything; python docs/bench/gpu.py writes docs/gpu.md from it")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
