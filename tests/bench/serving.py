"""Time and memory of vLLM's loaders: dummy weights, safetensors from a disk, and the load format of Fanin.

    python -m tests.bench.serving [NAME] [TURNS]     # `make serving` first; by default smollm2-360m, 3 turns

The loaders take turns. The columns are medians:

- load: time and CPU time of `load_model` of the loader;
- peak: most memory of the process during that, beyond what it had before. It includes pages of a mapped file;
- ready: time until the engine takes requests.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from fanin.cli.main import main

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / os.environ.get("SERVING", "build/serving") / "bin" / "python"
LOADERS = ("dummy", "safetensors", "fanin")


def measure(name: str, turns: int, directory: str) -> None:
    """Print a row for each loader: medians of the turns."""
    assert main(["catalogue", name, "-o", directory]) == 0
    assert main(["make", f"{directory}/recipe.json", "--seed", "1", "-q", "-o", f"{directory}/model.safetensors"]) == 0
    found: dict[str, list[dict[str, float]]] = {loader: [] for loader in LOADERS}
    for _ in range(turns):
        for loader in LOADERS:
            case = {"model": directory, "load_format": loader, "dtype": "bfloat16"}
            done = subprocess.run(
                [PYTHON, ROOT / "tests" / "soak" / "vllm_runner.py"],
                input=json.dumps(case),
                env={**os.environ, "PYTHONPATH": "", "WITHOUT_DIGESTS": "1"},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            (line,) = (line for line in done.stdout.splitlines() if line.startswith("RESULT"))
            found[loader].append(json.loads(line.removeprefix("RESULT")))
    size = Path(directory, "model.safetensors").stat().st_size
    print(f"{name}, {size / 1e6:.0f} MB, {turns} turns, load average {os.getloadavg()[0]:.0f}")
    print("| loader | load, s | load, CPU s | peak, MB | ready, s |\n|---|---|---|---|---|")
    for loader, results in found.items():
        fields = ("load_seconds", "load_cpu_seconds", "peak_bytes", "ready_seconds")
        load, cpu, peak, ready = (statistics.median(each[field] for each in results) for field in fields)
        print(f"| `{loader}` | {load:.1f} | {cpu:.2f} | {peak / 1e6:.0f} | {ready:.0f} |")


if __name__ == "__main__":
    given = sys.argv[1:]
    with tempfile.TemporaryDirectory() as made:
        measure(given[0] if given else "smollm2-360m", int(given[1]) if len(given) > 1 else 3, made)
