"""Record the recipe of a Keras model from the configurations of its initializers."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.trainers.trainer import Trainer

from fanin.dialects import DIALECTS
from fanin.dtypes import FLOATING_NAMES
from fanin.errors import Fault, RecipeError, RecordError, pointer
from fanin.keras import callers, initializers
from fanin.names import misnamed
from fanin.recipe import as_recipe
from fanin.recording import integers
from fanin.recording.literals import Recording
from fanin.recording.patching import Function, Replaced
from fanin.schemes.blocks import MAX_PARTS

MOST_VALUES = 1 << 20
"""Largest number of elements of a variable whose initializer is a function that must be called."""
_QUANTIZED = "quantization ({}) has removed its initializer: record before quantize()"
_NAMED = {0.0: "zeros", 1.0: "ones"}
_SCHEMES = {getattr(module, name): name for name in DIALECTS["keras"] for module in (keras.initializers, initializers)}
"""Name of each class of initializers, of Keras and of this package."""


def record(model: keras.Model | keras.layers.Layer | Callable[[], Any], *, seed: int | str = 0) -> Recording:
    """Return the recipe of a model or layer, read from its initializers. No memory is allocated for its weights.

        >>> fanin.keras.record(lambda: keras.applications.ResNet50(weights=None))

    Args:
        model: A function that creates and builds the model, or a model. A model is created again from its
            configuration, so its training does not matter.
        seed: Seed of the recipe.

    Raises:
        RecordError: initializers that no recipe describes, each with its variable, or a model that cannot be created.
    """
    with _deferred() as scope:
        made = _again(model) if isinstance(model, keras.layers.Layer) else _built(model)
        if not isinstance(made, keras.layers.Layer):
            raise RecordError.of(f"the builder must return a Keras model or layer, not {type(made).__name__}")
        if not made.built:
            raise RecordError.of(f"{made.name} is not built: add an Input, or call build(input_shape)")
        variables = made.weights
    quantized = _quantized(made)
    paths = _paths(model if isinstance(model, keras.layers.Layer) else made, variables)
    tensors: dict[str, Any] = {}
    literals: dict[str, np.ndarray] = {}
    faults = []
    for path, variable in zip(paths, variables, strict=True):
        if path in tensors or path in literals:
            faults.append(Fault(pointer([path]), "two weights have this path: give their layers different names"))
            continue
        try:
            mode = quantized.get(id(variable))
            if scope.get_current_value(variable) is not None:
                raise _RefusedError(
                    _QUANTIZED.format(mode) if mode else "the model assigns a value to it after its initializer"
                )
            if variable._initializer is None and not mode:
                raise _RefusedError("it has a value already: it was built before, or in a thread of the builder")
            dtype = keras.backend.standardize_dtype(variable.dtype)
            if dtype in FLOATING_NAMES:
                said = _said(variable._initializer, variable.shape, dtype)
                tensors[path] = {"shape": list(variable.shape), "dtype": FLOATING_NAMES[dtype], **said}
            elif mode:
                raise _RefusedError(_QUANTIZED.format(mode))
            else:
                made = _called(variable._initializer, variable.shape, dtype)
                values = made.astype(dtype)  # the backend of torch has wider types in place of uint16 and uint32
                if not np.array_equal(values, made):
                    raise _RefusedError(f"its initial values are not numbers of its type, {dtype}")
                if whole := integers.members(values):
                    tensors[path] = {"dialect": "fanin", **whole}
                else:
                    literals[path] = values
        except _RefusedError as refusal:
            faults.append(Fault(pointer([path]), str(refusal)))
    faults += [Fault(pointer([path]), reason) for path in literals if (reason := misnamed(path))]
    if faults:
        raise RecordError(faults)
    try:
        recipe = as_recipe({"seed": seed, "dialect": "keras", "tensors": tensors})
    except RecipeError as error:
        raise RecordError.from_recipe(error) from None
    return Recording(recipe, literals)


def _built(build: Callable[[], Any]) -> Any:
    """Return the result of the builder.

    Raises:
        RecordError: it fails because variables have no values yet. Other errors are raised as they are.
    """
    try:
        return build()
    except (RuntimeError, ValueError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        if any(frame.name == "quantize" for frame in frames):
            raise RecordError.of("the builder quantizes the model: record before quantize()") from error
        if "create a variable while in a stateless scope" in str(error):
            raise RecordError.of("the builder creates a variable from values, not from an initializer") from error
        raise


class _RefusedError(Exception):
    """The reason why no recipe describes an initializer."""


@contextmanager
def _deferred() -> Iterator[keras.StatelessScope]:
    """Create variables without values inside the block. The scope stores the values that the model assigns."""
    waiting = global_state.get_global_attribute("uninitialized_variables") or []
    token = callers.recording.set(True)
    try:
        with keras.StatelessScope(initialize_variables=False) as scope:
            yield scope
    finally:
        callers.recording.reset(token)
        # Otherwise the end of any later scope would initialize all variables that still wait for a value.
        global_state.set_global_attribute("uninitialized_variables", waiting)


def _quantized(model: keras.layers.Layer) -> dict[int, str]:
    """Return the mode of quantization of each variable of a quantized layer, by the variable's id."""
    return {
        id(variable): layer.quantization_mode
        for layer in model._flatten_layers()
        if layer.quantization_mode
        for variable in layer._trainable_variables + layer._non_trainable_variables
    }


