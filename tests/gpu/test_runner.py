"""`make gpu` without a GPU, and its parts by commands and a GPU of the test's own."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.cuda import conftest
from tests.cuda.fake_cupy import Array, Make
from tests.gpu import __main__ as runner
from tests.gpu import bench

folder, make = conftest.folder, conftest.make  # fixtures
ABOUT = {"name": "Test GPU", "fanin": "0"}


def step(code: str, seconds: float = 30) -> runner.Step:
    return runner.Step("a step", seconds, [sys.executable, "-c", code])


def run(steps: dict[str, runner.Step], path: Path, budget: float = 60) -> tuple[bool, dict[str, Any], list[str]]:
    lines: list[str] = []
    passed = runner.run(ABOUT, steps, path, budget, lines.append)
    document: dict[str, Any] = json.loads(path.read_text())
    return passed, document["steps"], lines


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOGS", tmp_path / "logs")


def test_without_a_gpu_it_says_so_and_has_a_code_of_its_own() -> None:
    if runner.gpus():
        pytest.skip("this machine has a GPU")
    done = subprocess.run([sys.executable, "-m", "tests.gpu"], cwd=runner.ROOT, capture_output=True, text=True)
    assert done.returncode == 69
    assert done.stderr.startswith("no NVIDIA GPU")
    assert done.stdout == ""


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(runner, "gpus", lambda: 1)
    monkeypatch.setattr(runner, "PACKAGES", ("pytest", "not_installed_anywhere"))
    assert runner.main([]) == 78
    told = capsys.readouterr().err
    assert "missing: not_installed_anywhere" in told
    assert "pip install" in told


def test_an_unknown_step_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["parity", "everything"]) == 2
    assert "STEP: 'everything' is unknown; allowed: answer, " in capsys.readouterr().err


def test_every_step_is_stored_before_the_next_starts(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    check = f"import json; steps = json.load(open({str(path)!r}))['steps']; assert steps['first']['result'] == 'failed'"
    passed, steps, lines = run({"first": step("print('why'); exit(3)"), "second": step(check)}, path)
    assert not passed
    assert [one["result"] for one in steps.values()] == ["failed", "passed"]
    assert steps["first"]["output"] == "why\n"
    assert "    why" in lines


def test_a_step_that_hangs_is_ended_with_its_children_and_keeps_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, limit = tmp_path / "logs" / "hangs.log", 29

    class Hanging(subprocess.Popen[bytes]):
        """A process whose time limit is over when it has printed all, at any speed of the machine."""

        def wait(self, timeout: float | None = None) -> int:
            if timeout != limit:
                return super().wait(timeout)
            while "child" not in log.read_text():
                assert self.poll() is None
                time.sleep(0.01)
            raise subprocess.TimeoutExpired("a step", limit)

    monkeypatch.setattr(runner.subprocess, "Popen", Hanging)
    child = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    )
    row = {"distribution": "normal", "seconds": [1.0]}
    hang = step(
        child + f"print({json.dumps(row)!r}, flush=True); print('child', p.pid, flush=True); time.sleep(600)", limit
    )
    passed, steps, _ = run({"hangs": hang, "next": step("pass")}, tmp_path / "gpu.json", 600)
    assert not passed
    assert steps["hangs"]["result"] == "no time"
    assert steps["hangs"]["rows"] == [row]
    assert steps["next"]["result"] == "passed"
    number = log.read_text().split()[-1]
    state = Path(f"/proc/{number}/stat")
    for _ in range(500):  # until the system has taken note of the signal
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.01)
    pytest.fail("the child runs on")


def test_an_interrupted_step_keeps_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"distribution": "normal", "seconds": [1.0]}

    def interrupted(command: Any, seconds: float, log: Path) -> tuple[int | None, str]:
        log.write_text(json.dumps(row) + "\n")
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "process", interrupted)
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        runner.run(ABOUT, {"one": step("pass"), "two": step("pass")}, tmp_path / "gpu.json", 60, lines.append)
    steps = json.loads((tmp_path / "gpu.json").read_text())["steps"]
    assert [*steps] == ["one"]
    assert (steps["one"]["result"], steps["one"]["rows"]) == ("no time", [row])
    assert json.dumps([row], separators=(",", ":")) in lines


def test_torch_is_measured_on_the_stream_of_cupy_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.cuda.ExternalStream takes another stream in place of the null stream."""
    types = dict.fromkeys(("float32", "bfloat16", "float16", "float64"))
    cuda = SimpleNamespace(
        is_available=lambda: True, ExternalStream=lambda pointer: SimpleNamespace(cuda_stream=pointer or 7)
    )
    memory = SimpleNamespace(view=lambda dtype: memory, dtype=SimpleNamespace(itemsize=4))
    torch = SimpleNamespace(cuda=cuda, from_dlpack=lambda array: array, **types)
    monkeypatch.setitem(sys.modules, "torch", torch)  # type: ignore[arg-type]

    def cupy(pointer: int) -> Any:
        return SimpleNamespace(cuda=SimpleNamespace(get_current_stream=lambda: SimpleNamespace(ptr=pointer)))

    assert set(bench.torch_fills(cupy(64), memory, "F32")) == {"uniform", "normal", "truncated"}
    with pytest.raises(RuntimeError, match="does not use CuPy's stream"):
        bench.torch_fills(cupy(0), memory, "F32")


