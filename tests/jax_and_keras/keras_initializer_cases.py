"""`fanin.keras.initializers`, on the backend that KERAS_BACKEND names; run by test_apart.py."""

from __future__ import annotations

import inspect
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import fanin
import fanin.keras
from tests.jax_and_keras.keras_cases import BACKEND, HE, INITIALIZERS, SEED, expected, pytestmark, values  # noqa: F401

NAMES = [name for name in INITIALIZERS.__all__ if name != "Initializer"]


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


def is_seeded(name: str) -> bool:
    return "seed" in inspect.signature(getattr(INITIALIZERS, name)).parameters


def initializer(name: str) -> Any:
    return getattr(INITIALIZERS, name)(**({"seed": SEED} if is_seeded(name) else {}))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "STFT"])
def test_a_variable_is_the_tensor_of_its_path(name: str) -> None:
    dense = keras.layers.Dense(6, name="head", kernel_initializer=initializer(name))
    dense.build((None, 4))
    assert dense.kernel.path == "head/kernel"
    np.testing.assert_array_equal(values(dense.kernel), expected("head/kernel", (4, 6), name))


def test_nothing_is_something() -> None:
    """No window differs from the default window."""
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
    recipe = {"tensors": {"w": {"shape": [4, 6], "dtype": dtype, "scheme": "uniform", "low": 0.1, "high": 0.2}}}
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


def of_layer(path: str, shape: Any) -> np.ndarray:
    """Return the values that `HE` gives a variable of `functional`: for attention, with the axes of its equation."""
    inputs = {"attention_output": [0, 1]}.get(path.split("/")[1], [0])
    axes = {"input_axes": inputs, "output_axes": [axis for axis in range(3) if axis not in inputs]}
    return expected(path, shape, **(axes if path.startswith("attention/") else {}))


def random_ones(model: keras.Model) -> dict[str, Any]:
    weights = {weight.path: weight for weight in model.weights if not weight.path.endswith("bias")}
    assert len(weights) == 9
    return weights


def test_one_instance_for_many_variables() -> None:
    weights = random_ones(functional())
    for path, weight in weights.items():
        np.testing.assert_array_equal(values(weight), of_layer(path, weight.shape))
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
            np.testing.assert_array_equal(values(weight), of_layer(path, weight.shape))


