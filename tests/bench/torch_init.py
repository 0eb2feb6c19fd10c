"""Time to fill a model, beside torch's own initialization of it.

    python -m tests.bench.torch_init [--only PART ...] [--repeats N] [--json FILE]

Parts: `model`, the default, is a decoder of a billion parameters (width 2048, 16 layers) on all CPUs of the process, in
memory that has been written before. The two run in turns, and the peak of memory beyond the model's is reported.
`small` is tensors and modules of few elements (`torch_small`). `ranks` is a Llama 8B that FSDP2 shards on two ranks
(`torch_ranks`); its weights take 16 GB in BF16.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fanin import FileLayout
from fanin.torch import init_
from fanin.torch.recorder.recording import FLOATING as DTYPES
from fanin_lab.bench import pairs
from tests.bench import command, torch_ranks, torch_small
from tests.support.processes import memory

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


def measured(work: Callable[[], object], peaks: list[int]) -> float:
    """Return the seconds of a work. Append its peak of memory in bytes, beyond the memory before."""
    Path("/proc/self/clear_refs").write_text("5")
    before, seconds = memory(), pairs.timed(work)()
    peaks.append(memory("VmHWM") - before)
    return seconds


def model(report: command.Report, layers: int, dtypes: list[str], chosen: list[str], repeats: int) -> None:
    """Report both times for each storage type and distribution."""
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
    for name in dtypes:
        with torch.device("meta"):
            decoder = Decoder(layers).to(getattr(torch, name))
        decoder.to_empty(device="cpu")
        count = sum(parameter.numel() for parameter in decoder.parameters())
        for distribution in chosen:
            scheme, initializer = distributions[distribution]
            layout = recipe(decoder, scheme)
            peaks: dict[str, list[int]] = {"fanin": [], "torch": []}
            works = {
                "fanin": partial(measured, partial(init_, decoder, layout), peaks["fanin"]),
                "torch": partial(measured, partial(torchs, decoder, initializer), peaks["torch"]),
            }
            times = pairs.in_turns(works, repeats)
            spent = {each: statistics.median(seconds) for each, seconds in times.items()}
            most = {each: max(found[1:]) for each, found in peaks.items()}  # without the turn that warms up
            ratio = pairs.ratio(times["torch"], times["fanin"])
            report.add(
                f"{name}, {distribution}, {count / 1e9:.2f} billion parameters: fanin {spent['fanin']:.2f} s, torch"
                f" {spent['torch']:.2f} s ({ratio.median:.1f} times as fast, {ratio.low:.1f} to {ratio.high:.1f});"
                f" beyond the model's memory {most['fanin'] >> 20} and {most['torch'] >> 20} MiB",
                dtype=name,
                distribution=distribution,
                parameters=count,
                seconds=times,
                bytes=most,
            )


def main() -> None:
    parser = command.parser(__doc__, ("model", "small", "ranks"), None)
    parser.set_defaults(only=["model"])
    parser.add_argument("--layers", type=int, help="layers of the model (16), or of the Llama (32)")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--distributions", nargs="+", default=["normal", "truncated_normal", "uniform"])
    parser.add_argument("--ranks", type=int, default=2, help="number of ranks")
    chosen, report = parser.parse_args(), command.Report()
    if "model" in chosen.only:
        model(report, chosen.layers or 16, chosen.dtypes, chosen.distributions, chosen.repeats or pairs.FEWEST)
    if "small" in chosen.only:
        torch_small.measure(report, chosen.repeats or 15)
    for name in chosen.dtypes if "ranks" in chosen.only else ():
        torch_ranks.measure(report, chosen.ranks, chosen.layers or 32, name, chosen.repeats or 1)
    report.write(chosen.json)


if __name__ == "__main__":
    main()
