"""`fanin.keras`, on the backend that KERAS_BACKEND names; run by test_apart.py."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import fanin
import fanin.keras
from tests.service.servers import CountingBackend, running

# Keras 3.15 with NumPy 2.4: of its own making, wherever it reads a variable.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
BACKEND = os.environ["KERAS_BACKEND"]
INITIALIZERS = fanin.keras.initializers
NAMES = [name for name in INITIALIZERS.__all__ if name != "Initializer"]
SEED = 42
HE = INITIALIZERS.HeNormal(seed=SEED)


def values(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(getattr(variable, "value", variable)))


def expected(path: str, shape: Any, scheme: str = "HeNormal", dtype: str = "F32", **members: Any) -> np.ndarray:
    tensor = {"scheme": scheme, "shape": list(shape), "dtype": dtype, **members}
    return fanin.materialize({"dialect": "keras", "seed": SEED, "tensors": {path: tensor}})[path]


# ---- initializers -------------------------------------------------------------------------------------------------


def test_this_is_the_backend() -> None:
    assert keras.backend.backend() == BACKEND


@pytest.mark.parametrize("name", NAMES)
def test_initializers_are_called_as_those_of_keras(name: str) -> None:
    ours, theirs = getattr(INITIALIZERS, name), getattr(keras.initializers, name)
    assert issubclass(ours, keras.initializers.Initializer)
    wanted = inspect.signature(theirs).parameters.values()
    seed = {"seed": 2**64 - 1} if "seed" in inspect.signature(theirs).parameters else {}
    assert list(inspect.signature(ours).parameters.values()) == [
        each.replace(default=0) if each.name == "seed" else each for each in wanted
    ]
    made = ours(**seed)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
    assert type(again) is ours
    assert again.get_config() == made.get_config()
    assert seed.items() <= made.get_config().items()


def initializer(name: str) -> Any:
    made = getattr(INITIALIZERS, name)
    return made(seed=SEED) if "seed" in inspect.signature(made).parameters else made()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "STFT"])
def test_a_variable_is_the_tensor_of_its_path(name: str) -> None:
    dense = keras.layers.Dense(6, name="head", kernel_initializer=initializer(name))
    dense.build((None, 4))
    assert dense.kernel.path == "head/kernel"
    np.testing.assert_array_equal(values(dense.kernel), expected("head/kernel", (4, 6), name))


def test_nothing_is_something() -> None:
    """No window is another law than the default one."""
    made = keras.Variable(INITIALIZERS.STFT(window=None), (8, 1, 5), "float32", name="stft")
    np.testing.assert_array_equal(values(made), expected("stft", (8, 1, 5), "STFT", window=None))


@pytest.mark.parametrize(("type", "dtype"), [("bfloat16", "BF16"), ("float16", "F16"), ("float64", "F64")])
def test_other_types(type: str, dtype: str) -> None:
    if BACKEND in ("jax", "numpy") and type == "float64":
        pytest.skip("JAX's 64-bit types are off; Keras on NumPy rounds the values of any initializer to float32")
    dense = keras.layers.Dense(6, name="head", kernel_initializer=HE, dtype=type)
    dense.build((None, 4))
    np.testing.assert_array_equal(
        values(dense.kernel).astype(np.float64), expected("head/kernel", (4, 6), dtype=dtype).astype(np.float64)
    )


@pytest.mark.skipif(BACKEND == "numpy", reason="Keras has no float8 on NumPy")
@pytest.mark.parametrize(("type", "dtype"), [("float8_e4m3fn", "F8_E4M3"), ("float8_e5m2", "F8_E5M2")])
def test_float8(type: str, dtype: str) -> None:
    variable = keras.Variable(HE, (4, 6), type, name="w")
    wide = values(keras.ops.cast(variable.value, "float32"))
    np.testing.assert_array_equal(wide, expected("w", (4, 6), dtype=dtype).astype(np.float32))
    holder = keras.layers.Layer(name="holder")
    holder.w = keras.Variable(INITIALIZERS.Zeros(), (4, 6), type, name="w")
    holder.build(None)
    recipe = {"tensors": {"w": {"shape": [4, 6], "dtype": dtype, **LAW}}}
    fanin.keras.init_(holder, recipe)
    weight = fanin.materialize(recipe)["w"].astype(np.float32)
    np.testing.assert_array_equal(values(keras.ops.cast(holder.w.value, "float32")), weight)


def functional() -> keras.Model:
    """One instance of an initializer in layers of every kind."""
    tokens = keras.Input((5,), name="tokens")
    x = keras.layers.Embedding(11, 8, embeddings_initializer=HE, name="embedding")(tokens)
    x = keras.layers.MultiHeadAttention(2, 4, kernel_initializer=HE, name="attention")(x, x)
    x = keras.layers.Conv1D(8, 3, kernel_initializer=HE, name="conv")(x)
    x = keras.layers.LSTM(8, kernel_initializer=HE, recurrent_initializer=HE, name="lstm")(x)
    return keras.Model(tokens, keras.layers.Dense(3, kernel_initializer=HE, name="head")(x), name="model")


def random_ones(model: keras.Model) -> dict[str, Any]:
    weights = {weight.path: weight for weight in model.weights if not weight.path.endswith("bias")}
    assert len(weights) == 9
    return weights


def test_one_instance_for_many_variables() -> None:
    weights = random_ones(functional())
    for path, weight in weights.items():
        np.testing.assert_array_equal(values(weight), expected(path, weight.shape))
    query, key = weights["attention/query/kernel"], weights["attention/key/kernel"]
    assert (values(query) != values(key)).any()


class Subclassed(keras.Model):
    """Without `build`: Keras makes its variables when it traces `call`, and gives them values later."""

    def __init__(self) -> None:
        super().__init__(name="subclassed")
        self.first = keras.layers.Dense(6, kernel_initializer=HE, name="first")
        self.second = keras.layers.Dense(6, kernel_initializer=HE, name="second")

    def call(self, x: Any) -> Any:
        return self.second(self.first(x))


# On NumPy, Keras traces with memory that nobody has written.
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("is_symbolic", [False, True])
def test_variables_that_are_made_late(is_symbolic: bool) -> None:
    model = Subclassed()
    model(keras.Input((6,)) if is_symbolic else np.ones((1, 6), np.float32))
    kernels = [weight for weight in model.weights if weight.name == "kernel"]
    assert len({kernel.path for kernel in kernels}) == 2
    for kernel in kernels:
        np.testing.assert_array_equal(values(kernel), expected(kernel.path, (6, 6)))


@pytest.mark.skipif(BACKEND == "numpy", reason="Keras cannot train on NumPy")
def test_in_training() -> None:
    model = keras.Sequential([keras.layers.Dense(4, kernel_initializer=HE, name="only")])
    model.compile("sgd", "mse")
    model.fit(np.zeros((4, 3), np.float32), np.zeros((4, 4), np.float32), epochs=1, verbose=0)
    kernel = model.layers[0].kernel
    np.testing.assert_array_equal(values(kernel), expected(kernel.path, (3, 4)))


def test_saved_models_keep_their_initializers(tmp_path: Path) -> None:
    model = functional()
    model.save(tmp_path / "model.keras")
    for again in (keras.saving.load_model(tmp_path / "model.keras"), keras.models.clone_model(model)):
        assert again.get_layer("head").kernel_initializer.get_config() == HE.get_config()
        for path, weight in random_ones(again).items():
            np.testing.assert_array_equal(values(weight), expected(path, weight.shape))


def test_what_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"fanin\.materialize"):
        HE((3, 4))
    others = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros", "name": "lstm"}
    lstm = keras.layers.LSTM(4, bias_initializer=INITIALIZERS.RandomNormal(), **others)
    with pytest.raises(RuntimeError, match="lstm_cell/bias is made of parts"):
        lstm.build((None, 5, 3))
    keras.layers.LSTM(4, bias_initializer=INITIALIZERS.Zeros(), **others).build((None, 5, 3))
    with pytest.raises(fanin.RecipeError, match="seed"):
        INITIALIZERS.HeNormal(seed=-1)
    with pytest.raises(fanin.RecipeError, match="seed"):
        INITIALIZERS.HeNormal(seed=keras.random.SeedGenerator(1))
    with pytest.raises(TypeError, match="stddev"):
        INITIALIZERS.HeNormal(stddev=1)
    with pytest.raises(TypeError, match="float32"):
        keras.Variable(HE, (2, 2), "int32")
    with pytest.raises(fanin.RecipeError, match="stddev"):
        keras.Variable(INITIALIZERS.RandomNormal(stddev=-1.0), (2, 2))


# ---- models -------------------------------------------------------------------------------------------------------

LAW = {"scheme": "uniform", "low": 0.1, "high": 0.2}


def recipe_of(model: Any) -> dict[str, Any]:
    tensors = {weight.path: {"shape": list(weight.shape), **LAW} for weight in model.weights}
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
        "tensors": {"w": {"shape": [4, 3, 3, 2], "scheme": "he_normal"}, "b": {"shape": [4], **LAW}},
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
    recipe["tensors"]["more"] = {"shape": [2], **LAW}
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
        backend.generated = 0  # of its self-test
        fanin.keras.init_(model, recipe, source=server.url)
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