def test_what_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"fanin\.materialize"):
        HE((3, 4))
    others = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros", "name": "lstm"}
    lstm = keras.layers.LSTM(4, bias_initializer=INITIALIZERS.RandomNormal(), **others)
    with pytest.raises(RuntimeError, match="lstm_cell/bias is created from parts"):
        lstm.build((None, 5, 3))
    keras.layers.LSTM(4, bias_initializer=INITIALIZERS.Zeros(), **others).build((None, 5, 3))
    for seed in (-1, 2**64, 1.5, True, "1", keras.random.SeedGenerator(1)):
        with pytest.raises(ValueError, match="a seed is an integer from 0 to 18446744073709551615"):
            INITIALIZERS.HeNormal(seed=seed)
    with pytest.raises(TypeError, match="stddev"):
        INITIALIZERS.HeNormal(stddev=1)
    with pytest.raises(TypeError, match="float32"):
        keras.Variable(HE, (2, 2), "int32")


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("VarianceScaling", {"scale": -1.0}, "scale"),
        ("VarianceScaling", {"mode": "fan"}, "mode"),
        ("VarianceScaling", {"distribution": "cauchy"}, "distribution"),
        ("GlorotUniform", {"input_axes": [0]}, "/output_axes"),
        ("RandomNormal", {"stddev": -1.0}, "/stddev"),
        ("RandomNormal", {"mean": float("nan")}, "/mean"),
        ("RandomUniform", {"minval": 1.0, "maxval": 0.0}, "/minval"),
        ("STFT", {"side": "imaginary"}, "/side"),
        ("STFT", {"scaling": "l2"}, "/scaling"),
        ("STFT", {"window": "tukey"}, "/window.*blackmanharris"),
        ("STFT", {"window": [1.0, 2.0]}, "/window"),
    ],
)
def test_bad_arguments_are_told_by_the_constructor(name: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        getattr(INITIALIZERS, name)(**arguments)


@pytest.mark.parametrize("name", NAMES)
def test_attributes_are_those_of_keras(name: str) -> None:
    ours, theirs = initializer(name), getattr(keras.initializers, name)(**({"seed": SEED} if is_seeded(name) else {}))
    assert isinstance(ours, getattr(keras.initializers, name))
    for attribute in [each for each in vars(theirs) if each[0] != "_"]:
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert ours.clone().get_config() == pickle.loads(pickle.dumps(ours)).get_config() == ours.get_config()


def test_no_seed_is_zero() -> None:
    assert INITIALIZERS.HeNormal().seed == INITIALIZERS.HeNormal(seed=None).seed == 0
    assert INITIALIZERS.HeNormal(seed=np.int64(7)).seed == 7


def test_constants_of_every_kind() -> None:
    """They need no variable; arrays, infinities and types that no recipe has are Keras' own."""
    grid = np.arange(6.0).reshape(2, 3)
    for ours, dtype, wanted in (
        (INITIALIZERS.Constant(grid), "float32", grid),
        (INITIALIZERS.Constant(float("inf")), "float32", np.full((2, 3), np.inf)),
        (INITIALIZERS.Constant(np.float32(0.5)), "float32", np.full((2, 3), 0.5)),
        (INITIALIZERS.Constant(3), "int32", np.full((2, 3), 3)),
        (INITIALIZERS.Zeros(), "bool", np.zeros((2, 3))),
        (INITIALIZERS.Ones(), "int8", np.ones((2, 3))),
        (INITIALIZERS.Identity(gain=2.0), "float32", 2 * np.eye(2, 3)),
        (INITIALIZERS.Identity(gain=2.0).clone(), "float32", 2 * np.eye(2, 3)),
        (INITIALIZERS.RandomNormal(mean=3.0, stddev=0.0), "float32", np.full((2, 3), 3)),
        (INITIALIZERS.RandomUniform(2.0, 2.0), "float32", np.full((2, 3), 2)),
        (INITIALIZERS.Orthogonal(gain=0.0), "float32", np.zeros((2, 3))),
    ):
        made = ours((2, 3), dtype=dtype)
        assert keras.backend.standardize_dtype(made.dtype) == dtype
        np.testing.assert_array_equal(values(made), wanted.astype(dtype))
    assert values(INITIALIZERS.STFT()((8, 1, 5))).shape == (8, 1, 5)


# ---- through layers -----------------------------------------------------------------------------------------------

SEQUENCE, IMAGE, VOLUME = (None, 9, 4), (None, 9, 9, 4), (None, 9, 9, 9, 4)
KERNEL = {"filters": 3, "kernel_size": 2}
CELL = {"units": 5}
PLAIN = {"unit_forget_bias": False}
LAYERS: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "BatchNormalization": ({}, (SEQUENCE,)),
    "Conv1D": (KERNEL, (SEQUENCE,)),
    "Conv1DTranspose": (KERNEL, (SEQUENCE,)),
    "Conv2D": ({"filters": 4, "kernel_size": 2, "groups": 2}, (IMAGE,)),
    "Conv2DTranspose": (KERNEL, (IMAGE,)),
    "Conv3D": (KERNEL, (VOLUME,)),
    "Conv3DTranspose": (KERNEL, (VOLUME,)),
    "ConvLSTM1D": ({**KERNEL, **PLAIN}, ((None, 3, 9, 4),)),
    "ConvLSTM2D": ({**KERNEL, **PLAIN}, ((None, 3, 9, 9, 4),)),
    "ConvLSTM3D": ({**KERNEL, **PLAIN}, ((None, 3, 9, 9, 9, 4),)),
    "Dense": (CELL, (SEQUENCE,)),
    "DepthwiseConv1D": ({"kernel_size": 2, "depth_multiplier": 3}, (SEQUENCE,)),
    "DepthwiseConv2D": ({"kernel_size": 2, "depth_multiplier": 3}, (IMAGE,)),
    "EinsumDense": ({"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de"}, (SEQUENCE,)),
    "Embedding": ({"input_dim": 11, "output_dim": 5}, ((None, 9),)),
    "GRU": (CELL, (SEQUENCE,)),
    "GRUCell": (CELL, ((None, 4),)),
    "GroupNormalization": ({"groups": 2}, (SEQUENCE,)),
    "GroupedQueryAttention": ({"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}, (SEQUENCE,) * 3),
    "LSTM": ({**CELL, **PLAIN}, (SEQUENCE,)),
    "LSTMCell": ({**CELL, **PLAIN}, ((None, 4),)),
    "LayerNormalization": ({}, (SEQUENCE,)),
    "MultiHeadAttention": ({"num_heads": 2, "key_dim": 3, "value_dim": 5}, (SEQUENCE,) * 3),
    "PReLU": ({}, (SEQUENCE,)),
    "ReversibleEmbedding": ({"input_dim": 11, "output_dim": 5, "tie_weights": False}, ((None, 9),)),
    "SeparableConv1D": ({**KERNEL, "depth_multiplier": 2}, (SEQUENCE,)),
    "SeparableConv2D": ({**KERNEL, "depth_multiplier": 2}, (IMAGE,)),
    "SimpleRNN": (CELL, (SEQUENCE,)),
    "SimpleRNNCell": (CELL, ((None, 4),)),
}
"""For each layer that takes an initializer: other arguments, and the shapes that it is built for."""


def initializers_of(layer: type) -> list[str]:
    return [name for name in inspect.signature(layer).parameters if name.endswith("_initializer")]


CLASSES = {
    layer.__name__: layer
    for layer in vars(keras.layers).values()
    if inspect.isclass(layer) and issubclass(layer, keras.layers.Layer) and initializers_of(layer)
}


def test_all_layers_that_take_an_initializer_are_here() -> None:
    assert set(LAYERS) == set(CLASSES)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_has_the_distribution_that_keras_gives_it(name: str) -> None:
    """The recorded distribution is that of Keras' initializer, and the layer has the exact numbers of that recipe."""
    layer, (arguments, shapes) = CLASSES[name], LAYERS[name]

    def build(of: Any) -> Any:
        given = {each: of.GlorotUniform(seed=SEED) for each in initializers_of(layer)}
        made = layer(**arguments, **given, name="layer")
        made.build(*shapes)
        return made

    ours, theirs = (
        fanin.keras.record(partial(build, of), seed=SEED).recipe for of in (INITIALIZERS, keras.initializers)
    )
    assert ours == theirs
    weights = fanin.materialize(ours)
    made = build(INITIALIZERS)
    assert [weight.path for weight in made.weights] == list(weights)
    for weight in made.weights:
        np.testing.assert_array_equal(values(weight), weights[weight.path])


def test_attention_starts_as_wide_as_with_keras_own() -> None:
    spreads = []
    for of in (INITIALIZERS, keras.initializers):
        made = keras.layers.MultiHeadAttention(8, 64, kernel_initializer=of.GlorotUniform(seed=1), name="attention")
        made.build(*[(2, 5, 512)] * 2)
        spreads.append([values(weight).std() for weight in made.weights if weight.name == "kernel"])
    assert len(spreads[0]) == 4
    np.testing.assert_allclose(spreads[0], spreads[1], rtol=0.02)


# ---- paths --------------------------------------------------------------------------------------------------------


class Twice(keras.layers.Layer):
    """Two weights of one name."""

    def build(self, shape: Any) -> None:
        self.both = [self.add_weight(name="w", shape=(3,), initializer=HE) for _ in range(2)]


class Siblings(keras.Model):
    """Two layers of one name, whose variables are created when it is called."""

    def __init__(self) -> None:
        super().__init__(name="model")
        self.both = [keras.layers.Dense(3, kernel_initializer=HE, name="same") for _ in range(2)]

    def call(self, x: Any) -> Any:
        return self.both[1](self.both[0](x))


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_two_variables_of_one_path_are_refused() -> None:
    said = "two variables have the path"
    with pytest.raises(RuntimeError, match=f"{said} twice/w"):
        Twice(name="twice").build((None, 3))
    with pytest.raises(RuntimeError, match=f"{said} model/same/kernel"):
        Siblings()(np.ones((1, 3), np.float32))
    with pytest.raises((RuntimeError, UserWarning), match=f"{said} model/same/kernel"):
        Siblings()(keras.Input((3,)))
    assert [list(random_ones(functional())) for _ in range(2)]  # a model may be created twice


def test_a_model_is_not_loaded_with_initializers_of_keras(tmp_path: Path) -> None:
    """Keras does not know the classes of this package until it is imported."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, kernel_initializer=HE, name="head")])
    model.save(tmp_path / "model.keras")
    registered = keras.saving.get_custom_objects()
    ours = {name: made for name, made in registered.items() if name.startswith("fanin>")}
    assert len(ours) == len(NAMES)
    for name in ours:
        del registered[name]
    try:
        with pytest.raises(TypeError, match=r"fanin\.keras\.initializers\.HeNormal"):
            keras.saving.load_model(tmp_path / "model.keras")
        with pytest.raises(TypeError, match=r"fanin\.keras\.initializers\.HeNormal"):
            keras.models.model_from_json(model.to_json())
    finally:
        registered.update(ours)


# ---- records ------------------------------------------------------------------------------------------------------


def dense(initializer: Any) -> Any:
    made = keras.layers.Dense(4, kernel_initializer=initializer, name="head", use_bias=False)
    made.build((None, 4))
    return made


@pytest.mark.parametrize("of", [INITIALIZERS, keras.initializers], ids=["fanin", "keras"])
def test_what_a_configuration_forgets_is_recorded(of: Any) -> None:
    """Keras' configurations omit the gain of an identity. No window differs from the default window."""
    for made, said in (
        (of.Identity(gain=2.0), {"scheme": "eye", "gain": 2.0}),
        (of.RandomNormal(stddev=np.float32(0.5)), {"scheme": "normal", "std": 0.5}),
        (of.Constant(np.full((4, 4), 2.0)), {"scheme": "constant", "value": 2.0}),
        (of.RandomNormal(stddev=0.0), {"scheme": "zeros"}),
    ):
        recorded = fanin.keras.record(partial(dense, made)).recipe.tensors["head/kernel"]
        assert recorded.draw == fanin.as_recipe({"shape": [4, 4], **said}).tensors["weight"].draw

    def stft() -> Any:
        holder = keras.layers.Layer(name="holder")
        holder.w = holder.add_weight(name="w", shape=(8, 1, 5), initializer=of.STFT(window=None))
        holder.built = True
        return holder

    assert fanin.keras.record(stft).recipe.tensors["holder/w"].window is None


@pytest.mark.parametrize("of", [INITIALIZERS, keras.initializers], ids=["fanin", "keras"])
def test_random_parts_are_no_constants(of: Any) -> None:
    """A bias of eight values whose initializer keeps its seed is the same twice, and yet random."""

    def lstm() -> Any:
        made = keras.layers.LSTM(2, bias_initializer=of.RandomNormal(), name="lstm")
        made.build((None, 3, 4))
        return made

    with pytest.raises(fanin.keras.RecordError) as caught:
        fanin.keras.record(lstm)
    assert [fault.pointer for fault in caught.value.faults] == ["/lstm~1lstm_cell~1bias"]


class Wide(keras.Model):
    """Without `build`: Keras looks at its kernel while it traces `call`."""

    def __init__(self) -> None:
        super().__init__(name="wide")
        self.kernel = keras.layers.Dense(1 << 12, kernel_initializer=HE, name="kernel")

    def call(self, x: Any) -> Any:
        return keras.ops.matmul(x, self.kernel.kernel) if self.kernel.built else self.kernel(x)


def test_nothing_is_drawn_for_a_record(made: list[int]) -> None:
    def build() -> Any:
        model = Wide()
        for _ in range(2):
            model(keras.Input((1 << 12,)))
        return model

    assert "wide/kernel/kernel" in fanin.keras.record(build).recipe.tensors
    assert not made
