"""Compare a checkpoint of step 0 by `fanin checkpoint` with the seed checkpoint that torchtitan writes itself.

    python -m tests.bench.seed_checkpoint [FLAVOR]    # debugmodel, 1B, 8B; needs pip install --group training

Each command runs once in a new directory, on CPUs. The checkpoints are F32, and are removed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.test_training import ROOT, write_assets

MODULE = """
import torch
from torchtitan.models.llama3 import model_registry
from torchtitan.models.llama3.config_registry import llama3_debugmodel

def config():
    config = llama3_debugmodel()
    config.model_spec = model_registry("{flavor}")
    return config

def build():
    model = model_registry("{flavor}").model.build()
    with torch.no_grad():
        model.init_weights(buffer_device=None)
    return model
"""
TITAN = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"),
    *(str(ROOT / "tests" / "soak" / "torchtitan_on_cpu.py"), "--module", "titan", "--config", "config"),
    *("--hf_assets_path", "tokenizer", "--dataloader.dataset_path", "data", "--dump_folder", "theirs"),
    *("--checkpoint.enable", "--checkpoint.create_seed_checkpoint"),
]
FANIN = [sys.executable, "-m", "fanin", "checkpoint", "torch", "titan:build", "--seed", "1", "-o", "ours", "-q"]


def measure(name: str, command: list[str], folder: Path) -> None:
    """Run a command and print its time and the peak memory of its largest process."""
    started = time.monotonic()
    running = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": "."}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(running.pid, 0)
    seconds = time.monotonic() - started
    cpu = used.ru_utime + used.ru_stime
    print(f"{name}: status {status}, {seconds:.1f} s, {cpu:.1f} s of CPUs, {used.ru_maxrss / 1024:.0f} MiB")


def main(flavor: str = "debugmodel") -> None:
    """Measure both ways for one size of Llama 3."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "titan.py").write_text(MODULE.format(flavor=flavor))
        write_assets(folder)
        measure("fanin", FANIN, folder)
        measure("torchtitan", TITAN, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
