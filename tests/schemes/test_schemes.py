"""Schemes: their formulas against an independent evaluation, and the distributions that the table of fans promises."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import mpmath
import numpy as np
import pytest

import fanin
from fanin import RecipeError, as_recipe, catalogue
from fanin.draws import WHOLE_SIDE, Draw, Fill, Normal, TruncatedNormal, Uniform
from fanin.schemes import SCHEMES
from fanin.schemes.base import Scaled

mpmath.mp.dps = 60
GLOROT = mpmath.sqrt(mpmath.mpf(2) / 32)
"""Fans of a kernel 12 -> 20."""


def draw(**tensor: Any) -> Draw:
    return as_recipe(tensor).tensors["weight"].draw


def f32(value: Any) -> float:
    """Rounded once: through float64 would round twice."""
    value = mpmath.mpf(value)
    exponent = int(mpmath.floor(mpmath.log(abs(value), 2))) - 23
    return float(mpmath.nint(value / mpmath.mpf(2) ** exponent)) * 2.0**exponent if value else 0.0


def phi(x: float) -> mpmath.mpf:
    return mpmath.npdf(x)


def truncated_std(low: float, high: float) -> mpmath.mpf:
    mass = mpmath.ncdf(high) - mpmath.ncdf(low)
    mean = (phi(low) - phi(high)) / mass
    second = mpmath.quad(lambda x: x * x * phi(x), mpmath.linspace(max(low, -14), min(high, 14), 20)) / mass
    return mpmath.sqrt(second - mean * mean)


@pytest.mark.parametrize("fan", [1, 2, 3, 7, 784, 4096, 10**9 + 7])
def test_variance_scaling(fan: int) -> None:
    shape = [fan, 5]
    variance = mpmath.mpf(2) / fan
    common = {"shape": shape, "scheme": "variance_scaling", "scale": 2.0}
    assert draw(**common, distribution="normal") == Normal(0.0, f32(mpmath.sqrt(variance)))
    uniform = draw(**common, distribution="uniform")
    assert isinstance(uniform, Uniform)
    assert uniform.half_width == f32(mpmath.sqrt(3 * variance))
    truncated = draw(**common)
    assert isinstance(truncated, TruncatedNormal)
    assert truncated.std == f32(mpmath.sqrt(variance) / truncated_std(-2, 2))


@pytest.mark.parametrize(
    ("mode", "n"),
    [("fan_in", 12), ("fan_out", 20), ("fan_avg", 16), ("fan_geo_avg", mpmath.sqrt(240))],
)
def test_modes(mode: str, n: Any) -> None:
    found = draw(shape=[12, 20], scheme="variance_scaling", mode=mode, distribution="normal")
    assert found == Normal(0.0, f32(1 / mpmath.sqrt(n)))


@pytest.mark.parametrize(
    ("tensor", "limit"),
    [
        ({"scheme": "glorot_uniform"}, mpmath.sqrt(mpmath.mpf(6) / 32)),
        ({"scheme": "xavier_uniform", "gain": 2.0}, 2 * mpmath.sqrt(mpmath.mpf(6) / 32)),
        ({"scheme": "he_uniform"}, mpmath.sqrt(mpmath.mpf(6) / 12)),
        ({"scheme": "kaiming_uniform", "negative_slope": 1.0, "mode": "fan_out"}, mpmath.sqrt(mpmath.mpf(3) / 20)),
        ({"scheme": "lecun_uniform"}, mpmath.sqrt(mpmath.mpf(3) / 12)),
    ],
)
def test_uniform_schemes(tensor: dict[str, Any], limit: Any) -> None:
    found = draw(shape=[12, 20], **tensor)
    assert isinstance(found, Uniform)
    assert (found.center, found.half_width) == (0.0, f32(limit))
    assert -limit <= found.low < found.high <= limit


@pytest.mark.parametrize(
    ("tensor", "std"),
    [
        ({"scheme": "glorot_normal"}, mpmath.sqrt(mpmath.mpf(2) / 32)),
        ({"scheme": "xavier_normal", "gain": 0.5}, mpmath.sqrt(mpmath.mpf(2) / 32) / 2),
        ({"scheme": "he_normal"}, mpmath.sqrt(mpmath.mpf(2) / 12)),
        ({"scheme": "kaiming_normal", "negative_slope": 0.5}, mpmath.sqrt(mpmath.mpf(2) / 15)),
        ({"scheme": "lecun_normal"}, mpmath.sqrt(mpmath.mpf(1) / 12)),
    ],
)
def test_normal_schemes_and_their_truncated_forms(tensor: dict[str, Any], std: Any) -> None:
    assert draw(shape=[12, 20], **tensor) == Normal(0.0, f32(std))
    truncated = draw(shape=[12, 20], **tensor, truncated=True)
    assert isinstance(truncated, TruncatedNormal)
    assert truncated.std == f32(std / truncated_std(-2, 2))


@pytest.mark.parametrize(
    ("tensor", "distribution"),
    [
        ({"scheme": "fan_uniform", "fan": 12}, ("limit", 1 / mpmath.sqrt(12))),
        ({"scheme": "fan_uniform", "fan": 7, "gain": 0.5}, ("limit", 0.5 / mpmath.sqrt(7))),
        ({"scheme": "siren"}, ("limit", mpmath.sqrt(mpmath.mpf(6) / 12) / 30)),
        ({"scheme": "siren", "first": True}, ("limit", mpmath.mpf(1) / 12)),
        ({"scheme": "scaled_normal", "std": 0.02, "depth": 24}, ("std", mpmath.mpf(0.02) / mpmath.sqrt(24))),
        ({"scheme": "scaled_normal", "std": 1, "width": 768, "depth": 2.5}, ("std", 1 / mpmath.sqrt(768 * 2.5))),
        ({"scheme": "scaled_normal", "std": 0.02, "depth": 6, "cut": 3}, ("std", mpmath.mpf(0.02) / mpmath.sqrt(6))),
        ({"scheme": "small_init", "width": 1000}, ("std", mpmath.sqrt(mpmath.mpf(2) / 5000))),
        ({"scheme": "wang_init", "width": 1000, "layers": 7}, ("std", 2 / (7 * mpmath.sqrt(1000)))),
        ({"scheme": "deepnorm", "decoder_layers": 18}, ("std", GLOROT * mpmath.mpf(144) ** (-1 / mpmath.mpf(4)))),
        (
            {"scheme": "deepnorm", "encoder_layers": 6, "decoder_layers": 9, "side": "encoder"},
            ("std", GLOROT * mpmath.mpf("0.87") * (mpmath.mpf(6) ** 4 * 9) ** (-1 / mpmath.mpf(16))),
        ),
        (
            {"scheme": "deepnorm", "encoder_layers": 6, "decoder_layers": 9, "side": "decoder"},
            ("std", GLOROT * mpmath.mpf(108) ** (-1 / mpmath.mpf(4))),
        ),
        (
            {"scheme": "subln", "encoder_layers": 18, "distribution": "uniform"},
            ("limit", mpmath.sqrt(3 * mpmath.log(36)) * GLOROT),
        ),
        (
            {"scheme": "subln", "encoder_layers": 6, "decoder_layers": 9, "side": "encoder"},
            ("std", mpmath.sqrt(mpmath.log(27) * mpmath.log(12) / 3) * GLOROT),
        ),
        (
            {"scheme": "subln", "encoder_layers": 6, "decoder_layers": 9, "side": "decoder"},
            ("std", mpmath.sqrt(mpmath.log(27)) * GLOROT),
        ),
        ({"scheme": "fixup", "layers": 54}, ("std", mpmath.sqrt(mpmath.mpf(2) / 12 / 54))),
        ({"scheme": "spectral_mup"}, ("std", 1 / mpmath.sqrt(12))),
        (
            {"scheme": "spectral_mup", "gain": 0.3, "layout": "torch"},
            ("std", mpmath.mpf(0.3) / mpmath.sqrt(20) * mpmath.sqrt(mpmath.mpf(12) / 20)),
        ),
        (
            {"scheme": "t_fixup", "layers": 6, "side": "encoder"},
            ("limit", mpmath.mpf("0.67") * mpmath.mpf(6) ** (-1 / mpmath.mpf(4)) * mpmath.sqrt(3) * GLOROT),
        ),
        (
            {"scheme": "t_fixup", "layers": 6, "side": "decoder", "distribution": "normal"},
            ("std", mpmath.mpf(54) ** (-1 / mpmath.mpf(4)) * GLOROT),
        ),
        (
            {"scheme": "fixup", "layers": 16, "branch_layers": 3, "mode": "fan_out"},
            ("std", mpmath.sqrt(mpmath.mpf(2) / 20) / 2),
        ),
    ],
)
def test_schemes_of_whole_networks(tensor: dict[str, Any], distribution: tuple[str, Any]) -> None:
    found = draw(shape=[12, 20], **tensor)
    kind, size = distribution
    if kind == "limit":
        assert isinstance(found, Uniform)
        assert (found.center, found.half_width) == (0.0, f32(size))
    elif "cut" in tensor:
        assert isinstance(found, TruncatedNormal)
        assert (found.std, found.high) == (f32(size), -found.low)
        assert 0 <= tensor["cut"] * size - found.high < 2**-24
    else:
        assert found == Normal(0.0, f32(size))


def test_rational_values_are_exact() -> None:
    assert draw(shape=[4, 4], scheme="fan_uniform", fan=9, gain=3) == draw(shape=[1], scheme="uniform", low=-1, high=1)
    assert draw(shape=[24, 4], scheme="siren", omega=0.5) == draw(shape=[1], scheme="uniform", low=-1, high=1)
    # sqrt(2 / 8) 2^-1, by a root of degree 12
    assert draw(shape=[8, 4], scheme="fixup", layers=64, branch_layers=4) == Normal(0, 0.25)


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        ({"scheme": "deepnorm"}, "/encoder_layers"),
        ({"scheme": "subln", "encoder_layers": 2, "decoder_layers": 2}, "/side"),
        ({"scheme": "deepnorm", "encoder_layers": 2, "side": "decoder"}, "/side"),
        ({"scheme": "deepnorm", "encoder_layers": 0}, "/encoder_layers"),
        ({"scheme": "fixup", "layers": 2, "branch_layers": 1}, "/branch_layers"),
        ({"scheme": "scaled_normal", "std": 1, "depth": 0}, "/depth"),
        ({"scheme": "fan_uniform", "fan": 0}, "/fan"),
        ({"scheme": "wang_init", "width": 8}, "/layers"),
    ],
)
def test_what_a_network_cannot_have_is_refused(tensor: dict[str, Any], field: str) -> None:
    with pytest.raises(RecipeError) as caught:
        draw(shape=[12, 20], **tensor)
    assert [fault.pointer for fault in caught.value.faults] == [field]


@pytest.mark.parametrize(("low", "high"), [(-2, 2), (3, 4), (-1, None), (None, 0.5), (-3, 1)])
def test_corrected_truncated_normal_has_the_std_asked_for(low: float | None, high: float | None) -> None:
    low_end, high_end = -math.inf if low is None else low, math.inf if high is None else high
    found = draw(shape=[1], scheme="truncated_normal", std=0.5, low=low, high=high, corrected=True)
    assert isinstance(found, TruncatedNormal)
    assert found.std == f32(0.5 / truncated_std(low_end, high_end))


def test_absolute_bounds_are_those_of_torch() -> None:
    absolute = draw(shape=[1], scheme="truncated_normal", mean=1, std=0.5, low=0, high=3, bounds="absolute")
    assert absolute == draw(shape=[1], scheme="truncated_normal", mean=1, std=0.5, low=-2, high=4)


def test_far_bounds_leave_the_distribution_whole() -> None:
    """100 standard deviations: no word is near them, and the bounds still hold."""
    found = draw(shape=[1], scheme="truncated_normal", std=0.02, low=-2, high=2, bounds="absolute")
    assert isinstance(found, TruncatedNormal)
    assert (found.low, found.high) == (-2, 2)
    assert found.negative == found.positive == WHOLE_SIDE["F32"]


def test_layer_defaults_of_batch_norm() -> None:
    values = {
        name: draw(shape=[8], scheme=f"batch_norm_{name}")
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    }
    assert values == {"gamma": Fill(1), "beta": Fill(0), "moving_mean": Fill(0), "moving_variance": Fill(1)}


def test_constants_are_rounded_by_way_of_the_compute_type() -> None:
    assert draw(shape=[1], scheme="constant", value=0.1) == Fill(float(np.float32(0.1)))
    assert draw(shape=[1], scheme="constant", value=0.1, dtype="F64") == Fill(0.1)
    assert draw(shape=[1], scheme="constant", value=1e-8, dtype="F16") == Fill(0.0)


def test_a_fan_of_nothing_counts_as_one() -> None:
    assert draw(shape=[0, 10], scheme="lecun_normal") == Normal(0, 1)


def test_the_catalogue_tells_all() -> None:
    for entry in catalogue():
        cls = SCHEMES[entry["scheme"]]
        assert entry["description"]
        assert entry["formula"]
        assert entry["source"]
        wanted = set(cls.model_fields) - {"shape", "dtype", "scheme"}
        assert set(entry["parameters"]) == wanted
    assert [entry["scheme"] for entry in catalogue()] == list(SCHEMES)


REQUIRED = {
    "deepnorm": {"encoder_layers": 6},
    "subln": {"decoder_layers": 6},
    "fixup": {"layers": 6},
    "t_fixup": {"layers": 6, "side": "encoder"},
}


@pytest.mark.parametrize("name", [name for name, cls in SCHEMES.items() if issubclass(cls, Scaled)])
@pytest.mark.parametrize("shape", [[], [7], [1, 2, 3, 4, 5, 6]])
def test_ambiguous_shapes_are_refused(name: str, shape: list[int]) -> None:
    with pytest.raises(RecipeError, match="in_axes"):
        draw(shape=shape, scheme=name, **REQUIRED.get(name, {}))


def test_bilinear_of_equal_channels_is_zero_in_all_other_pairs() -> None:
    for inputs, outputs in ((2, 3), (3, 2), (1, 1)):
        sizes = {"keras": [3, 4, inputs, outputs], "torch": [outputs, inputs, 3, 4]}
        made = {}
        for layout, shape in sizes.items():
            tensor = {"shape": shape, "scheme": "bilinear", "layout": layout}
            whole, same = (
                fanin.materialize({**tensor, "channels": each, "dtype": "F64"})["weight"] for each in ("all", "same")
            )
            assert whole.all()
            made[layout] = same
            pairs = np.eye(inputs, outputs) if layout == "keras" else np.eye(outputs, inputs)[:, :, None, None]
            assert np.array_equal(same, whole * pairs)
        assert np.array_equal(made["torch"], made["keras"].transpose(3, 2, 0, 1))


def test_the_variants_of_slopes_are_one_table() -> None:
    for heads in (1, 3, 8, 12, 20):
        tensor = {"shape": [heads], "scheme": "alibi_slopes"}
        press, mpt = (fanin.materialize({**tensor, "variant": each})["weight"] for each in ("press", "mpt"))
        assert np.array_equal(press, mpt)
        # MPT's code: of the power of 2 above, every second from the second on, then the others.
        above = 2 ** int(np.ceil(np.log2(heads)))
        slopes = 2.0 ** (-8 * np.arange(1, above + 1) / above)
        theirs = slopes if above == heads else np.concatenate([slopes[1::2], slopes[::2]])[:heads]
        assert np.allclose(mpt, theirs)


def test_a_programs_decimal_settings_change_no_number() -> None:
    """`decimal.DefaultContext` is what new contexts begin with, here those of the scalars of draws."""
    program = (
        "import decimal\n"
        "decimal.DefaultContext.traps[decimal.Inexact] = True\n"
        "decimal.DefaultContext.Emin, decimal.DefaultContext.Emax = -50, 50\n"
        "decimal.DefaultContext.rounding = decimal.ROUND_UP\n"
        "import fanin\n"
        "recipe = {'shape': [7, 5], 'scheme': 'lecun_normal', 'truncated': True, 'dtype': 'F64'}\n"
        "print(fanin.materialize(recipe)['weight'].tobytes().hex())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert not done.stderr
    recipe = {"shape": [7, 5], "scheme": "lecun_normal", "truncated": True, "dtype": "F64"}
    assert done.stdout.strip() == fanin.materialize(recipe)["weight"].tobytes().hex()