def _paths(model: keras.layers.Layer, variables: Sequence[keras.Variable]) -> list[str]:
    """Return the paths in the model of the variables of the model that Keras created again.

    Raises:
        RecordError: the variables cannot be matched.
    """
    weights, paths = model.weights, [variable.path for variable in variables]
    if sorted(weight.path for weight in weights) == sorted(paths):
        return paths
    # Keras gives layers without a name new numbers, in the same order.
    kinds = [[(each.name, tuple(each.shape), str(each.dtype)) for each in some] for some in (weights, variables)]
    if kinds[0] != kinds[1]:
        raise RecordError.of(f"{model.name} has other weights when it is created again: pass its builder")
    return [weight.path for weight in weights]


def _uncompiled(compile_from_config: Function) -> Function:
    """Skip the compilation of a model that is recorded: its optimizer would create variables."""

    def either(model: Any, config: Any) -> None:
        if not callers.recording.get():
            compile_from_config(model, config)

    return either


def _with_gain(get_config: Function) -> Function:
    """Keep the gain of an identity in a model that is recorded. Keras omits it, and would create a gain of 1."""

    def either(identity: keras.initializers.Identity) -> dict[str, Any]:
        return {**({"gain": identity.gain} if callers.recording.get() else {}), **get_config(identity)}

    return either


_COMPILED = Replaced({"compile_from_config": _uncompiled})
_CONFIGURED = Replaced({"get_config": _with_gain})


def _again(model: keras.layers.Layer) -> keras.layers.Layer:
    """Return the model, created again from its configuration.

    Raises:
        RecordError: Keras cannot create it from its configuration.
    """
    if not model.built:
        return model
    try:
        with _COMPILED.within(Trainer), _CONFIGURED.within(keras.initializers.Identity):
            again = (
                keras.models.clone_model(model)
                if isinstance(model, keras.Model)
                else type(model).from_config(model.get_config())
            )
        if not again.built:
            again.build_from_config(model.get_build_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise RecordError.of(f"{model.name} cannot be created again: {error}; pass its builder") from None
    return again


def _said(initializer: Any, shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """Return the scheme and its parameters for an initializer.

    Raises:
        _RefusedError: no scheme describes it.
    """
    name = _SCHEMES.get(type(initializer))
    if name is not None and not _is_array(initializer):
        return {"scheme": name, **initializers.distribution(initializer)}
    if isinstance(initializer, keras.initializers.Initializer) and name is None:
        raise _RefusedError(
            f"no scheme describes the initializer {type(initializer).__module__}.{type(initializer).__name__}"
        )
    values = _called(initializer, shape, dtype)
    if np.iscomplexobj(values) and values.imag.any():
        raise _RefusedError(f"no scheme describes the complex values of {_function(initializer)}")
    flat = values.real.astype(np.float64).ravel()
    if not np.isfinite(flat).all():
        raise _RefusedError(f"no scheme has the NaN or infinite values of {_function(initializer)}")
    runs = [(value, len(list(run))) for value, run in itertools.groupby(flat.tolist())]
    match runs:
        case []:
            return {"dialect": "fanin", "scheme": "zeros"}
        case [(value, _)]:
            return {"dialect": "fanin", **_constant(value)}
        case _ if len(shape) == 1 and len(runs) <= MAX_PARTS:
            return {"dialect": "fanin", "scheme": "blocks", "parts": [{"size": n, **_constant(v)} for v, n in runs]}
    raise _RefusedError(f"no scheme describes the function {_function(initializer)}")


def _is_array(initializer: Any) -> bool:
    """Return whether the initializer returns the elements of an array, which a call reads."""
    return isinstance(initializer, keras.initializers.Constant) and np.ndim(initializer.value) > 0


def _constant(value: float) -> dict[str, Any]:
    return {"scheme": _NAMED[value]} if value in _NAMED else {"scheme": "constant", "value": value}


def _called(initializer: Callable[..., Any], shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return the values of a function that is not random.

    Raises:
        _RefusedError: the function is random or fails, or the variable is too large.
    """
    if np.prod(shape, dtype=object) > MOST_VALUES:
        raise _RefusedError(f"the function {_function(initializer)} returns more than {MOST_VALUES} values")
    try:
        with _without_random_numbers():
            first, second = (keras.ops.convert_to_numpy(initializer(shape, dtype=dtype)) for _ in range(2))
    except _RandomError:
        first, second = np.zeros(1), np.ones(1)
    except Exception as error:
        raise _RefusedError(f"the function {_function(initializer)} fails: {error}") from error
    if not np.array_equal(first, second, equal_nan=True):
        raise _RefusedError(f"no scheme describes the random function {_function(initializer)}")
    return np.asarray(first)


class _RandomError(Exception):
    """A function requested random numbers."""


_has_none: ContextVar[bool] = ContextVar("fanin_keras_without_random_numbers", default=False)
"""True while Keras refuses to give random numbers."""


def _refusing(draw_seed: Function) -> Function:
    def refuse(seed: Any) -> Any:
        if _has_none.get():
            raise _RandomError
        return draw_seed(seed)

    return refuse


_REPLACED = Replaced({"draw_seed": _refusing})


@contextmanager
def _without_random_numbers() -> Iterator[None]:
    """Refuse random numbers of Keras inside the block.

    Two equal calls do not show that a function is not random, because a seeded initializer repeats its numbers.
    """
    with _REPLACED.within(keras.src.backend.random):
        token = _has_none.set(True)
        try:
            yield
        finally:
            _has_none.reset(token)


def _function(initializer: Any) -> str:
    return getattr(initializer, "__qualname__", type(initializer).__qualname__)
