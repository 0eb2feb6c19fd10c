"""A dialect means what its library means: the library itself is run, and its values follow the law of our draw."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

import fanin
from fanin import RecipeError
from fanin.dialects import DIALECTS, KERAS_ALIASES
from fanin.draws import Draw, Normal, TruncatedNormal, Uniform
from tests.peers.cases import CASES

MIN_P, MAX_Z = 1e-6, 5.0


def law(draw: Draw) -> Any:
    """SciPy's distribution, without the roundings."""
    match draw:
        case Uniform(center, half_width):
            return stats.uniform(center - half_width, 2 * half_width)
        case Normal(mean, std):
            return stats.norm(mean, std)
        case TruncatedNormal(mean, std, low, high):
            return stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)
    raise TypeError(f"not a random draw: {draw!r}")


def faults(values: NDArray[Any], exact: Any, ends: tuple[float, float]) -> list[str]:
    """In what a sample is not of this law: support, mean, standard deviation, kurtosis, quantiles (Kolmogorov)."""
    count = values.size
    mean, variance, _, excess = (float(each) for each in exact.stats("mvsk"))
    scaled = (values.astype(np.float64).reshape(-1) - mean) / variance**0.5
    eighth = float(stats.truncnorm.moment(8, *ends)) if np.isfinite(ends).all() else 105.0
    spread = {"mean": 1.0, "std": excess + 2, "kurtosis": eighth}
    found = {
        "mean": scaled.mean(),
        "std": (scaled**2).mean() - 1,
        "kurtosis": (scaled**4).mean() - excess - 3,
    }
    wrong = [f"{name}: {found[name]:.3g}" for name in found if abs(found[name]) > MAX_Z * (spread[name] / count) ** 0.5]
    low, high = exact.support()
    slack = 1e-6 * variance**0.5  # float32
    if not (low - slack <= values.min() and values.max() <= high + slack):
        wrong.append(f"support: [{values.min()}, {values.max()}] of [{low}, {high}]")
    p = stats.kstest(scaled, lambda x: exact.cdf(x * variance**0.5 + mean)).pvalue
    return [*wrong, *([f"KS: p = {p:.2g}"] if p < MIN_P else [])]


@pytest.mark.parametrize("library", list(CASES))
def test_follows_the_library(library: str, tmp_path: Path) -> None:
    if not find_spec(library):
        pytest.skip(f"{library} is not installed: pip install --group oracles")
    cases = CASES[library]
    script = Path(__file__).with_name("sample.py")
    subprocess.run([sys.executable, script, library, json.dumps(cases), tmp_path / "out.npz"], check=True)
    wrong = []
    with np.load(tmp_path / "out.npz") as samples:
        for (dialect, name, parameters, shape), sample in zip(cases, samples.values(), strict=True):
            recipe = fanin.as_recipe({"dialect": dialect, "scheme": name, "shape": shape, **parameters})
            draw = recipe.tensors["weight"].draw
            ours = fanin.materialize(recipe)["weight"]
            if isinstance(draw, Uniform | Normal | TruncatedNormal):
                exact = law(draw)
                ends = (
                    ((draw.low - draw.mean) / draw.std, (draw.high - draw.mean) / draw.std)
                    if isinstance(draw, TruncatedNormal)
                    else (-np.inf, np.inf)
                )
                for whose, values in ((library, sample), ("fanin", ours)):
                    wrong += [f"{whose} {name} {parameters} {shape}: {fault}" for fault in faults(values, exact, ends)]
            elif not (sample == ours).all():
                wrong.append(f"{name} {parameters} {shape}: other values")
    assert not wrong


def test_another_law_is_noticed() -> None:
    """One of 10 % more variance, or cut elsewhere, or moved by a twentieth."""
    sample = np.random.default_rng(1).normal(size=96 * 160)
    for other in (stats.norm(0, 1.05), stats.truncnorm(-3, 3), stats.norm(0.05, 1)):
        assert faults(sample, other, (-np.inf, np.inf)), other.args
    assert not faults(sample, stats.norm(), (-np.inf, np.inf))


