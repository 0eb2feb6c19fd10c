"""Time and peak memory from nothing to a filled model: the trainer's own initialization, and Fanin's.

    python -m tests.bench.trainers [WAY ...]    # needs pip install --group training, --group deepspeed
    python -m tests.bench.trainers maxtext    # needs an environment with pip install --group maxtext

Each way runs in new processes, in turns with its counterpart. The model is a Llama of 217 million float32 parameters,
868 MB. Seconds are from the imported packages to the filled model, without the recording. The peak is the resident
memory of a process beyond that after the imports. With two ranks it is the larger one.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.processes import memory

ROOT = Path(__file__).parents[2]
TURNS = 3
SIZES = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 12, "vocab_size": 32000}


def llama() -> Callable[[], Any]:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**SIZES, num_attention_heads=16, tie_word_embeddings=False)
    return lambda: LlamaForCausalLM(config)


def transformers_own() -> Callable[[], object]:
    return llama()


def transformers_fanin() -> Callable[[], object]:
    from accelerate import init_empty_weights

    import fanin.torch

    build = llama()
    recording = fanin.torch.record(build, seed=1)

    def fill() -> object:
        with init_empty_weights():
            model = build()
        fanin.torch.init_(model, recording, device="cpu")
        return model

    return fill


def zero3(fill: bool) -> Callable[[], object]:
    import deepspeed

    import fanin.torch

    deepspeed.init_distributed(dist_backend="gloo")
    config = {"train_batch_size": 2, "zero_optimization": {"stage": 3}}
    build = llama()
    recording = fanin.torch.record(build, seed=1)

    def partition() -> object:
        with deepspeed.zero.Init(config_dict_or_path=config):
            model = build()
        if fill:
            fanin.torch.init_zero3_(model, recording)
        return model

    return partition


def flax_model() -> Any:
    from flax import nnx

    class Block(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            wide, hidden = SIZES["hidden_size"], SIZES["intermediate_size"]
            self.q, self.k, self.v, self.o = (nnx.Linear(wide, wide, use_bias=False, rngs=rngs) for _ in range(4))
            self.gate, self.up = (nnx.Linear(wide, hidden, use_bias=False, rngs=rngs) for _ in range(2))
            self.down = nnx.Linear(hidden, wide, use_bias=False, rngs=rngs)

    class Model(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.embedding = nnx.Embed(SIZES["vocab_size"], SIZES["hidden_size"], rngs=rngs)
            self.layers = nnx.List([Block(rngs) for _ in range(SIZES["num_hidden_layers"])])
            self.head = nnx.Linear(SIZES["hidden_size"], SIZES["vocab_size"], use_bias=False, rngs=rngs)

    return Model


def flax_own() -> Callable[[], object]:
    import jax
    from flax import nnx

    model = flax_model()
    return lambda: jax.block_until_ready(nnx.state(model(nnx.Rngs(0)), nnx.Param))


def flax_fanin() -> Callable[[], object]:
    import jax
    from flax import nnx

    import fanin.jax

    model = flax_model()
    recording = fanin.jax.record(lambda: nnx.state(model(nnx.Rngs(0)), nnx.Param), seed=1)

    def fill() -> object:
        _, shapes = nnx.split(nnx.eval_shape(lambda: model(nnx.Rngs(0))))
        return jax.block_until_ready(fanin.jax.init(shapes, recording))

    return fill


def maxtext_model() -> tuple[Any, Any]:
    """Return the function that initializes the model, and the model without memory."""
    import maxtext
    from flax.linen import logical_axis_rules
    from maxtext.configs import pyconfig
    from maxtext.utils.maxtext_utils import get_mesh_from_config
    from maxtext.utils.model_creation_utils import create_nnx_abstract_model

    (package,) = maxtext.__path__
    sizes = {
        "base_emb_dim": SIZES["hidden_size"],
        "base_mlp_dim": SIZES["intermediate_size"],
        "base_num_decoder_layers": SIZES["num_hidden_layers"],
        "vocab_size": SIZES["vocab_size"],
        "base_num_query_heads": 16,
        "base_num_kv_heads": 16,
        "head_dim": 64,
        "hardware": "cpu",
        "skip_jax_distributed_system": True,
        "log_config": False,
    }
    config = pyconfig.initialize(["maxtext", f"{package}/configs/decoupled_base_test.yml"], **sizes)
    with logical_axis_rules(config.logical_axis_rules):
        return create_nnx_abstract_model(config, get_mesh_from_config(config))


def maxtext_own() -> Callable[[], object]:
    import jax
    from flax import nnx
    from maxtext.utils.maxtext_utils_nnx import create_nnx_sharded_model

    create, abstract = maxtext_model()
    return lambda: jax.block_until_ready(nnx.state(create_nnx_sharded_model(abstract, create), nnx.Param))


def maxtext_fanin() -> Callable[[], object]:
    import jax
    from flax import nnx

    import fanin.jax

    create, abstract = maxtext_model()
    recording = fanin.jax.record(lambda: nnx.state(create(), nnx.Param), seed=1)
    return lambda: jax.block_until_ready(fanin.jax.init(nnx.state(abstract, nnx.Param), recording))


WAYS: dict[str, dict[str, Callable[[], Callable[[], object]]]] = {
    "transformers": {"own": transformers_own, "fanin": transformers_fanin},
    "deepspeed": {"own": lambda: zero3(fill=False), "fanin": lambda: zero3(fill=True)},
    "flax": {"own": flax_own, "fanin": flax_fanin},
    "maxtext": {"own": maxtext_own, "fanin": maxtext_fanin},
}


def work(way: str, side: str) -> None:
    """Fill one model, and print seconds and bytes."""
    fill = WAYS[way][side]()
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before, started = memory(), time.perf_counter()
    kept = fill()
    print("measured", time.perf_counter() - started, memory("VmHWM") - before, flush=True)
    del kept


def run(way: str, side: str) -> tuple[float, int]:
    command = [sys.executable, "-m", "tests.bench.trainers", "--work", way, side]
    if way == "deepspeed":
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
        command[1:2] = launch
    environment = {**os.environ, "DS_ACCELERATOR": "cpu", "JAX_PLATFORMS": "cpu", "DECOUPLE_GCLOUD": "TRUE"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=900)
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("measured ")]
    return max(float(seconds) for seconds, _ in found), max(int(size) for _, size in found)


def main(chosen: list[str]) -> None:
    for way in chosen or [way for way in WAYS if way != "maxtext"]:
        turns = [{side: run(way, side) for side in ("own", "fanin")} for _ in range(TURNS)]
        print(json.dumps({way: turns}), flush=True)
        for side in ("own", "fanin"):
            seconds, sizes = zip(*(turn[side] for turn in turns), strict=True)
            print(f"{way} {side}: {statistics.median(seconds):.2f} s, {statistics.median(sizes) / 1e9:.2f} GB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
    else:
        main(sys.argv[1:])
