"""Find the variable for which Keras calls an initializer. Keras passes only shape and type.

Keras can create variables long after their layer, so only the chain of calls identifies the variable.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import keras

recording: ContextVar[bool] = ContextVar("fanin_keras_recording", default=False)
"""True while a model is recorded. Its variables get no values; Keras needs their shapes and types only."""


def variable(shape: tuple[int, ...]) -> keras.Variable:
    """Return the variable that Keras is creating.

    Raises:
        RuntimeError: there is none, its shape differs, or its layers have another variable of the same path.
    """
    frames = _frames()
    found = next((each for members in frames if isinstance(each := members.get("self"), keras.Variable)), None)
    if found is None:
        raise RuntimeError("this works only for a variable that Keras creates; `fanin.materialize` returns arrays")
    if tuple(found._shape) != shape:
        raise RuntimeError(f"{found.path} is created from parts of shape {shape}: fill it with `fanin.keras.init_`")
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
                    " weights different names"
                )
            inner = caller
    return found


def _frames() -> Iterator[dict[str, Any]]:
    """Yield the local variables of each running function, the innermost first."""
    frame = inspect.currentframe()
    while frame:
        yield frame.f_locals
        frame = frame.f_back


def _beside(
    layer: keras.layers.Layer, inner: keras.layers.Layer | None, late: Sequence[keras.Variable]
) -> Iterator[keras.Variable]:
    """Yield the variables that could have the path of a new variable.

    For the layer that creates the variable (`inner` is None), these are its variables. For a layer that contains
    `inner`, these are the weights of other contained layers of the same name. A model that Keras clones calls the
    layers of its clone and does not contain them. Another model can have left some of the `late` variables.
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