def test_every_initializer_is_compared() -> None:
    for dialect, initializers in DIALECTS.items():
        assert {name for _, name, _, _ in CASES[dialect]} == set(initializers)


def canonical(**recipe: Any) -> bytes:
    return fanin.as_recipe(recipe).canonical


def test_a_tensor_may_have_a_dialect_of_its_own() -> None:
    kernel = {"shape": [8, 4]}
    mixed = {
        "dialect": "torch",
        "layout": "torch",
        "tensors": {
            "torch": {**kernel, "scheme": "kaiming_normal_"},
            "ours": {**kernel, "scheme": "he_normal", "dialect": "fanin"},
            "keras": {**kernel, "scheme": "he_normal", "dialect": "keras"},
        },
    }
    tensors = {
        "torch": {**kernel, "scheme": "he_normal", "layout": "torch"},
        "ours": {**kernel, "scheme": "he_normal", "layout": "torch"},
        "keras": {**kernel, "scheme": "variance_scaling", "scale": 2},
    }
    assert canonical(**mixed) == canonical(tensors=tensors)


def test_names_of_keras() -> None:
    for alias, name in KERAS_ALIASES.items():
        given = {"value": 1} if name == "Constant" else {}
        assert canonical(dialect="keras", shape=[4, 4], scheme=alias, **given) == canonical(
            dialect="keras", shape=[4, 4], scheme=name, **given
        )


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        ({"dialect": "torch", "shape": [8], "scheme": "kaiming_normal_"}, "/shape"),
        ({"dialect": "torch", "shape": [8, 4], "scheme": "he_normal"}, "/scheme"),
        ({"dialect": "torch", "shape": [8, 4], "scheme": 3}, "/scheme"),
        ({"dialect": "torch", "shape": [8, 4]}, "/scheme"),
        ({"dialect": "torch", "scheme": "ones_"}, "/shape"),
        ({"dialect": "torch", "shape": [8, -4], "scheme": "ones_"}, "/shape/1"),
        ({"dialect": "torch", "shape": "8", "scheme": "ones_"}, "/shape"),
        ({"dialect": "torch", "shape": [8], "scheme": "normal_", "std": 0}, "/std"),
        ({"dialect": "torch", "shape": [8], "scheme": "normal_", "stddev": 1}, "/stddev"),
        ({"dialect": "torch", "shape": [8], "scheme": "normal_", "_shape": [1]}, "/_shape"),
        ({"dialect": "torch", "shape": [8], "scheme": "constant_"}, "/val"),
        ({"dialect": "torch", "shape": [8, 8], "scheme": "kaiming_normal_", "nonlinearity": "gelu"}, "/nonlinearity"),
        ({"dialect": "torch", "shape": [8, 8, 8], "scheme": "eye_"}, "/shape"),
        ({"dialect": "keras", "shape": [8, 8], "scheme": "VarianceScaling", "input_axes": 0}, "/output_axes"),
        ({"dialect": "jax", "shape": [8], "scheme": "he_normal"}, "/in_axes"),
        ({"dialect": "flax", "shape": [8, 4], "scheme": "he_normal"}, "/dialect"),
    ],
)
def test_what_a_library_has_not_is_told(tensor: dict[str, Any], field: str) -> None:
    with pytest.raises(RecipeError) as caught:
        fanin.as_recipe(tensor)
    assert [fault.pointer for fault in caught.value.faults] == [field]


def test_the_tensor_is_named() -> None:
    with pytest.raises(RecipeError) as caught:
        fanin.as_recipe({"tensors": {"a/b": {"dialect": "x", "shape": [1], "scheme": "zeros"}}})
    assert caught.value.faults[0].pointer == "/tensors/a~1b/dialect"
