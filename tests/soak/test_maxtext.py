"""MaxText trains on CPUs from the step 0 of docs/examples/maxtext_step_0.py.

It needs an environment of Python 3.12 with `pip install --group maxtext`.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fanin

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "maxtext_step_0.py"
pytestmark = [pytest.mark.soak("training"), pytest.mark.filterwarnings("ignore")]  # warnings of MaxText
SIZES = [
    *("base_emb_dim=64", "base_num_query_heads=4", "base_num_kv_heads=2", "base_mlp_dim=128", "head_dim=16"),
    *("base_num_decoder_layers=2", "vocab_size=256", "max_target_length=64", "dtype=float32"),
]
RUN = [
    *("dataset_type=synthetic", "hardware=cpu", "skip_jax_distributed_system=true", "log_config=false", "steps=6"),
    *("learning_rate=0.01", "learning_rate_schedule_steps=100", "warmup_steps_fraction=0", "sharding_tolerance=0.5"),
]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the arguments of a tiny model that trains on a CPU, and set the environment of MaxText without a cloud."""
    pytest.importorskip("maxtext", reason="needs an environment of Python 3.12 with pip install --group maxtext")
    monkeypatch.setenv("DECOUPLE_GCLOUD", "TRUE")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    found = importlib.util.find_spec("maxtext")
    assert found
    assert found.submodule_search_locations
    base = Path(found.submodule_search_locations[0], "configs", "decoupled_base_test.yml")
    return [str(base), *SIZES, *RUN, f"base_output_directory={tmp_path / 'out'}"]


def _run(devices: int, *arguments: str) -> str:
    """Run Python with these arguments and this number of devices; return the output."""
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def _curve(devices: int, *arguments: str) -> list[float]:
    """Train on four sequences in each step, and return the loss of each step."""
    batch = f"per_device_batch_size={4 // devices}"
    output = _run(devices, "-m", "maxtext.trainers.pre_train.train", *arguments, batch)
    printed = re.findall(r"completed step: (\d+), .*? loss: ([\d.]+)", output)
    assert [int(step) for step, _ in printed] == list(range(6))
    return [float(loss) for _, loss in printed]


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("maxtext_step_0", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_curve_on_one_device_and_on_two(config: list[str], tmp_path: Path) -> None:
    """The checkpoints of one device and of two have the bits of the recipe, and give one loss curve."""
    curves = {}
    for devices in (1, 2):
        target = str(tmp_path / f"step-0-{devices}")
        _run(devices, str(EXAMPLE), target, "7", *config)
        curves[devices] = _curve(devices, *config, f"load_parameters_path={target}")
    assert curves[1] == pytest.approx(curves[2], abs=2e-3)  # printed with three digits; sums differ in their last bits
    assert curves[1][-1] < curves[1][0]
    _run(1, str(EXAMPLE), str(tmp_path / "other"), "8", *config)
    assert abs(_curve(1, *config, f"load_parameters_path={tmp_path / 'other'}")[0] - curves[1][0]) > 2e-3

    from flax import nnx
    from maxtext.common.checkpointing import load_params_from_path

    for devices in (1, 2):
        shapes, recording = _example().recorded("7", config)
        made = fanin.materialize(recording.recipe)
        loaded = load_params_from_path(str(tmp_path / f"step-0-{devices}"), shapes, 8)
        leaves = {"/".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(loaded)}
        assert leaves.keys() == made.keys()
        for name, leaf in leaves.items():
            assert np.asarray(leaf[...]).tobytes() == made[name].tobytes(), name
