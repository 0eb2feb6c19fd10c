"""Measure and train every case on all CPUs, and return the figures as one JSON document."""

from __future__ import annotations

import multiprocessing
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from fanin.signals import interrupts_left_to_parent
from fanin_lab.compare.data import digits
from fanin_lab.compare.networks import Array, Network
from fanin_lab.compare.schemes import SCHEMES
from fanin_lab.compare.signals import SAMPLES, signals, spectra
from fanin_lab.compare.training import BATCH, MOMENTUM, Curves, train

SCHEMA = 1
"""Version of the JSON document. It increases when a field changes its meaning or is removed."""
TRIALS = 3
"""Number of seeds that select the learning rate."""
SPECTRUM = 17
"""Number of reported singular values, at equal steps of rank from the largest to the smallest."""
BAND = (0.1, 0.5, 0.9)
"""Quantiles over seeds: low end of the band, line, and high end."""
DIGITS = 4
"""Significant digits of a figure."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settings:
    """The cases of a study, and the options of its training."""

    networks: Sequence[str]
    activations: Sequence[str]
    depths: Sequence[int]
    schemes: Sequence[str]
    seeds: int
    rates: Sequence[float]
    epochs: int

    def cases(self) -> list[Case]:
        """Return every combination, in the order of the document."""
        return [
            Case(*each, self.seeds, tuple(self.rates), self.epochs)
            for each in product(self.networks, self.activations, self.depths, self.schemes)
        ]


@dataclass(frozen=True, slots=True)
class Case:
    """One scheme in one network."""

    network: str
    activation: str
    depth: int
    scheme: str
    seeds: int
    rates: tuple[float, ...]
    epochs: int


def study(settings: Settings, done: Callable[[Case], None]) -> Document:
    """Measure every case, with one process per CPU, and return the document.

    The document has no dates, so that equal figures give equal files. Each process has one thread, so that sums of
    matrix products have the same order with any number of CPUs.
    """
    cases = settings.cases()
    # Start the deepest cases first, because they take the longest.
    order = sorted(range(len(cases)), key=lambda place: -cases[place].depth)
    found: dict[int, dict[str, Any]] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(_cpus(), len(cases)), context, _begin) as pool:
        try:
            with interrupts_left_to_parent():
                results = pool.map(figures_of, [cases[place] for place in order])
            for place, figures in zip(order, results):
                found[place] = figures
                done(cases[place])
        except BaseException:
            # End the workers: a case can take minutes, and its figures are not used.
            for process in multiprocessing.active_children():
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {
        "schema": SCHEMA,
        "versions": {name: version(name) for name in ("fanin", "numpy", "scikit-learn")},
        "machine": {"architecture": platform.machine(), "blas": _blas()},
        "settings": {
            "seeds": settings.seeds,
            "rates": list(settings.rates),
            "epochs": settings.epochs,
            "batch": BATCH,
            "momentum": MOMENTUM,
            "trials": min(TRIALS, settings.seeds),
            "samples": SAMPLES,
            "band": [BAND[0], BAND[2]],
        },
        "schemes": {name: {"label": SCHEMES[name].label, "tensor": SCHEMES[name].tensor} for name in settings.schemes},
        "cases": [found[place] for place in range(len(cases))],
    }


def figures_of(case: Case) -> dict[str, Any]:
    """Return all figures of one case."""
    data, scheme, seeds = digits(), SCHEMES[case.scheme].tensor, range(case.seeds)
    network = Network(case.network, case.activation, case.depth)
    images = data.images[:SAMPLES]
    weights = network.weights(scheme, seeds, np.float64)
    with np.errstate(all="ignore"):  # overflow is part of the figures
        found = signals(network, weights, images, data.labels[:SAMPLES])
        singular = spectra(network, weights, images)
    ranks = np.linspace(0, singular.shape[1] - 1, SPECTRUM).round().astype(int)
    # The training loss selects the rate. Test images would make the accuracy too optimistic.
    trials = [train(network, scheme, seeds[:TRIALS], rate, case.epochs, data) for rate in case.rates]
    best = int(np.argmin([_reached(curves) for curves in trials]))
    curves = trials[best]
    if seeds[TRIALS:]:
        curves += train(network, scheme, seeds[TRIALS:], case.rates[best], case.epochs, data)
    return {
        "network": case.network,
        "activation": case.activation,
        "depth": case.depth,
        "scheme": case.scheme,
        "activations": _bands(found.activations),
        "gradients": _bands(found.gradients),
        "silent": int(found.silent.min()),
        "singular": _bands(singular[:, ranks]),
        "rate": case.rates[best],
        "loss": _bands(curves.loss),
        "accuracy": _bands(curves.accuracy),
        "units": _rounded(np.median(curves.units)),
    }


def _reached(curves: Curves) -> float:
    """Return the final loss, the median over seeds. An overflow counts as infinite."""
    return float(np.median(np.nan_to_num(curves.loss[:, -1], nan=np.inf)))


def _bands(values: Array) -> dict[str, list[float | None]]:
    """Return quantiles over the first axis, the seeds."""
    low, middle, high = np.quantile(np.nan_to_num(values, nan=np.inf), BAND, axis=0, method="nearest")
    return {
        name: [_rounded(value) for value in line] for name, line in (("low", low), ("median", middle), ("high", high))
    }


def _rounded(value: float) -> float | None:
    """Return a number for JSON; `None` if it overflowed."""
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None


def _begin() -> None:
    """Prepare a worker process: matrix products run in one thread."""
    threadpool_limits(1)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _blas() -> str:
    """Return the matrix library and its kernels for this processor, which decide the last bits of training."""
    found = [each for each in threadpool_info() if each["user_api"] == "blas"]
    return ", ".join(
        sorted({" ".join(str(each.get(key)) for key in ("internal_api", "version", "architecture")) for each in found})
    )
