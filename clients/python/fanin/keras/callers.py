"""Who calls an initializer: Keras tells it shape and type alone.

Keras may also make variables long after their layer, so who calls is known from the chain of calls alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import keras

recording: ContextVar[bool] = ContextVar("fanin_keras_recording", default=False)
"""Whether a model is being recorded: its variables get no values, and Keras asks for shapes and types alone."""


def variable(shape: tuple[int, ...]) -> keras.Variable:
    """The variable that Keras is making.

    Raises:
        RuntimeError: there is none, or one of another shape, or its layers have another of the same path.
    """
    frames = _frames()
    found = next((each for members in frames if isinstance(each := members.get("self"), keras.Variable)), None)
    if found is None:
        raise RuntimeError("only for a variable that Keras makes; `fanin.materialize` makes arrays")
    if tuple(found._shape) != shape:
        raise RuntimeError(f"{found.path} is made of parts of shape {shape}: `fanin.keras.init_` can fill it")
    inner: keras.layers.Layer | None = None
    late: list[keras.Variable] = []
    for members in frames:
        if isinstance(waiting := members.get("collection"), list):
            late = [each for each in waiting if isinstance(each, keras.Variable) and each.path == found.path]
        caller = members.get("self")
        if isinstance(caller, keras.layers.Layer) and caller is not inner:
            if any(other is not found and other.path == found.path for other in _beside(caller, inner, late)):
                raise RuntimeError(
                    f"two variables have the path {found.path}, and so would get the same numbers: give layers and"
                    " weights names of their own"
                )
            inner = caller
    return found


def _frames() -> Iterator[dict[str, Any]]:
    """The local variables of each function that is running, the innermost first."""
    frame = inspect.currentframe()
    while frame:
        yield frame.f_locals
        frame = frame.f_back


def _beside(
    layer: keras.layers.Layer, inner: keras.layers.Layer | None, late: Sequence[keras.Variable]
) -> Iterator[keras.Variable]:
    """Variables of a layer that makes one; of a layer that has `inner` in it, those of others there of the same name.

    A model that is cloned calls the layers of its clone, and has none of them in it. Of the variables that Keras makes
    `late`, some may have been left by another model.
    """
    if len(late) > 1:
        yield from (each for each in late if any(each is weight for weight in layer.weights))
    if inner is None:
        yield from layer._trainable_variables
        yield from layer._non_trainable_variables
    elif any(each is inner for each in layer._layers):
        for other in layer._layers:
            if other is not inner and other.name == inner.name:
                yield from other.weights