def test_without_time_earlier_results_stay(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    run({"one": step("pass")}, path)
    passed, steps, _ = run({"one": step("pass"), "two": step("pass")}, path, budget=runner.SHORTEST / 2)
    assert not passed
    assert {name: one["result"] for name, one in steps.items()} == {"one": "passed", "two": "no time"}


def test_a_step_with_skipped_tests_or_missing_peers_has_not_passed() -> None:
    line = "tests/cuda/test_gpu.py::test_arrays[F32] {} [ 50%]\n"
    skip = "SKIPPED [1] tests/cuda/test_gpu.py:9: this torch has no CUDA\n"
    mixed = runner.outcome(0, line.format("PASSED") + line.format("SKIPPED (no)") + skip)
    assert mixed == {"result": "incomplete", "passed": 1, "skipped": 1, "skips": ["this torch has no CUDA"]}
    assert runner.outcome(0, line.format("SKIPPED (no)") + skip)["result"] == "not run"
    assert runner.outcome(0, line.format("PASSED")) == {"result": "passed", "passed": 1}
    rows = [{"not measured": "cuRAND", "reason": "ImportError: no such library"}, {"maker": "fanin"}]
    bench = runner.outcome(0, "".join(f"{json.dumps(row)}\n" for row in rows))
    assert bench == {"result": "incomplete", "rows": rows, "skips": ["cuRAND: ImportError: no such library"]}
    assert runner.outcome(1, line.format("SKIPPED (no)") + skip)["result"] == "failed"


def test_an_incomplete_step_is_named_and_changes_the_exit_code(tmp_path: Path) -> None:
    printed = 'print("tests/a.py::t SKIPPED (no) [100%]"); print("SKIPPED [1] tests/a.py:9: no jax")'
    passed, steps, lines = run({"peer": step(printed)}, tmp_path / "gpu.json")
    assert not passed
    assert steps["peer"]["result"] == "not run"
    assert "    not run: no jax" in lines


def test_all_steps_fit_and_name_tests_that_exist() -> None:
    names = [word for one in runner.STEPS.values() for word in one.command if "::" in word]
    listed = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *names]
    done = subprocess.run(listed, cwd=runner.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert runner.BUDGET <= 8 * 60 - 15
    # Bits and speed come before the rest.
    assert sum(runner.STEPS[name].seconds for name in list(runner.STEPS)[:3]) <= runner.BUDGET / 1.5


def test_the_benchmark_measures_every_case(make: Make, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """On a fake GPU, so only the calls are tested, and that a peer that fails ends nothing."""
    fake, backend = make("eager")
    cuda = fake.cuda
    monkeypatch.setattr(cuda, "Event", lambda: SimpleNamespace(record=lambda: None, synchronize=lambda: None))
    monkeypatch.setattr(cuda, "get_elapsed_time", lambda start, stop: 2.0, raising=False)
    monkeypatch.setattr(cuda, "get_current_stream", lambda: SimpleNamespace(ptr=0), raising=False)
    monkeypatch.setattr(cuda.runtime, "deviceSynchronize", lambda: None, raising=False)

    def peer(cupy: Any, array: Array, dtype: str) -> dict[str, bench.Work]:
        return {"normal": lambda: None} if dtype == "F32" else {}

    def broken(cupy: Any, array: Array, dtype: str) -> dict[str, bench.Work]:
        raise RuntimeError("no such library")

    def empty(count: int, dtype: Any) -> Array:
        array = Array(fake, fake._allocate(count * dtype.itemsize).view(dtype))
        array.data = SimpleNamespace(ptr=array.data.ptr, memset_async=lambda value, size: None)
        return array

    monkeypatch.setattr(fake, "empty", empty)
    monkeypatch.setattr(bench, "PEERS", {"peer": peer, "broken": broken})
    bench.on_the_device(fake, backend, 64, 2, time.monotonic() + 60)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows.pop(0) == {"not measured": "broken", "reason": "RuntimeError: no such library"}
    makers = [(row["distribution"], row["dtype"], row["maker"]) for row in rows]
    assert len(set(makers)) == len(makers) == 2 * len(bench.DISTRIBUTIONS) * len(bench.DTYPES) + 1
    assert ("normal", "F32", "peer") in makers
    assert all(row["seconds"] == [0.002] * 2 for row in rows)


def test_the_page_shows_what_was_stored(tmp_path: Path) -> None:
    """A machine that was lost after two steps, with a GPU whose instructions limit normals and memory uniforms."""
    script = runpy.run_path(str(runner.ROOT / "docs" / "bench" / "gpu.py"))
    count = 10**9
    seconds = {"fanin": 2.5e-3, "set to zero": 2.2e-3, "torch.cuda": 5e-3}
    rows = [
        {"distribution": dist, "dtype": "F32", "maker": maker, "elements": count, "seconds": [value] * 5}
        for dist in ("uniform", "normal")
        for maker, value in seconds.items()
    ]
    printed = "".join(f"print({json.dumps(row)!r});" for row in rows)
    about = {"name": "Test", "fanin": "9", "cupy": "14", "runtime": 12090, "driver": 12090, "cuda": "12"}
    about |= {"architecture": "sm_90", "multiprocessors": 100, "clock_hz": 10**9}
    path = tmp_path / "test.json"
    runner.run(about, {"device": step(printed), "host": step("exit(1)")}, path, 60, lambda line: None)
    text = runner.section(json.loads(path.read_text()))
    instructions = script["counts"]()["counts"]["12 sm_90"]["normal_F32"][0]
    limit = 100 * 10**9 * 128 / instructions
    assert count / 2.5e-3 > limit  # impossible on a GPU, and so easy to tell from the other limit
    assert "| uniform F32 | 400.0 | 0.88 | **0.88** | **2.00** |" in text
    assert f"| normal F32 | 400.0 | 0.88 | **{count / 2.5e-3 / limit:.2f}** | **2.00** |" in text
    assert "| device | passed |" in text
    assert "| host | failed |" in text
