"""Keras models: their weights with the roles that layers give them, and the forward signal of functional models."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from fanin.inspection.roles import TRANSPOSED, Counted, Role
from fanin.inspection.rules.signals import Layer
from fanin.inspection.sources import Source, of_array
from fanin.schemes.fans import Fans

_BATCH, _SIDE = 8, 32


def sources(model: Any) -> tuple[list[Source], list[str]]:
    """Return the weights of a Keras model, and remarks about those that cannot be read."""
    found, remarks = [], []
    for layer in _leaves(model):
        for weight in layer._trainable_variables + layer._non_trainable_variables:
            try:
                found.append(of_array(weight.path, np.asarray(_host(weight)), _role(layer, weight), id(weight)))
            except ValueError as error:
                remarks.append(str(error))
    return found, remarks


def _host(weight: Any) -> Any:
    return keras.ops.convert_to_numpy(weight.value)


def _leaves(model: Any) -> list[Any]:
    """Return the model and all layers in it that have weights, in their order."""
    return [each for each in model._flatten_layers() if each._trainable_variables or each._non_trainable_variables]


def _role(layer: Any, weight: Any) -> Role:
    shape, name = tuple(weight.shape), weight.name
    if isinstance(layer, keras.layers.Embedding):
        return Role("embedding")
    if "Normalization" in type(layer).__name__:
        return Role("norm", text="scale of a normalization" if name == "gamma" else "shift of a normalization")
    if "kernel" not in name or len(shape) < 2:
        return Role("bias" if "bias" in name else "other")
    field = math.prod(shape[:-2])
    if isinstance(layer, keras.layers.DepthwiseConv1D | keras.layers.DepthwiseConv2D):
        wrong = Counted(Fans(shape[-2] * field, shape[-1] * field), "input channels that a unit does not read")
        return Role("kernel", Fans(field, shape[-1] * field), (wrong,), "depthwise kernel", "glorot", True)
    fans = Fans(shape[-2] * field, shape[-1] * field)
    if "Transpose" in type(layer).__name__:
        how = "axes of a convolution that is not transposed: its fan_in is this kernel's fan_out"
        return Role("kernel", Fans(fans.fan_out, fans.fan_in), (Counted(fans, how),), TRANSPOSED, "glorot", True)
    groups = getattr(layer, "groups", 1)
    if groups > 1:
        wrong = Counted(fans, "fan_out of all groups, of which an input unit reaches one")
        right = Fans(fans.fan_in, fans.fan_out // groups)
        return Role("kernel", right, (wrong,), f"kernel of {groups} groups", "glorot", True)
    return Role("kernel", fans, is_output_last=True)


def measure(model: Any, given: Any = None) -> list[Layer]:
    """Return the layers of a functional or sequential model, with the forward signal at each.

    Raises:
        ValueError: the model is of another kind.
        Exception: what the model raises.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "_functional", model).__dict__.get("_operations"):
        raise ValueError("it is neither functional nor sequential")
    operations = [each for each in model.layers if not isinstance(each, keras.layers.InputLayer)]
    ends = [(each.input, each.output) for each in operations]
    probe = keras.Model(model.inputs, [tensor for pair in ends for tensor in map(_first, pair)])
    values = probe(given if given is not None else [_random(each) for each in model.inputs], training=False)
    arrays = [keras.ops.convert_to_numpy(each).astype(np.float64) for each in values]
    layers = []
    for place, each in enumerate(operations):
        received, returned = arrays[2 * place], arrays[2 * place + 1]
        is_linear = any("kernel" in weight.name for weight in each.weights)
        layer = Layer(each.name, type(each).__name__, "", is_linear, bool(each.weights))
        layer.input, layer.output = _rms(received), _rms(returned)
        activation = getattr(each, "activation", None)
        is_relu = isinstance(each, keras.layers.ReLU) or getattr(activation, "__name__", "") == "relu"
        if is_relu and returned.ndim > 1:
            live = (returned != 0).any(axis=tuple(range(returned.ndim - 1)))
            layer.units, layer.dead = len(live), int((~live).sum())
        layers.append(layer)
    return layers


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) else value


def _random(spec: Any) -> Any:
    shape = [_BATCH, *(length or _SIDE for length in spec.shape[1:])]
    generator = np.random.Generator(np.random.Philox(0))
    if "int" in str(spec.dtype):
        return generator.integers(0, 2, shape)
    return generator.standard_normal(shape, np.float32)


def _rms(array: Any) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(array**2))) if array.size else 0.0
