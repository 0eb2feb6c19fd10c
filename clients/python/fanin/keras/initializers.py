"""`keras.initializers` with Fanin's numbers, a stream for each variable.

Each is a subclass of the initializer of Keras, with the same name, parameters, attributes and distribution. Layers that
check the class of an initializer (`EinsumDense`, and so attention) treat both alike. A seed is an integer from 0 to
2^64 - 1, by default 0. The variable's path selects the stream: on every backend
`Dense(10, name="head", kernel_initializer=HeNormal(seed=42))` gets the tensor "head/kernel" of a recipe of this seed.
Any number of layers can share one instance.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Sequence
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np

from fanin import arrays
from fanin.dialects import DIALECTS
from fanin.draws import Blocks, Draw, Fill, Table, Waves
from fanin.dtypes import FLOATING_NAMES
from fanin.keras import callers
from fanin.keras.tensors import tensor
from fanin.recipe import MAX_SEED, ONLY_TENSOR, Recipe, as_recipe

_SHAPES = {"STFT": (8, 1, 5)}
"""A shape that an initializer allows, if it does not allow shapes of ones."""


class Initializer(keras.initializers.Initializer):  # type: ignore[misc]
    """Base class of the initializers of this module, besides the class of Keras."""

    scheme: ClassVar[str]
    """Name in Keras."""

    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        """Return the values of the variable that Keras is creating.

        With a `layout`, which the backend JAX has, each device generates its shard.

        Raises:
            RecipeError: the distribution does not allow this shape.
            RuntimeError: the values are random, and Keras is not creating a variable of this shape, or creates a second
                variable of the same path.
            TypeError: no recipe has this type.
        """
        dtype = keras.backend.standardize_dtype(dtype)
        if not self._is_said(dtype):
            return _placed(super().__call__(shape, dtype=dtype), layout)
        if dtype not in FLOATING_NAMES:
            raise TypeError(f"dtype {dtype}: the storage type must be one of {', '.join(FLOATING_NAMES)}")
        recipe = self._recipe(tuple(shape), dtype)
        of, name = recipe.tensors[ONLY_TENSOR], ONLY_TENSOR
        if not _is_known(of.draw):
            path = callers.variable(of.shape).path
            if callers.recording.get():
                return keras.ops.zeros(shape, dtype)
            name = path
            recipe = recipe.renamed({ONLY_TENSOR: name})
        if layout is not None:
            from fanin.jax import array

            return array(recipe, name, layout.spec)
        return tensor(arrays.slice(recipe, name, ...), dtype)

    def _is_said(self, dtype: str) -> bool:
        """Return whether a recipe can express these values. Keras fills arrays, infinities and other types itself."""
        if self.scheme == "Constant":
            is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
            return is_number and math.isfinite(self.value) and dtype in FLOATING_NAMES
        return self.scheme not in ("Zeros", "Ones", "Identity") or dtype in FLOATING_NAMES

    def _recipe(self, shape: Sequence[int], dtype: str) -> Recipe:
        """Return the recipe of one tensor in its short form.

        Raises:
            RecipeError: the parameters, the shape or the type do not allow it.
        """
        members = {"scheme": self.scheme, "shape": shape, "dtype": FLOATING_NAMES[dtype], **distribution(self)}
        return as_recipe({"dialect": "keras", "seed": getattr(self, "seed", 0), **members})

    def get_config(self) -> dict[str, Any]:
        """Return the configuration of Keras, with the gain of an identity, which Keras omits."""
        return {**distribution(self), **super().get_config()}

    def _check(self) -> None:
        """Reject parameters that are wrong for every shape."""
        if not self._is_said("float64"):
            return
        axes = [*(getattr(self, "input_axes", None) or ()), *(getattr(self, "output_axes", None) or ())]
        rank = max([2, *(axis + 1 if axis >= 0 else -axis for axis in axes)])
        self._recipe(_SHAPES.get(self.scheme, (1,) * rank), "float64")


def distribution(initializer: keras.initializers.Initializer) -> dict[str, Any]:
    """Return the parameters, as a recipe has them, of an initializer of Keras or of this module, without the seed.

    They are the attributes of the same names.
    """
    names = inspect.signature(type(initializer)).parameters
    return {name: _plain(getattr(initializer, name)) for name in names if name != "seed"}


def _is_known(draw: Draw) -> bool:
    """Return whether the elements are the same in every stream."""
    if isinstance(draw, Blocks):
        return all(map(_is_known, draw.draws))
    return isinstance(draw, Fill | Table | Waves)


def _placed(value: Any, layout: Any) -> Any:
    if layout is None:
        return value
    import jax

    return jax.sharding.reshard(value, layout)


def _plain(value: Any) -> Any:
    """Return a number of NumPy or of Keras' backend as one of Python, and any other value unchanged."""
    if isinstance(value, np.generic | np.ndarray) or keras.ops.is_tensor(value):
        array = keras.ops.convert_to_numpy(value)
        return array.item() if array.ndim == 0 else value
    return value


def _seed(value: Any) -> int:
    """Return the seed; 0 for `None`.

    Raises:
        ValueError: the seed is not an integer from 0 to 2^64 - 1.
    """
    allowed = f"a seed is an integer from 0 to {MAX_SEED}"
    if value is None:
        return 0
    if isinstance(value, keras.random.SeedGenerator | dict):
        raise ValueError(f"{allowed}: a SeedGenerator counts its calls, and numbers here depend on the path alone")
    try:
        seed = operator.index(value)
    except TypeError:
        raise ValueError(f"{allowed}, not {value!r}") from None
    if isinstance(value, bool) or not 0 <= seed <= MAX_SEED:
        raise ValueError(f"{allowed}, not {value!r}")
    return seed


def _class(name: str) -> type[Initializer]:
    theirs = getattr(keras.initializers, name)
    parameters = [
        each.replace(default=0) if each.name == "seed" else each
        for each in inspect.signature(theirs).parameters.values()
    ]
    signature = Signature(parameters)

    def init(self: Initializer, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        arguments = {each: (_seed if each == "seed" else _plain)(value) for each, value in given.arguments.items()}
        if name == "STFT":  # the constructor of Keras needs SciPy, which is optional
            for each, value in arguments.items():
                setattr(self, each, value)
        else:
            theirs.__init__(self, **arguments)
        self._check()

    init.__signature__ = Signature([Parameter("self", Parameter.POSITIONAL_ONLY), *parameters])  # type: ignore[attr-defined]
    members = {
        "__doc__": f"`keras.initializers.{name}`, with Fanin's numbers.",
        "__module__": __name__,
        "__qualname__": name,
        "__init__": init,
        "scheme": name,
    }
    # Keras saves the class under its module and name. With the plain name, a program that has not imported this module
    # would load the class of Keras in its place.
    made: type[Initializer] = type(f"{__name__}.{name}", (Initializer, theirs), members)
    keras.saving.register_keras_serializable("fanin", name)(made)
    return made


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


globals().update({name: _class(name) for name in DIALECTS["keras"]})
__all__ = ["Initializer", *DIALECTS["keras"]]
