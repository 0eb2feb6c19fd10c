"""Inspection of recipes, files, directories, arrays and models."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fanin.file.layout import FileLayout
from fanin.inspection import sources
from fanin.inspection.measuring import measured
from fanin.inspection.results import Finding, Inspection, folded
from fanin.inspection.rules.signals import Layer, signal_findings
from fanin.inspection.sources import Source
from fanin.inspection.thresholds import HEAD, SAMPLE
from fanin.recipe import Recipe
from fanin.recipe.header import has_weights


def inspect(
    source: Any,
    *,
    inputs: Any = None,
    signal: bool = True,
    name: str | None = None,
    backend: str | None = None,
) -> Inspection:
    """Return statistics of every tensor, the signal at every layer, and findings with their evidence.

        >>> found = fanin.inspect(model)
        >>> found.is_quiet
        True

    A file or a recipe may exceed the memory: tensors are read in blocks. A model runs once forward and once backward,
    in training mode without dropout, and keeps its values, buffers and modes.

    Args:
        source: A recipe in any form that `fanin.as_recipe` takes. Or the path of a recipe, of a safetensors file or of
            a directory with such files. Or a PyTorch module, a Keras model, a pytree of JAX arrays, or a mapping of
            names to arrays or tensors, such as a `state_dict`. Or a function without arguments that returns one of the
            models: memory that it leaves unwritten is found exactly.
        inputs: For a PyTorch model, a tensor, a tuple of arguments, a mapping of named ones, or a function that returns
            one of them. For a Keras model, what its call takes. By default random ones, as the first layer or the
            configuration says.
        signal: Whether to run the model.
        name: Name of the source in reports.
        backend: Name of the backend that generates the tensors of a recipe.

    Raises:
        TypeError: the source is none of these.
        ValueError: `inputs` are given for another source than a PyTorch or Keras model, or the model fails with them.
            Or the elements of an array have a type that no file stores.
        RecipeError: the recipe is wrong.
        FileError: a file is damaged, or a directory has no safetensors file.
        OSError: a file cannot be read.
        BackendError: the backend cannot be used here.
    """
    framework = _framework(source)
    is_model = framework in ("torch", "keras") or (framework is None and callable(source))
    if inputs is not None and not is_model:
        raise ValueError(f"inputs are for a PyTorch or Keras model, not for {name or type(source).__name__}")
    if isinstance(source, os.PathLike):
        return _path(Path(source), name or os.fspath(source), backend)
    if isinstance(source, str | bytes | Recipe | FileLayout) or _is_recipe(source):
        layout = FileLayout.of(source)
        return _tensors(name or f"recipe {layout.recipe.digest}", "recipe", sources.of_recipe(layout, backend), [])
    if framework is None and callable(source):
        return _built(source, inputs, signal, name)
    if framework == "torch":
        return _torch(source, inputs, signal, name, [], [])
    if framework == "keras":
        return _keras(source, inputs, signal, name)
    if framework == "jax":
        from fanin.inspection.models import jax as jax_models

        return _tensors(name or type(source).__name__, "jax", jax_models.read(source), [])
    if isinstance(source, Mapping):
        return _arrays(source, name or "arrays")
    raise TypeError(
        "source must be a recipe, a path, a model, arrays by name or a function that returns one, not"
        f" {type(source).__name__}"
    )


def _path(path: Path, name: str, backend: str | None) -> Inspection:
    if path.is_dir():
        return _tensors(name, "directory", *sources.of_directory(path))
    with path.open("rb") as file:
        stored = has_weights(file)
    if stored:
        return _tensors(name, "file", *sources.of_file(path))
    return _tensors(name, "recipe", sources.of_recipe(FileLayout.of(path), backend), [])


def _is_recipe(source: Any) -> bool:
    """Return whether an object is a recording, or a mapping that is a recipe and not one of arrays."""
    if isinstance(getattr(source, "recipe", None), Recipe):
        return True
    return isinstance(source, Mapping) and ("tensors" in source or "repeated" in source or "scheme" in source)


def _framework(source: Any) -> str | None:
    """Return the framework of a model, without importing one that the program has not imported."""
    torch, keras, jax = (sys.modules.get(each) for each in ("torch", "keras", "jax"))
    if keras is not None and hasattr(keras, "Layer") and isinstance(source, keras.Layer):
        return "keras"
    if torch is not None and hasattr(torch, "nn") and isinstance(source, torch.nn.Module):
        return "torch"
    if jax is not None and hasattr(jax, "tree_util") and not isinstance(source, type):
        leaves = jax.tree_util.tree_leaves(source)
        if leaves and all(isinstance(each, jax.Array | jax.ShapeDtypeStruct) for each in leaves):
            return "jax"
    return None


def _built(build: Callable[[], Any], inputs: Any, signal: bool, name: str | None) -> Inspection:
    """Inspect the result of a function. Memory that it leaves unwritten is found where torch is installed."""
    name = name or getattr(build, "__qualname__", type(build).__name__)
    findings: list[Finding] = []
    remarks: list[str] = []
    if "torch" in sys.modules:
        from fanin.inspection.models import torch as torch_models

        model, findings = torch_models.built(build)
    else:
        model = build()
        remarks.append("unwritten memory was not marked: import torch before the function that creates the model")
    if _framework(model) == "torch":
        return _torch(model, inputs, signal, name, findings, remarks)
    if callable(model) and _framework(model) is None:
        raise TypeError(f"{name} returns {type(model).__name__}, which is not a model or arrays")
    return inspect(model, inputs=inputs, signal=signal, name=name)


def _torch(
    model: Any, inputs: Any, signal: bool, name: str | None, findings: list[Finding], remarks: list[str]
) -> Inspection:
    from fanin.inspection.models import torch as torch_models
    from fanin.inspection.models import torch_signals

    tensors, more = torch_models.sources(model)
    remarks = [*remarks, *more]
    unwritten = {each.where for each in findings}
    layers: list[Layer] = []
    if signal and (any(each.is_meta for each in tensors) or unwritten):
        remarks.append("no signal was sent through the model: some of its tensors have no values")
    else:
        layers = _signal(torch_signals.measure, model, inputs, signal, remarks)
    return _assembled(name or type(model).__name__, "torch", tensors, layers, findings, remarks)


def _keras(model: Any, inputs: Any, signal: bool, name: str | None) -> Inspection:
    from fanin.inspection.models import keras as keras_models

    tensors, remarks = keras_models.sources(model)
    layers = _signal(keras_models.measure, model, inputs, signal, remarks)
    if layers:
        remarks.append("the signal of a Keras model is measured forward only")
    return _assembled(name or type(model).__name__, "keras", tensors, layers, [], remarks)


def _signal(
    measure: Callable[[Any, Any], list[Layer]], model: Any, inputs: Any, signal: bool, remarks: list[str]
) -> list[Layer]:
    """Return the layers with the signal at each. Without one, add the reason to the remarks.

    Raises:
        ValueError: the model fails with inputs that the caller gave.
    """
    if not signal:
        remarks.append("no signal was sent through the model, as requested")
        return []
    try:
        return measure(model, inputs() if callable(inputs) else inputs)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if inputs is not None:
            raise ValueError(f"the model cannot be run with these inputs: {reason}") from error
        remarks.append(f"no signal was sent through the model: {reason}")
        return []


def _arrays(source: Mapping[str, Any], name: str) -> Inspection:
    torch = sys.modules.get("torch")
    if torch is not None and source and all(isinstance(each, torch.Tensor) for each in source.values()):
        from fanin.inspection.models import torch as torch_models

        return _tensors(name, "arrays", *torch_models.of_tensors(source))
    return _tensors(name, "arrays", sources.of_arrays(source), [])


def _tensors(name: str, kind: str, tensors: list[Source], remarks: list[str]) -> Inspection:
    return _assembled(name, kind, tensors, [], [], remarks)


def _assembled(
    name: str, kind: str, tensors: list[Source], layers: list[Layer], findings: list[Finding], remarks: list[str]
) -> Inspection:
    reports, found, tests = measured(tensors, bool(layers))
    unwritten = {each.where for each in findings}
    found = [each for each in found if each.where not in unwritten]
    if layers:
        findings = [*findings, *signal_findings(layers)]
    if any(source.count > SAMPLE for source in tensors):
        remarks.append(
            f"KS distances, and distinct values in types of 32 and 64 bits, are those of a sample of {SAMPLE} elements"
        )
    if any(source.count > HEAD for source in tensors):
        remarks.append(f"equal rows and singular values are those of the first {HEAD} elements of a tensor")
    return Inspection(
        source=name,
        kind=kind,
        tensors=tuple(reports),
        layers=tuple(layer.report() for layer in layers),
        findings=folded([*findings, *found]),
        remarks=tuple(remarks),
        tests=tests,
    )
