"""Records models of Keras and initializes them, in a separate process: a process can select Keras' backend only once.

KERAS_BACKEND=torch python -m tests.recording.keras_runs DIRECTORY
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors.numpy

from fanin.errors import RecordError
from fanin.keras.recording import record
from fanin.recipe.formatting import text


def mobile_net() -> keras.Model:
    return keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=10)


def sequences() -> keras.Model:
    """Recurrence, attention and an embedding."""
    tokens = keras.Input((12,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(100, 32, name="embedding")(tokens)
    x = keras.layers.Bidirectional(keras.layers.LSTM(24, return_sequences=True), name="lstm")(x)
    x = keras.layers.GRU(32, return_sequences=True, recurrent_initializer=keras.initializers.Identity(0.5), name="gru")(
        x
    )
    x = keras.layers.MultiHeadAttention(4, 8, name="attention")(x, x)
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = keras.layers.Dropout(0.1, name="dropout")(x)
    narrow = keras.initializers.TruncatedNormal(stddev=0.02, seed=3)
    x = keras.layers.Dense(40, kernel_initializer=narrow, bias_initializer="random_uniform", name="dense")(x)
    x = keras.layers.Dense(
        40, kernel_initializer=keras.initializers.VarianceScaling(3, "fan_out", "uniform"), name="out"
    )(x)
    return keras.Model(tokens, x, name="sequences")


class Halves(keras.initializers.Initializer):
    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return keras.ops.full(shape, 0.5, dtype)


def custom() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, name="class", kernel_initializer=Halves()),
            layers.Dense(
                4, name="random", kernel_initializer=lambda shape, dtype: keras.random.normal(shape, dtype=dtype)
            ),
            layers.Dense(
                4, name="ramp", kernel_initializer=lambda shape, dtype: keras.ops.reshape(keras.ops.arange(16.0), shape)
            ),
            layers.Dense(4, name="nan", kernel_initializer=lambda shape, dtype: keras.ops.full(shape, np.nan, dtype)),
            layers.Dense(4, name="half", kernel_initializer=lambda shape, dtype: keras.ops.full(shape, 0.5, dtype)),
        ],
        name="custom",
    )


class Twins(keras.layers.Layer):
    def build(self, shape: Any) -> None:
        self.twins = [self.add_weight(shape=(3,), name="twin") for _ in range(2)]

    def call(self, x: Any) -> Any:
        return x + self.twins[0] * self.twins[1]


def wide() -> keras.Model:
    """A kernel of 4 TB."""
    return keras.Sequential([keras.Input((1 << 20,)), keras.layers.Dense(1 << 20, name="dense")], name="wide")


def assigned() -> keras.Model:
    layers = [keras.layers.Dense(4, name=name) for name in ("one", "two", "three")]
    model = keras.Sequential([keras.Input((4,)), *layers], name="assigned")
    layers[0].kernel.assign(np.full((4, 4), 0.5))
    layers[2].set_weights([np.eye(4), np.ones(4)])
    return model


def quantized(mode: str) -> keras.Model:
    layers = [keras.layers.Dense(5, name="one", kernel_initializer="he_normal"), keras.layers.Dense(5, name="two")]
    model = keras.Sequential([keras.Input((4,)), *layers], name="quantized")
    model.layers[0].quantize(mode)
    return model


class Valued(keras.layers.Layer):
    def build(self, shape: Any) -> None:
        self.table = keras.Variable(np.ones(3, np.float32), name="table")


def compiled() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")], name="compiled")
    model.compile("adam", "mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    return model


class Late(keras.layers.Layer):
    """A layer that creates its weights in another order when it is created again."""

    orders = itertools.cycle([("first", "second"), ("second", "first")])

    def build(self, shape: Any) -> None:
        for name in next(self.orders):
            self.add_weight(shape=(3,), name=name, initializer={"first": "zeros", "second": "ones"}[name])


class Renamed(Late):
    """The same layer, without names that identify the weights."""

    def build(self, shape: Any) -> None:
        for name in next(self.orders):
            self.add_weight(shape=(3,), name=f"{name}_{next(_counter)}", initializer="ones")


_counter = itertools.count()


def built(layer: keras.layers.Layer) -> keras.layers.Layer:
    layer.build((None, 3))
    return layer


def columns(shape: tuple[int, ...], dtype: Any = None) -> Any:
    """Return a table in column-major order."""
    return keras.ops.transpose(keras.ops.reshape(keras.ops.arange(math.prod(shape), dtype=dtype), shape[::-1]))


class Table(keras.layers.Layer):
    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=(4, 3), name="table", initializer=columns, dtype="int32", trainable=False)


def refusal(model: Any) -> list[str]:
    try:
        record(model)
    except RecordError as error:
        return [str(fault) for fault in error.faults]
    return []


def beside_threads() -> dict[str, Any]:
    """Overlap two recordings in two threads, while a third thread draws random numbers."""
    began, both, ended = threading.Event(), threading.Event(), threading.Event()
    drawn: list[bool] = []

    def layer(initializer: Callable[..., Any]) -> keras.layers.Layer:
        made = keras.layers.Dense(2, name="layer", kernel_initializer=initializer)
        made.build((None, 2))
        return made

    def first(shape: Any, dtype: Any = None) -> Any:
        began.set()
        assert both.wait(60)
        return keras.ops.ones(shape, dtype)

    def second(shape: Any, dtype: Any = None) -> Any:
        assert began.wait(60)
        both.set()
        assert ended.wait(60)
        other = threading.Thread(target=lambda: drawn.append(keras.random.uniform((3,), 1, 2, seed=1).shape == (3,)))
        other.start()
        other.join()
        return keras.ops.ones(shape, dtype)

    def record_first() -> None:
        record(lambda: layer(first))
        ended.set()

    own = keras.src.backend.random.draw_seed
    threads = [threading.Thread(target=run) for run in (record_first, lambda: record(lambda: layer(second)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"drawn": drawn, "is whole": keras.src.backend.random.draw_seed is own}


def main(directory: Path) -> None:
    models: dict[str, Callable[[], keras.Model]] = {"mobile_net": mobile_net, "sequences": sequences}
    for name, build in models.items():
        model = build()
        recording = record(model, seed=5)
        keras.utils.clear_session()
        again = record(build, seed=5)
        assert [*again.recipe.tensors.values()] == [*recording.recipe.tensors.values()]
        assert not recording.literals
        (directory / f"{name}.json").write_text(text(recording.recipe))
        np.savez(directory / f"{name}.npz", **{weight.path: np.asarray(weight.numpy()) for weight in model.weights})
    counter = keras.layers.Normalization(name="normalization")
    counter.build((None, 3))
    before = built(keras.layers.Dense(2, name="before"))
    told = {
        "custom": refusal(custom),
        "unbuilt": refusal(lambda: keras.Sequential([keras.layers.Dense(3)])),
        "not a model": refusal(dict),
        "assigned": refusal(assigned),
        "one path": refusal(lambda: keras.Sequential([keras.Input((3,)), Twins()])),
        "quantized": {mode: refusal(quantized(mode)) for mode in ("int8", "int4")},
        "quantized in the builder": {mode: refusal(partial(quantized, mode)) for mode in ("int8", "int4")},
        "built before": refusal(lambda: before),
        "from values": refusal(lambda: built(Valued(name="valued"))),
        "float8": sorted(
            [name, tensor.scheme, list(tensor.shape)]
            for name, tensor in record(quantized("float8")).recipe.tensors.items()
        ),
        "compiled": sorted(record(compiled()).recipe.tensors),
        "late": {name: tensor.scheme for name, tensor in record(built(Late(name="late"))).recipe.tensors.items()},
        "renamed": refusal(built(Renamed(name="renamed"))),
        "table": safetensors.numpy.load(record(built(Table(name="table"))).literals_file() or b"")[
            "table/table"
        ].tolist(),
        "wide": sorted(record(wide).recipe.tensors),
        "counter": next(
            [tensor.dtype, tensor.scheme]
            for name, tensor in record(counter).recipe.tensors.items()
            if name == "normalization/count"
        ),
        "threads": beside_threads(),
        "waiting": [weight.path for weight in keras.layers.Dense(2).weights],
    }
    (directory / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
