"""`fanin.he_normal` and its likes: a function for each scheme."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import fanin
from fanin import initializers
from fanin.schemes import ALIASES, SCHEMES
from fanin.schemes.base import Tensor

COMMON = ("shape", "seed", "name", "dtype", "backend")
CALLS: dict[str, dict[str, Any]] = {
    "constant": {"value": 0.3},
    "uniform": {"low": -1, "high": 2.5},
    "normal": {"std": 0.02, "mean": 1},
    "truncated_normal": {"std": 0.02, "high": None},
    "fan_uniform": {"fan": 7},
    "he_normal": {"in_axes": (0,), "out_axes": [1], "truncated": True, "mode": "fan_out"},
    "glorot_uniform": {"layout": "torch"},
    "scaled_normal": {"std": 0.02, "layers": 2},
    "wang_init": {"width": 8, "layers": 2},
    "small_init": {"width": 8},
    "deepnorm": {"encoder_layers": 2},
    "subln": {"encoder_layers": 2},
    "fixup": {"branches": 3, "layers": 2},
    "sparse": {"std": 1.0, "sparsity": 0.5},
    "blocks": {"parts": [{"size": 1, "scheme": "zeros"}, {"size": 3, "scheme": "ones"}]},
    "t_fixup": {"layers": 2, "side": "decoder"},
    "logit_of_uniform": {"low": 0.125, "high": 0.75},
    "rope_frequencies": {"scaling": "longrope", "factors": (1, 1.5, 2, 3, 5, 8)},
    "orthogonal": {"spectral": "max", "number": 3},
    "quantized": {
        "format": "fp8_channel",
        "part": "scale",
        "scale_dtype": "F16",
        "tensor": {"shape": [4, 32], "scheme": "normal", "std": 0.02},
    },
    "power_range": {"first": 1.0, "last": 2.0, "exponent": 0.5},
}
SHAPES = {
    "dirac": (4, 4, 3),
    "delta_orthogonal": (3, 2, 4),
    "bilinear": (3, 3, 2, 2),
    "stft": (8, 1, 5),
    "alibi_slopes": 4,
    "hippo_legs": (4, 4),
    "quantized": (4, 1),
}


def required(scheme: type[Tensor]) -> set[str]:
    return {name for name, field in scheme.model_fields.items() if field.is_required()} - {"shape", "scheme"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_function_returns_the_tensor_of_a_recipe(scheme: str) -> None:
    shape = SHAPES.get(scheme, (4, 6))
    given = {name: value for name, value in CALLS.get(scheme, {}).items() if name in SCHEMES[scheme].model_fields}
    assert required(SCHEMES[scheme]) <= given.keys()
    tensor = {"shape": shape, "scheme": scheme, "dtype": "F16", **given}
    wanted = fanin.materialize({"seed": 5, "tensors": {"a.b": tensor}}, backend="reference")["a.b"]
    made = getattr(fanin, scheme)(shape, seed=5, name="a.b", dtype=np.float16, backend="reference", **given)
    assert made.dtype == np.float16
    np.testing.assert_array_equal(made, wanted)


def test_functions_have_the_parameters_of_their_schemes() -> None:
    assert set(initializers.__all__) == {*SCHEMES, *ALIASES}
    assert set(initializers.__all__) <= set(fanin.__all__)
    for name, scheme in SCHEMES.items():
        parameters = inspect.signature(getattr(initializers, name)).parameters
        assert parameters.keys() == {*scheme.model_fields, *COMMON} - {"scheme"}
        for field in scheme.model_fields.keys() - {"scheme", *COMMON}:
            default = parameters[field].default
            wanted = scheme.model_fields[field]
            assert default is inspect.Parameter.empty if wanted.is_required() else default == wanted.default
    for alias, name in ALIASES.items():
        assert getattr(fanin, alias) is getattr(fanin, name)


def test_functions_have_the_defaults_of_the_short_form() -> None:
    wanted = fanin.materialize({"shape": [6], "scheme": "normal", "std": 1.0})["weight"]
    np.testing.assert_array_equal(fanin.normal(6, std=1.0), wanted)
    with pytest.raises(fanin.RecipeError) as caught:
        fanin.he_normal((4, 4), mode="fan_sum", seed=-1)
    assert {fault.pointer for fault in caught.value.faults} == {"/seed", "/tensors/weight/mode"}
    with pytest.raises(TypeError, match="std"):
        fanin.normal(6)


@pytest.mark.parametrize("gain", [True, np.array([1.0, 1.0])], ids=["flag", "array"])
def test_a_value_that_equals_a_default_is_validated(gain: Any) -> None:
    with pytest.raises(fanin.RecipeError, match="/tensors/weight/gain"):
        fanin.orthogonal((2, 2), gain=gain)
