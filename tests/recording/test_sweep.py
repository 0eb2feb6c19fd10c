"""A sample of the sweep over all models: see tests/soak/test_recorded_models.py for the rest."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from tests.recording.sweep.collections import COLLECTIONS
from tests.recording.sweep.judging import Case, judged
from tests.recording.sweep.ordinary import WAYS

REFUSED = {
    "a probe through a norm",
    "an orthogonal parametrization",
    "bernoulli",
    "cauchy",
    "clamped normal",
    "exponential",
    "kronecker",
    "log normal",
    "masked",
    "numpy written",
    "permuted",
    "product of two",
    "quantized scales",
    "repeated rows",
    "rows of unit norm",
    "scaled to unit variance by data",
    "sum of two",
    "svd of a draw",
}
"""Initializations that no recipe describes, or whose memory is read as numbers before it is written."""


def test_ordinary_ways_to_initialize() -> None:
    verdicts = [judged(Case(name, build)) for name, build in WAYS.items()]
    assert {verdict.name for verdict in verdicts if verdict.said == "refused"} == REFUSED
    assert [verdict for verdict in verdicts if verdict.said not in ("refused", "compared")] == []
    assert len(verdicts) > 80


def test_a_sample_of_torchs_modules() -> None:
    verdicts = [judged(case) for case in itertools.islice(COLLECTIONS["torch.nn"](), 2, None, 4)]
    assert [verdict for verdict in verdicts if verdict.said in ("wrong", "crashed")] == []
    assert sum(verdict.said == "compared" for verdict in verdicts) > len(verdicts) / 2


def test_a_wrong_distribution_is_found() -> None:
    """The recorded model differs from the model that is run."""
    runs = iter(range(10))

    def build() -> nn.Module:
        layer = nn.Linear(40, 50)
        nn.init.normal_(layer.weight, std=0.1 if next(runs) else 0.2)
        return layer

    verdict = judged(Case("other", build))
    assert verdict.said == "wrong"
    assert verdict.detail.startswith("weight: p = ")
    values = iter(range(10))
    counted = judged(Case("counted", lambda: _with_buffer(float(next(values)))))
    assert (counted.said, counted.detail) == ("wrong", "count: other values")


def _with_buffer(value: float) -> nn.Module:
    module = nn.Module()
    module.register_buffer("count", torch.full((3,), value))
    return module
