"""Time and memory of the initialization of a Llama model that FSDP2 shards, on ranks of gloo on this machine.

Every way begins with a sharded model on the meta device, allocates its memory, and initializes it:

- `reset`: `to_empty`, then torch's own `reset_parameters` of each module, on DTensors.
- `titan`: `to_empty`, then the distributions of torchtitan's `init_weights` of Llama 3, by `torch.nn.init` on DTensors.
- `fanin`: `fanin.torch.init_` with a recipe of the distributions of `titan`, or of `reset`.

On a mesh of CPUs, torch's DTensors have no tracker of random numbers: each rank draws its shard from its own generator.
"""

from __future__ import annotations

import gc
import os
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from fanin import FileLayout
from fanin.torch import init_
from fanin.torch.recorder.recording import FLOATING as DTYPES
from fanin.torch.writable import local
from tests.bench.command import Report
from tests.support.processes import memory
from tests.torch import ranks

LLAMA_8B = {"wide": 4096, "hidden": 14336, "key": 1024, "vocabulary": 128256}
SMALL = {"wide": 64, "hidden": 96, "key": 16, "vocabulary": 256}
STD = 0.02
Found = tuple[int, int, dict[str, list[tuple[float, int]]]]
"""Parameters of the model, bytes of a rank's shard, and of each way the seconds and the most bytes beyond the shard."""


class Block(nn.Module):
    """One layer, with the names of torchtitan."""

    def __init__(self, wide: int, hidden: int, key: int) -> None:
        super().__init__()
        self.wq, self.wo = (nn.Linear(wide, wide, bias=False) for _ in range(2))
        self.wk, self.wv = (nn.Linear(wide, key, bias=False) for _ in range(2))
        self.w1, self.w3 = (nn.Linear(wide, hidden, bias=False) for _ in range(2))
        self.w2 = nn.Linear(hidden, wide, bias=False)
        self.attention_norm, self.ffn_norm = (nn.RMSNorm(wide) for _ in range(2))


class Llama(nn.Module):
    def __init__(self, layers: int, wide: int, hidden: int, key: int, vocabulary: int) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(vocabulary, wide)
        self.layers = nn.ModuleList([Block(wide, hidden, key) for _ in range(layers)])
        self.norm = nn.RMSNorm(wide)
        self.output = nn.Linear(wide, vocabulary, bias=False)


def sharded(layers: int, dtype: torch.dtype, sizes: dict[str, int]) -> Llama:
    """A model on the meta device, with each layer and the root sharded by rows."""
    with torch.device("meta"):
        model = Llama(layers, **sizes).to(dtype)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def titan(name: str, wide: int) -> tuple[float, float] | None:
    """Standard deviation and bound of a weight in torchtitan's Llama 3 with `depth_init`; `None` for a norm."""
    if name == "output.weight":
        return wide**-0.5, 3 * wide**-0.5
    if found := re.fullmatch(r"layers\.(\d+)\.(w.)\.weight", name):
        is_first = found[2] in ("wq", "wk", "wv", "w1")
        return STD if is_first else STD / (2 * (int(found[1]) + 1)) ** 0.5, 2.0
    return None


def titan_(model: Llama, wide: int) -> None:
    model.to_empty(device="cpu")
    nn.init.normal_(model.tok_embeddings.weight)
    for name, parameter in model.named_parameters():
        if chosen := titan(name, wide):
            std, bound = chosen
            nn.init.trunc_normal_(parameter, mean=0.0, std=std, a=-bound, b=bound)
        elif "norm" in name:
            nn.init.ones_(parameter)


def reset_(model: Llama) -> None:
    model.to_empty(device="cpu")
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def layout(model: Llama, wide: int, is_titan: bool) -> FileLayout:
    """The recipe of torchtitan's distributions, or of those of `reset_parameters`."""

    def distribution(name: str) -> dict[str, Any]:
        if "norm" in name:
            return {"scheme": "ones_"}
        if name == "tok_embeddings.weight":
            return {"scheme": "normal_"}
        if is_titan and (chosen := titan(name, wide)):
            return {"scheme": "trunc_normal_", "std": chosen[0], "a": -chosen[1], "b": chosen[1]}
        return {"scheme": "kaiming_uniform_", "a": 5**0.5}

    tensors = {
        name: {"shape": list(parameter.shape), "dtype": DTYPES[parameter.dtype], **distribution(name)}
        for name, parameter in model.named_parameters()
    }
    return FileLayout.of({"seed": 1, "dialect": "torch", "tensors": tensors})


WAYS: dict[str, Callable[[Llama, FileLayout, int], object]] = {
    "fanin, distributions of reset": lambda model, given, wide: init_(model, given),
    "torch, reset": lambda model, given, wide: reset_(model),
    "fanin, distributions of titan": lambda model, given, wide: init_(model, given),
    "torch, titan": lambda model, given, wide: titan_(model, wide),
}


def work(layers: int, dtype: torch.dtype, repeats: int) -> Found:
    """Measure each way in this rank."""
    warnings.filterwarnings("ignore", message="DTensor random operators")
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[dist.get_rank() % len(cpus)]})  # torch has one thread here, and so has Fanin
    found: dict[str, list[tuple[float, int]]] = {way: [] for way in WAYS}
    count = shard = 0
    for turn in range(repeats + 1):  # the first, of a small model, loads code
        sizes, number = (LLAMA_8B, layers) if turn else (SMALL, 1)
        for way in WAYS:
            gc.collect()  # FSDP's modules and the previous model refer to one another
            model = sharded(number, dtype, sizes)
            given = layout(model, sizes["wide"], "titan" in way)
            count = sum(parameter.numel() for parameter in model.parameters())
            torch.manual_seed(1 + dist.get_rank())
            dist.barrier()
            Path("/proc/self/clear_refs").write_text("5")
            before, started = memory(), time.perf_counter()
            WAYS[way](model, given, sizes["wide"])
            spent = time.perf_counter() - started
            most = memory("VmHWM") - before
            dist.barrier()
            shard = sum(local(parameter).nbytes for parameter in model.parameters())
            del model
            if turn:
                found[way].append((spent, most - shard))
    return count, shard, found


def measure(report: Report, world: int, layers: int, dtype: str, repeats: int) -> None:
    """Report the time of the slowest rank and its memory, for each way."""
    ranks.TIMEOUT = 3600
    answers = ranks.run(world, work, layers, getattr(torch, dtype), repeats)
    count, shard, _ = answers[0]
    report.add(
        f"Llama 8B with {layers} of 32 layers, {dtype}: {count / 1e9:.2f} billion parameters; {world} ranks,"
        f" each of one thread; FSDP2, {shard / 2**30:.2f} GiB a rank"
    )
    for way in WAYS:
        times = [max(found[way][turn][0] for *_, found in answers) for turn in range(repeats)]
        most = max(extra for *_, found in answers for _, extra in found[way])
        spread = "" if repeats == 1 else f" ({min(times):.2f} to {max(times):.2f})"
        report.add(
            f"{way}: {sorted(times)[len(times) // 2]:.2f} s{spread}, {most / 2**20:.0f} MiB beyond the shard",
            way=way,
            dtype=dtype,
            ranks=world,
            layers=layers,
            seconds=times,
            bytes_beyond=most,
        )
