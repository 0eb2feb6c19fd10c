"""Functions that make models, as the command line names them."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

FRAMEWORKS: Mapping[str, frozenset[str]] = {
    "torch": frozenset({"torch", "diffusers", "timm", "transformers"}),
    "keras": frozenset({"keras"}),
    "jax": frozenset({"jax", "equinox", "flax", "haiku"}),
}
"""Packages whose names in a module show that it builds models of a framework."""
_SOURCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def builder_of(source: str) -> Callable[[], Any]:
    """Return the function that `package.module:build` names. It can be in the working directory."""
    module, _, path = source.partition(":")
    if not module or not path:
        raise ValueError(f"{source!r} is not of the form package.module:build")
    sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{source}: {error}") from None
    if not callable(found):
        raise ValueError(f"{source} is not a function, but of type {type(found).__name__}")
    built: Callable[[], Any] = found
    return built


def is_builder(source: str) -> bool:
    """Return whether an argument has the form `package.module:build`, and is not the name of a file."""
    return _SOURCE.fullmatch(source) is not None and not Path(source).exists()


def framework_of(source: str) -> str:
    """Return the framework of the model that `package.module:build` names: `torch`, `keras` or `jax`.

    A module shows its framework by the packages that it imports, and a class by those of its bases.

    Raises:
        ValueError: it shows none, or several.
    """
    build = builder_of(source)
    known = [*vars(sys.modules[source.partition(":")[0]]).values(), *getattr(build, "__mro__", ())]
    packages = {_module_name(each).partition(".")[0] for each in known}
    if code := getattr(build, "__code__", None):
        packages.update(name.partition(".")[0] for name in code.co_names)  # imports inside of the function
    found = [framework for framework, names in FRAMEWORKS.items() if names & packages]
    if len(found) != 1:
        shown = " and ".join(found) or "none of torch, keras and jax"
        raise ValueError(f"the module of {source} uses {shown}: say which one builds the model, with --framework")
    return found[0]


def _module_name(value: object) -> str:
    """Return the name of a module, or that of the module where a class or function was defined."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return name if isinstance(name, str) else ""


def module_file_of(source: str) -> str | None:
    """Return the path of the imported module that `package.module:build` names, or None if it has no file."""
    return getattr(sys.modules.get(source.partition(":")[0]), "__file__", None)


def configuration_of(source: str) -> Path:
    """Return the path of a configuration of transformers, given itself or the directory with it."""
    return Path(source, "config.json") if Path(source).is_dir() else Path(source)


def quantization_of(source: str) -> Mapping[str, Any] | None:
    """Return the `quantization_config` of a configuration of transformers; None if it has none."""
    config = _read(configuration_of(source))
    return config.get("quantization_config") if isinstance(config, Mapping) else None


def transformer_of(source: str) -> Callable[[], Any]:
    """Return a function that builds the model of a transformers configuration. It runs only the library's code."""
    path = configuration_of(source)
    config = _read(path)
    if not isinstance(config, Mapping) or "model_type" not in config:
        raise ValueError(f"{path} is not a configuration of transformers: it has no model_type")
    import transformers

    # The model is recorded before quantization: its quantized modules would initialize nothing.
    fields = {key: value for key, value in config.items() if key not in ("model_type", "quantization_config")}
    parsed = transformers.AutoConfig.for_model(config["model_type"], **fields)
    for architecture in config.get("architectures") or []:
        if model := getattr(transformers, architecture, None):
            return lambda: model._from_config(parsed)
    return lambda: transformers.AutoModel.from_config(parsed)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
