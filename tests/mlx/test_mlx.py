"""`fanin.mlx`: arrays, modules and initializers with the bits of every other framework."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fanin
from fanin.errors import ModuleError

mx: Any = pytest.importorskip("mlx.core", reason="needs MLX: pip install 'mlx[cpu]'")
nn: Any = pytest.importorskip("mlx.nn", reason="needs MLX: pip install 'mlx[cpu]'")
import fanin.mlx  # noqa: E402
from fanin.mlx import initializers as init  # noqa: E402

TYPES = ("F64", "F32", "F16", "BF16", "C64")
EVERY = {
    "seed": 3,
    "tensors": {
        name: {"shape": [5, 7], "scheme": "normal", "std": 1e-7 if name == "F16" else 1.0, "dtype": name}
        for name in TYPES
    },
}
NET = {
    "seed": 42,
    "dialect": "torch",
    "tensors": {
        "layers.0.weight": {"shape": [8, 3, 3, 5], "scheme": "kaiming_normal_"},
        "layers.0.bias": {"shape": [8], "scheme": "uniform_"},
        "layers.1.weight": {"shape": [4, 8], "scheme": "xavier_uniform_"},
        "layers.1.bias": {"shape": [4], "scheme": "zeros_"},
    },
}
AXES = {"layers.0.weight": ("layers.0.weight", (0, 2, 3, 1))}
"""Kernels of torch are (out, in, height, width), and MLX has them (out, height, width, in)."""


def net() -> Any:
    return nn.Sequential(nn.Conv2d(3, 8, (3, 5)), nn.Linear(8, 4))


def bits(array: Any) -> bytes:
    """Bytes of an array of MLX, whose views NumPy reads also where it lacks the type."""
    return np.array(array.view(mx.uint16) if array.dtype == mx.bfloat16 else array).tobytes()


def test_arrays_have_the_bits_of_every_type() -> None:
    expected = fanin.materialize(EVERY)
    found = fanin.mlx.arrays(EVERY)
    assert list(found) == list(expected)
    for name, array in found.items():
        assert bits(array) == expected[name].tobytes(), name
        assert tuple(array.shape) == (5, 7)
        assert bits(fanin.mlx.array(EVERY, name)) == expected[name].tobytes()
    assert [found[name].dtype for name in TYPES] == [mx.float64, mx.float32, mx.float16, mx.bfloat16, mx.complex64]
    for shape in ([], [0, 3]):
        array = fanin.mlx.array({"shape": shape, "scheme": "ones"}, "weight")
        assert (list(array.shape), array.sum().item()) == (shape, math.prod(shape))


def test_types_that_mlx_lacks_are_refused() -> None:
    recipe = {"shape": [3], "scheme": "ones", "dtype": "F8_E4M3"}
    for call in (lambda: fanin.mlx.array(recipe, "weight"), lambda: fanin.mlx.arrays(recipe)):
        with pytest.raises(TypeError, match="dtype F8_E4M3: MLX has no such type"):
            call()
    with pytest.raises(KeyError):
        fanin.mlx.array(EVERY, "nothing")


def test_a_module_is_filled_with_the_bits_of_torch() -> None:
    module = net()
    module.freeze()
    assert fanin.mlx.init_(module, NET, names=AXES) is module
    expected = fanin.materialize(NET)
    conv, linear = module.layers
    assert bits(conv.weight) == np.ascontiguousarray(expected["layers.0.weight"].transpose(0, 2, 3, 1)).tobytes()
    for array, name in ((conv.bias, "layers.0.bias"), (linear.weight, "layers.1.weight")):
        assert bits(array) == expected[name].tobytes()
    fanin.mlx.init_(module, NET, names=AXES, seed=7)
    assert bits(linear.weight) == fanin.materialize({**NET, "seed": 7})["layers.1.weight"].tobytes()


def test_outputs_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    import fanin.torch

    same = torch.nn.Sequential(torch.nn.Conv2d(3, 8, (3, 5)), torch.nn.Flatten(2), torch.nn.Linear(8, 4))
    names = {"2.weight": "layers.1.weight", "2.bias": "layers.1.bias"}
    tensors = {}
    for name, tensor in fanin.materialize(NET).items():
        tensors[next((ours for ours, theirs in names.items() if theirs == name), name.removeprefix("layers."))] = tensor
    same.load_state_dict({name: torch.from_numpy(np.array(each)) for name, each in tensors.items()})
    image = np.random.default_rng(0).standard_normal((1, 6, 9, 3)).astype(np.float32)
    ours = np.array(fanin.mlx.init_(net(), NET, names=AXES)(mx.array(image)))
    with torch.no_grad():
        hidden = same[0](torch.from_numpy(image).movedim(-1, 1)).movedim(1, -1)
        theirs = same[2](hidden).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_every_difference_is_reported_and_nothing_is_filled() -> None:
    module = net()
    before = {name: bits(each) for name, each in module.layers[1].parameters().items()}
    with pytest.raises(ModuleError) as caught:
        fanin.mlx.init_(module, {**NET, "dtype": "BF16"})
    told = str(caught.value)
    assert "the model has shape (8, 3, 5, 3), the tensor 'layers.0.weight' (8, 3, 3, 5)" in told
    assert "the model has float32, the tensor 'layers.1.weight' BF16" in told
    other = {"tensors": {"layers.1.weight": {"shape": [4, 8], "scheme": "ones"}, "x": {"shape": [1], "scheme": "ones"}}}
    with pytest.raises(ModuleError, match=r"no tensor .layers\.1\.bias.") as caught:
        fanin.mlx.init_(module, other)
    assert "a tensor of the recipe that the model has no array for" in str(caught.value)
    assert {name: bits(each) for name, each in module.layers[1].parameters().items()} == before
    fanin.mlx.init_(module, other, strict=False)
    assert module.layers[1].weight.sum().item() == 32
    assert bits(module.layers[1].bias) == before["bias"]


class Holder(nn.Module):  # type: ignore[misc]
    """A module with these members."""

    def __init__(self, **members: Any) -> None:
        super().__init__()
        for name, member in members.items():
            setattr(self, name, member)


def weights(*names: str) -> dict[str, Any]:
    return {"layout": "torch", "tensors": {name: {"shape": [2, 3], "scheme": "he_normal"} for name in names}}


def linear() -> Any:
    return nn.Linear(3, 2, bias=False)


def test_a_module_that_is_used_twice_is_filled_once() -> None:
    shared = linear()
    module = Holder(one=shared, other=[shared])
    for name in ("one.weight", "other.0.weight"):
        fanin.mlx.init_(module, weights(name))
        assert bits(shared.weight) == fanin.materialize(weights(name))[name].tobytes()
        fanin.mlx.init_(module, weights("x"), names={name: "x"})
        assert bits(shared.weight) == fanin.materialize(weights("x"))["x"].tobytes()
    with pytest.raises(ModuleError, match=r"one array for it and other\.0\.weight, the recipe two"):
        fanin.mlx.init_(module, weights("one.weight", "other.0.weight"))
    fanin.mlx.init_(module, weights("one.weight", "other.0.weight"), strict=False)
    assert bits(shared.weight) == fanin.materialize(weights("one.weight"))["one.weight"].tobytes()


def test_keys_that_look_like_indices_or_paths_are_filled() -> None:
    module = Holder(layers={"2": linear(), "0": linear()}, flat={"a.b": linear()})
    recipe = weights("layers.0.weight", "layers.2.weight", "flat.a.b.weight")
    fanin.mlx.init_(module, recipe)
    found = {"layers.0.weight": module.layers["0"], "layers.2.weight": module.layers["2"]}
    for name, each in {**found, "flat.a.b.weight": module.flat["a.b"]}.items():
        assert bits(each.weight) == fanin.materialize(recipe)[name].tobytes(), name
    module = Holder(flat={"a.b": linear(), "a": {"b": linear()}})
    with pytest.raises(ValueError, match="two arrays of the module have the same path"):
        fanin.mlx.init_(module, weights("flat.a.b.weight"))


def test_booleans_are_filled() -> None:
    module = Holder(mask=mx.zeros((3,), mx.bool_))
    fanin.mlx.init_(module, {"tensors": {"mask": {"shape": [3], "dtype": "BOOL", "scheme": "ones"}}})
    assert (module.mask.dtype, module.mask.tolist()) == (mx.bool_, [True] * 3)
    with pytest.raises(TypeError, match=r"an mlx\.nn\.Module, not dict"):
        fanin.mlx.init_({"mask": module.mask}, weights("mask"))


def test_a_quantized_layer_is_refused_and_filled_before() -> None:
    """MLX quantizes what a module has. The same weights have the same quantized weights."""
    recipe = {"seed": 1, "tensors": {"layers.0.weight": {"shape": [64, 64], "scheme": "he_normal"}}}
    made = []
    for _ in range(2):
        module = nn.Sequential(nn.Linear(64, 64, bias=False))
        fanin.mlx.init_(module, recipe)
        nn.quantize(module, group_size=64, bits=4)
        made.append({name: bits(each) for name, each in module.layers[0].parameters().items()})
    assert made[0] == made[1]
    with pytest.raises(ModuleError, match=r"no tensor .layers\.0\.scales"):
        fanin.mlx.init_(module, recipe)


@pytest.mark.parametrize(
    ("made", "shape", "arguments", "members"),
    [
        (lambda: init.normal(1.0, 2.0, seed=5, name="w"), (4, 3), {}, {"scheme": "normal", "mean": 1.0, "std": 2.0}),
        (lambda: init.uniform(-1.0, 3.0, seed=5, name="w"), (4,), {}, {"scheme": "uniform", "low": -1.0, "high": 3.0}),
        (
            lambda: init.orthogonal(2.0, seed=5, name="w"),
            (3, 9),
            {},
            {"scheme": "orthogonal", "gain": 2.0, "layout": "torch"},
        ),
        # The fans of MLX, computed here: (out, *k, in), fan_in = in k, fan_out = out k.
        (lambda: init.he_normal(seed=5, name="w"), (6, 5, 2), {}, {"scheme": "normal", "std": 1 / math.sqrt(10)}),
        (
            lambda: init.he_normal(seed=5, name="w"),
            (6, 5, 2),
            {"mode": "fan_out", "gain": 2.0},
            {"scheme": "normal", "std": 2 / math.sqrt(30)},
        ),
        (
            lambda: init.he_uniform(seed=5, name="w"),
            (6, 4),
            {"gain": 2.0},
            {"scheme": "uniform", "low": -2 * math.sqrt(3 / 4), "high": 2 * math.sqrt(3 / 4)},
        ),
        (lambda: init.glorot_normal(seed=5, name="w"), (6, 2), {}, {"scheme": "normal", "std": math.sqrt(2 / 8)}),
        (
            lambda: init.glorot_uniform(seed=5, name="w"),
            (6, 3, 2),
            {"gain": 3.0},
            {"scheme": "uniform", "low": -3 * math.sqrt(6 / 24), "high": 3 * math.sqrt(6 / 24)},
        ),
    ],
)
def test_initializers(made: Any, shape: tuple[int, ...], arguments: dict[str, Any], members: dict[str, Any]) -> None:
    array = made()(mx.zeros(shape, mx.float16), **arguments)
    assert array.dtype == mx.float32  # that of the initializer
    expected = fanin.materialize({"seed": 5, "tensors": {"w": {"shape": list(shape), **members}}})["w"]
    np.testing.assert_allclose(np.array(array), expected, rtol=1e-6)


def test_initializers_without_chance_and_their_names() -> None:
    assert bits(init.identity()(mx.zeros((3, 3)))) == np.eye(3, dtype=np.float32).tobytes()
    half = init.constant(0.5, mx.bfloat16)(mx.zeros((2,)))
    assert (half.dtype, half.tolist()) == (mx.bfloat16, [0.5, 0.5])
    theirs = {name for name, each in vars(nn.init).items() if callable(each) and not name.startswith("_")}
    assert theirs - {"Callable", "Literal", "sparse"} == set(init.__all__)


def test_what_an_initializer_refuses() -> None:
    for made, shape, message in (
        (init.identity(), (2, 3), "square"),
        (init.orthogonal(seed=1), (2, 3, 4), "2 axes"),
        (init.he_normal(seed=1), (3,), "2 axes or more"),
        (init.constant(1.0, mx.int32), (3,), "int32"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            made(mx.zeros(shape))
    with pytest.raises(ValueError, match="neither 'fan_in' nor 'fan_out'"):
        init.he_uniform(seed=1)(mx.zeros((2, 2)), mode="fan_avg")
    with pytest.raises(TypeError, match="seed"):
        init.normal()
    with pytest.raises(fanin.RecipeError, match="seed"):
        init.normal(seed=-1)(mx.zeros((2,)))
