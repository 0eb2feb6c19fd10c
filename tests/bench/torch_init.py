"""How fast a model is filled, beside torch's own initialization of it.

    python -m tests.bench.torch_init [--layers 16] [--dtypes float32,bfloat16] [--distributions normal] [--repeats 3]
    python -m tests.bench.torch_init --small
    python -m tests.bench.torch_init --ranks 2 --layers 32 --dtypes bfloat16 --repeats 1

`--small` measures small tensors (`torch_small`), `--ranks` a sharded Llama (`torch_ranks`). Both can be given.

A decoder of a billion parameters (width 2048, 16 layers) on all CPUs of the process, in memory that has been written
before; medians of interleaved repeats, and the most memory beyond the model's that each takes.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fanin import FileLayout
from fanin.torch import init_
from fanin.torch.recorder.recording import DTYPES
from tests.bench import torch_ranks, torch_small

STD = 0.02


class Layer(nn.Module):
    def __init__(self, wide: int, hidden: int) -> None:
        super().__init__()
        self.q, self.o = (nn.Linear(wide, wide, bias=False) for _ in range(2))
        self.k, self.v = (nn.Linear(wide, wide // 4, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(wide, hidden, bias=False) for _ in range(2))
        self.down = nn.Linear(hidden, wide, bias=False)
        self.norms = nn.ModuleList([nn.RMSNorm(wide) for _ in range(2)])


class Decoder(nn.Module):
    def __init__(self, layers: int, wide: int = 2048, hidden: int = 5632, vocabulary: int = 64000) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, wide)
        self.layers = nn.ModuleList([Layer(wide, hidden) for _ in range(layers)])
        self.norm = nn.RMSNorm(wide)
        self.head = nn.Linear(wide, vocabulary, bias=False)


def recipe(model: nn.Module, scheme: dict[str, Any]) -> FileLayout:
    def distribution(tensor: torch.Tensor) -> dict[str, Any]:
        return scheme if tensor.ndim > 1 else {"scheme": "ones"}

    return FileLayout.of(
        {
            "tensors": {
                name: {"shape": list(tensor.shape), "dtype": DTYPES[tensor.dtype], **distribution(tensor)}
                for name, tensor in model.named_parameters()
            }
        }
    )


def torchs(model: nn.Module, initializer: Callable[[torch.Tensor], object]) -> None:
    for parameter in model.parameters():
        if parameter.ndim > 1:
            initializer(parameter)
        else:
            nn.init.ones_(parameter)


def memory(field: str) -> int:
    """Return the memory of this process in bytes: now (VmRSS), or its peak since the last reset (VmHWM)."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) << 10


def measured(work: Callable[[], object]) -> tuple[float, int]:
    """Seconds, and the most bytes beyond those before."""
    Path("/proc/self/clear_refs").write_text("5")
    before, started = memory("VmRSS"), time.perf_counter()
    work()
    return time.perf_counter() - started, memory("VmHWM") - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--distributions", default="normal,truncated_normal,uniform")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="measure small tensors instead")
    parser.add_argument("--ranks", type=int, default=0, help="measure a Llama on so many ranks instead")
    parser.add_argument("--ways", default="", help="of the Llama, measure the ways whose names contain this")
    chosen = parser.parse_args()
    if chosen.small:
        torch_small.measure()
    for name in chosen.dtypes.split(",") if chosen.ranks else ():
        torch_ranks.measure(chosen.ranks, chosen.layers, name, chosen.repeats, chosen.ways)
    if chosen.small or chosen.ranks:
        return
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    distributions: dict[str, tuple[dict[str, Any], Callable[[torch.Tensor], object]]] = {
        "normal": ({"scheme": "normal", "std": STD}, lambda tensor: nn.init.normal_(tensor, std=STD)),
        "truncated_normal": (
            {"scheme": "truncated_normal", "std": STD},
            lambda tensor: nn.init.trunc_normal_(tensor, std=STD, a=-2 * STD, b=2 * STD),
        ),
        "uniform": (
            {"scheme": "uniform", "low": -STD, "high": STD},
            lambda tensor: nn.init.uniform_(tensor, -STD, STD),
        ),
    }
    for name in chosen.dtypes.split(","):
        with torch.device("meta"):
            model = Decoder(chosen.layers).to(getattr(torch, name))
        model.to_empty(device="cpu")
        count = sum(parameter.numel() for parameter in model.parameters())
        for distribution in chosen.distributions.split(","):
            scheme, initializer = distributions[distribution]
            layout = recipe(model, scheme)
            works: dict[str, Callable[[], object]] = {
                "fanin": lambda model=model, layout=layout: init_(model, layout),
                "torch": lambda model=model, initializer=initializer: torchs(model, initializer),
            }
            found: dict[str, list[tuple[float, int]]] = {each: [] for each in works}
            for turn in range(chosen.repeats + 1):
                for each, work in works.items():
                    one = measured(work)
                    if turn:  # the first turn warms up
                        found[each].append(one)
            spent = {each: statistics.median(seconds for seconds, _ in values) for each, values in found.items()}
            peaks = {each: max(peak for _, peak in values) for each, values in found.items()}
            sys.stdout.write(
                f"{name}, {distribution}, {count / 1e9:.2f} billion parameters: fanin {spent['fanin']:.2f} s, torch"
                f" {spent['torch']:.2f} s ({spent['torch'] / spent['fanin']:.1f} times as fast);"
                f" beyond the model's memory {peaks['fanin'] >> 20} and {peaks['torch'] >> 20} MiB\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
