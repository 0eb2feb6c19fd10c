"""`fanin.keras`, on the backend that KERAS_BACKEND names; run by test_apart.py."""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np
import pytest

import fanin
import fanin.keras
from tests.support.backends import CountingBackend
from tests.support.servers import running

# Keras 3.15 with NumPy 2.4 causes this warning itself, whenever it reads a variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
BACKEND = os.environ["KERAS_BACKEND"]
INITIALIZERS = fanin.keras.initializers
SEED = 42
HE = INITIALIZERS.HeNormal(seed=SEED)


def values(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(getattr(variable, "value", variable)))


def expected(path: str, shape: Any, scheme: str = "HeNormal", dtype: str = "F32", **members: Any) -> np.ndarray:
    tensor = {"scheme": scheme, "shape": list(shape), "dtype": dtype, **members}
    return fanin.materialize({"dialect": "keras", "seed": SEED, "tensors": {path: tensor}})[path]


DISTRIBUTION = {"scheme": "uniform", "low": 0.1, "high": 0.2}


def recipe_of(model: Any) -> dict[str, Any]:
    tensors = {weight.path: {"shape": list(weight.shape), **DISTRIBUTION} for weight in model.weights}
    return {"seed": 1, "tensors": tensors}


def convolutional() -> keras.Model:
    layers = [
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(4, 3, kernel_initializer="zeros", name="conv"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(0.1, seed=1),
        keras.layers.Dense(2, kernel_initializer="zeros", name="head"),
    ]
    return keras.Sequential(layers)


def test_a_model_is_filled_by_paths() -> None:
    model = convolutional()
    recipe = recipe_of(model)
    assert "norm/moving_mean" in {"/".join(path.split("/")[-2:]) for path in recipe["tensors"]}
    fanin.keras.init_(model, recipe)
    weights = fanin.materialize(recipe)
    for weight in model.weights:
        np.testing.assert_array_equal(values(weight), weights[weight.path])
    assert model(np.ones((1, 8, 8, 3), np.float32)).shape == (1, 2)


def test_names_and_axes() -> None:
    conv = keras.layers.Conv2D(4, (3, 2), kernel_initializer="zeros", name="conv")
    conv.build((None, 8, 8, 3))
    recipe = {
        "layout": "torch",
        "tensors": {"w": {"shape": [4, 3, 3, 2], "scheme": "he_normal"}, "b": {"shape": [4], **DISTRIBUTION}},
    }
    fanin.keras.init_(conv, recipe, names={"conv/kernel": ("w", (2, 3, 1, 0)), "conv/bias": "b"})
    weights = fanin.materialize(recipe)
    np.testing.assert_array_equal(values(conv.kernel), weights["w"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(values(conv.bias), weights["b"])


@pytest.mark.parametrize(("type", "dtype"), [("bfloat16", "BF16"), ("float16", "F16")])
def test_models_of_other_types(type: str, dtype: str) -> None:
    dense = keras.layers.Dense(300, kernel_initializer="zeros", name="head", dtype=type)
    dense.build((None, 40))
    recipe = {**recipe_of(dense), "dtype": dtype}
    fanin.keras.init_(dense, recipe)
    weight = fanin.materialize(recipe)["head/kernel"]
    np.testing.assert_array_equal(values(dense.kernel).astype(np.float32), weight.astype(np.float32))
    with pytest.raises(fanin.keras.ModuleError, match=f"the model has {type}, the tensor 'head/kernel' F32"):
        fanin.keras.init_(dense, recipe_of(dense))


def test_nothing_is_filled_where_not_all_agrees() -> None:
    model = convolutional()
    recipe = recipe_of(model)
    before = [values(weight) for weight in model.weights]
    last = model.weights[-1].path
    recipe["tensors"][last]["shape"] = [3]
    recipe["tensors"]["more"] = {"shape": [2], **DISTRIBUTION}
    with pytest.raises(fanin.keras.ModuleError) as error:
        fanin.keras.init_(model, recipe)
    assert len(error.value.faults) == 2
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(values(weight), value)
    del recipe["tensors"][last]
    fanin.keras.init_(model, recipe, strict=False)
    np.testing.assert_array_equal(values(model.weights[0]), fanin.materialize(recipe)[model.weights[0].path])
    np.testing.assert_array_equal(values(model.weights[-1]), before[-1])


def test_models_that_cannot_be_told() -> None:
    with pytest.raises(ValueError, match="not built"):
        fanin.keras.init_(keras.layers.Dense(3), {"tensors": {}})
    one, other = (keras.layers.Dense(3, kernel_initializer="zeros", name="same") for _ in range(2))
    holder = keras.layers.Layer(name="holder")
    holder.one, holder.other = one, other
    for layer in (one, other, holder):
        layer.build((None, 3))
    with pytest.raises(ValueError, match="share a path"):
        fanin.keras.init_(holder, {"tensors": {}})


def test_a_service_makes_the_weights() -> None:
    model = convolutional()
    recipe = recipe_of(model)
    backend = CountingBackend()
    with running(backend=backend) as server:
        backend.generated = 0  # discard the elements of its self-test
        fanin.keras.init_(model, recipe, service=server.url)
    weights = fanin.materialize(recipe)
    assert backend.generated == sum(weight.nbytes for weight in weights.values())
    for weight in model.weights:
        np.testing.assert_array_equal(values(weight), weights[weight.path])


@pytest.mark.skipif(BACKEND != "jax", reason="Keras distributes weights on JAX")
def test_distributed_over_devices(made: list[int]) -> None:
    devices = keras.distribution.DeviceMesh((2, 4), ("batch", "model"), keras.distribution.list_devices())
    layout = keras.distribution.LayoutMap(devices)
    layout["head/kernel"] = (None, "model")
    keras.distribution.set_distribution(keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"))
    try:
        head = keras.layers.Dense(16, name="head", kernel_initializer=HE, use_bias=False)
        head.build((None, 8))
        assert made == [4] * 8 * 4  # rows of shards; each shard once, though two devices have it
        assert len({str(shard.index) for shard in head.kernel.value.addressable_shards}) == 4
        np.testing.assert_array_equal(values(head.kernel), expected("head/kernel", (8, 16)))
        made.clear()
        recipe = recipe_of(head)
        fanin.keras.init_(head, recipe)
        assert made == [4] * 8 * 4
        assert len({str(shard.index) for shard in head.kernel.value.addressable_shards}) == 4
        np.testing.assert_array_equal(values(head.kernel), fanin.materialize(recipe)["head/kernel"])
    finally:
        keras.distribution.set_distribution(None)


def test_a_recording_and_a_seed() -> None:
    def build() -> keras.Model:
        layers = [keras.Input((4,)), keras.layers.Normalization(name="norm"), keras.layers.Dense(3, name="dense")]
        return keras.Sequential(layers, name="net")

    recording = fanin.keras.record(build, seed=1)
    model = build()
    by_path = {weight.path: weight for weight in model.weights}
    (counter,) = (name for name, tensor in recording.recipe.tensors.items() if tensor.dtype == "I32")
    by_path[counter].assign(5)
    assert fanin.keras.init_(model, recording, seed=5) is model
    assert values(by_path[counter]) == 0
    for path, array in fanin.materialize(recording.recipe.seeded(5)).items():
        np.testing.assert_array_equal(values(by_path[path]), array)
    assert set(recording.recipe.tensors) == set(by_path)
    np.testing.assert_array_equal(fanin.materialize(recording)["net/dense/bias"], np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("dtype", "storage"), [("uint16", "U16"), ("uint32", "U32"), ("int16", "I16"), ("bool", "BOOL")]
)
def test_integers_are_recorded_in_the_type_of_their_variable(dtype: str, storage: str) -> None:
    """On torch, Keras keeps unsigned integers in wider types."""

    class Odd(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.add_weight(shape=(3,), initializer=self.first, dtype=dtype, trainable=False, name="odd")

        def first(self, shape: Any, dtype: Any = None) -> Any:
            return keras.ops.ones(shape, dtype)

        def call(self, values: Any) -> Any:
            return values

    def build() -> keras.Model:
        return keras.Sequential([keras.Input((2,)), Odd(name="layer")], name="net")

    recording = fanin.keras.record(build, seed=1)
    assert {name: tensor.dtype for name, tensor in recording.recipe.tensors.items()} == {"net/layer/odd": storage}
    model = build()
    model.weights[0].assign(keras.ops.zeros((3,), dtype))
    fanin.keras.init_(model, recording)
    assert values(model.weights[0]).tolist() == [1, 1, 1]


def test_complex_weights_are_recorded() -> None:
    class Spectral(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.filter = self.add_weight(shape=(3,), dtype="complex64", initializer="ones", name="filter")
            self.built = True

    layer = Spectral(name="spectral")
    layer.build(None)
    recording = fanin.keras.record(layer)
    assert not recording.literals
    assert [(each.scheme, each.dtype) for each in recording.recipe.tensors.values()] == [("ones", "C64")]


def test_models_are_inspected() -> None:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(32, 3, activation="relu", name="first"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3),
            layers.Conv2DTranspose(8, 3),
            layers.Flatten(),
            layers.Dense(10, name="last"),
        ]
    )
    found = fanin.inspect(model)
    assert (found.kind, found.is_quiet) == ("keras", True), found.findings
    assert [each.name for each in found.layers][-1] == "last"
    assert all(each.output for each in found.layers)
    kernel = model.get_layer("first").kernel
    assert found.tensors[0].mean == pytest.approx(
        float(np.asarray(keras.ops.convert_to_numpy(kernel)).mean()), rel=1e-4
    )
    model.get_layer("first").bias.assign(np.full(32, -9, np.float32))
    assert [(each.kind, each.where) for each in fanin.inspect(model).findings if each.level == "warning"] == [
        ("zero-signal", "first"),
        ("dead-units", "first"),
    ]
    assert not fanin.inspect(model, signal=False).layers
    with pytest.raises(ValueError, match="cannot be run with these inputs"):
        fanin.inspect(model, inputs=np.ones((2, 7), np.float32))
