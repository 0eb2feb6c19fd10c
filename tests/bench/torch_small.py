"""Time of small tensors: the calls of `fanin.torch.initializers` and `init_` beside torch's own, in turns.

CPU time of one thread. A ratio below 1 means that Fanin is faster. The median and the quartiles are those of the ratios
of the pairs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import fanin
from fanin import FileLayout
from fanin.torch import init_, seeded
from fanin.torch import initializers as init

CALLS: dict[str, dict[str, Any]] = {
    "normal_": {"std": 0.02},
    "uniform_": {"a": -0.1, "b": 0.1},
    "trunc_normal_": {"std": 0.02},
    "kaiming_uniform_": {"a": 5**0.5},
    "xavier_normal_": {},
    "zeros_": {},
    "constant_": {"val": 0.5},
}
PAIRS = 15
SHORT = 0.004
"""Least seconds of a measurement of calls, so that the clock's resolution does not matter."""


def seconds(work: Callable[[], object], times: int) -> float:
    """Seconds of a call, on average."""
    started = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - started) / times


def compared(title: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Write the time of each, and the ratio."""
    ours(), theirs()
    times = max(1, round(SHORT / max(seconds(theirs, 3), 1e-7)))
    pairs = [(seconds(ours, times), seconds(theirs, times)) for _ in range(PAIRS)]
    low, middle, high = statistics.quantiles([one / other for one, other in pairs], n=4)
    spent = [statistics.median(pair[side] for pair in pairs) * 1e6 for side in (0, 1)]
    sys.stdout.write(
        f"{title}: fanin {spent[0]:.1f} us, torch {spent[1]:.1f} us, ratio {middle:.2f} ({low:.2f} to {high:.2f})\n"
    )
    sys.stdout.flush()


def calls() -> None:
    """Compare single calls."""
    for sizes in ((16, 16), (64, 64), (256, 256)):
        tensor = nn.Parameter(torch.empty(sizes))
        for name, given in CALLS.items():
            stream = {} if name in ("zeros_", "constant_") else {"seed": 1, "name": "layers.3.mlp.weight"}
            ours, theirs = getattr(init, name), getattr(nn.init, name)
            compared(
                f"{name} of {tensor.numel()} elements",
                lambda ours=ours, given=given, stream=stream, tensor=tensor: ours(tensor, **given, **stream),
                lambda theirs=theirs, given=given, tensor=tensor: theirs(tensor, **given),
            )
        compared(
            f"fanin.he_normal of {tensor.numel()} elements",
            lambda sizes=sizes: fanin.he_normal(sizes, seed=1, name="layers.3.mlp.weight"),
            lambda sizes=sizes: nn.init.kaiming_normal_(torch.empty(sizes)),
        )


def modules() -> None:
    """Compare initializations of a model of a thousand linear layers of 16 x 16."""
    model = nn.Sequential(*[nn.Linear(16, 16) for _ in range(1000)])
    layers: list[nn.Linear] = list(model)  # type: ignore[arg-type]
    he = {"scheme": "he_uniform", "negative_slope": 5**0.5}
    tensors = {
        name: {"shape": list(tensor.shape), **(he if tensor.ndim > 1 else {"scheme": "fan_uniform", "fan": 16})}
        for name, tensor in model.named_parameters()
    }
    recipe = {"layout": "torch", "tensors": tensors}
    layout = FileLayout.of(recipe)
    one = FileLayout.of({"layout": "torch", "tensors": {name: tensors[f"0.{name}"] for name in ("weight", "bias")}})

    def torchs() -> None:
        for layer in layers:
            layer.reset_parameters()

    def one_by_one() -> None:
        with seeded(1, model):
            for layer in layers:
                init.kaiming_uniform_(layer.weight, a=5**0.5)
                init.uniform_(layer.bias, -0.25, 0.25)

    def apart() -> None:
        for layer in layers:
            init_(layer, one)

    compared("init_ of a thousand layers, from a layout", lambda: init_(model, layout), torchs)
    compared("init_ of a thousand layers, from a recipe", lambda: init_(model, recipe), torchs)
    compared("a thousand layers within seeded()", one_by_one, torchs)
    compared("init_ of each of a thousand layers, from a layout", apart, torchs)


def measure() -> None:
    """Write all comparisons."""
    torch.set_num_threads(1)
    calls()
    modules()
