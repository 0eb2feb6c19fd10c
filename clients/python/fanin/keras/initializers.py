"""`keras.initializers` with Fanin's numbers, a stream for each variable.

Each has the name, the parameters and the law that it has in Keras; a seed is an integer, 0 by default. The stream is
that of the variable's path: `Dense(10, name="head", kernel_initializer=HeNormal(seed=42))` gets what a recipe of this
seed has as the tensor "head/kernel", whatever the backend, and one instance may serve any number of layers.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from inspect import Parameter, Signature
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

import keras

from fanin import arrays
from fanin.dialects import DIALECTS
from fanin.draws import Fill
from fanin.fits import DTYPE_NAMES
from fanin.keras.tensors import tensor
from fanin.recipe import ONLY_TENSOR, as_recipe


class Initializer(keras.initializers.Initializer):  # type: ignore[misc]
    """Base of the initializers here."""

    scheme: ClassVar[str]

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = dict(parameters)
        as_recipe({"seed": parameters.get("seed", 0), "tensors": {}})  # refuses what is no seed

    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        """The values of the variable that Keras is making; with a `layout`, of JAX, each device makes its own shard.

        Raises:
            RecipeError: the law does not allow this shape.
            RuntimeError: the values are random, and Keras is not making a variable of this shape.
            TypeError: no recipe has this type.
        """
        dtype = keras.backend.standardize_dtype(dtype)
        if dtype not in DTYPE_NAMES:
            raise TypeError(f"dtype {dtype}: weights are made in {', '.join(DTYPE_NAMES)}")
        given = {name: value for name, value in self._parameters.items() if (name, value) != ("seed", None)}
        members = {"scheme": self.scheme, "shape": tuple(shape), "dtype": DTYPE_NAMES[dtype], **given}
        short = as_recipe({"dialect": "keras", **members})
        law = short.tensors[ONLY_TENSOR]
        name = ONLY_TENSOR if isinstance(law.draw, Fill) else _variable(law.shape).path
        recipe = short.model_copy(update={"tensors": {name: law}})
        if layout is not None:
            from fanin.jax import array

            return array(recipe, name, layout.spec)
        return tensor(arrays.slice(recipe, name, ...), dtype)

    def get_config(self) -> dict[str, Any]:
        return dict(self._parameters)


def _variable(shape: tuple[int, ...]) -> keras.Variable:
    """The variable that is being initialized.

    Keras tells an initializer shape and type alone, and may make variables long after their layer: who calls it is
    known from the calls alone.
    """
    frame: FrameType | None = inspect.currentframe()
    while frame:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.Variable):
            if tuple(caller._shape) != shape:
                raise RuntimeError(f"{caller.path} is made of parts of shape {shape}: `fanin.keras.init_` can fill it")
            return caller
        frame = frame.f_back
    raise RuntimeError("only for a variable that Keras makes; `fanin.materialize` makes arrays")


def _class(name: str) -> type[Initializer]:
    theirs = inspect.signature(getattr(keras.initializers, name)).parameters.values()
    parameters = [each.replace(default=0) if each.name == "seed" else each for each in theirs]
    signature = Signature(parameters)

    def init(self: Initializer, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        Initializer.__init__(self, given.arguments)

    init.__signature__ = Signature([Parameter("self", Parameter.POSITIONAL_ONLY), *parameters])  # type: ignore[attr-defined]
    members = {
        "__doc__": f"`keras.initializers.{name}`, with Fanin's numbers.",
        "__module__": __name__,
        "__init__": init,
        "scheme": name,
    }
    made: type[Initializer] = keras.saving.register_keras_serializable("fanin")(type(name, (Initializer,), members))
    return made


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


globals().update({name: _class(name) for name in DIALECTS["keras"]})
__all__ = ["Initializer", *DIALECTS["keras"]]
