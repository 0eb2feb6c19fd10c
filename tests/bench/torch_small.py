"""Time of small tensors: the calls of `fanin.torch.initializers` and `init_` beside torch's own, in turns.

CPU time of one thread. A ratio below 1 means that Fanin is faster: the median of the ratios of the turns, with its
interval (fanin_lab/bench/pairs.py).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

import fanin
from fanin import FileLayout
from fanin.torch import init_, seeded
from fanin.torch import initializers as init
from fanin_lab.bench import pairs
from tests.bench.command import Report

Work = Callable[[], object]
Compare = Callable[[str, Work, Work], None]
"""Reports a comparison with this title, of our work with torch's."""

CALLS: dict[str, dict[str, Any]] = {
    "normal_": {"std": 0.02},
    "uniform_": {"a": -0.1, "b": 0.1},
    "trunc_normal_": {"std": 0.02},
    "kaiming_uniform_": {"a": 5**0.5},
    "xavier_normal_": {},
    "zeros_": {},
    "constant_": {"val": 0.5},
}
SHORT = 0.004
"""Least seconds of a measurement of calls, so that the clock's resolution does not matter."""


def repeated(work: Work, times: int) -> Work:
    """Return a function that calls the work this number of times."""

    def run() -> None:
        for _ in range(times):
            work()

    return run


def compared(report: Report, repeats: int, title: str, ours: Work, theirs: Work) -> None:
    """Report the time of each, and the ratio."""
    theirs()  # loads code
    times = max(1, round(3 * SHORT / max(pairs.timed(repeated(theirs, 3), time.thread_time)(), 1e-7)))
    works = {name: pairs.timed(repeated(work, times), time.thread_time) for name, work in (("f", ours), ("t", theirs))}
    found = pairs.in_turns(works, repeats)
    ratio = pairs.ratio(found["f"], found["t"])
    spent = [statistics.median(seconds) / times * 1e6 for seconds in found.values()]
    report.add(
        f"{title}: fanin {spent[0]:.1f} us, torch {spent[1]:.1f} us,"
        f" ratio {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" + (ratio.doubt and f", {ratio.doubt}"),
        case=title,
        fanin_us=spent[0],
        torch_us=spent[1],
        ratio=ratio.median,
        low=ratio.low,
        high=ratio.high,
    )


def calls(compare: Compare) -> None:
    """Compare single calls."""
    for sizes in ((16, 16), (64, 64), (256, 256)):
        tensor = nn.Parameter(torch.empty(sizes))
        for name, given in CALLS.items():
            stream = {} if name in ("zeros_", "constant_") else {"seed": 1, "name": "layers.3.mlp.weight"}
            ours, theirs = getattr(init, name), getattr(nn.init, name)
            compare(
                f"{name} of {tensor.numel()} elements",
                lambda ours=ours, given=given, stream=stream, tensor=tensor: ours(tensor, **given, **stream),
                lambda theirs=theirs, given=given, tensor=tensor: theirs(tensor, **given),
            )
        compare(
            f"fanin.he_normal of {tensor.numel()} elements",
            lambda sizes=sizes: fanin.he_normal(sizes, seed=1, name="layers.3.mlp.weight"),
            lambda sizes=sizes: nn.init.kaiming_normal_(torch.empty(sizes)),
        )


def modules(compare: Compare) -> None:
    """Compare initializations of a model of a thousand linear layers of 16 x 16."""
    layers = [nn.Linear(16, 16) for _ in range(1000)]
    model = nn.Sequential(*layers)
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

    compare("init_ of a thousand layers, from a layout", lambda: init_(model, layout), torchs)
    compare("init_ of a thousand layers, from a recipe", lambda: init_(model, recipe), torchs)
    compare("a thousand layers within seeded()", one_by_one, torchs)
    compare("init_ of each of a thousand layers, from a layout", apart, torchs)


def measure(report: Report, repeats: int) -> None:
    """Report all comparisons, of one thread."""
    torch.set_num_threads(1)
    calls(partial(compared, report, repeats))
    modules(partial(compared, report, repeats))
