"""Functions that make models, as the command line names them."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


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


def module_file_of(source: str) -> str | None:
    """Return the path of the imported module that `package.module:build` names, or None if it has no file."""
    return getattr(sys.modules.get(source.partition(":")[0]), "__file__", None)


def configuration_of(source: str) -> Path:
    """Return the path of a configuration of transformers, given itself or the directory with it."""
    return Path(source, "config.json") if Path(source).is_dir() else Path(source)


def quantization_of(source: str) -> Mapping[str, Any] | None:
    """Return the `quantization_config` of a configuration of transformers; None if it has none."""
    config = json.loads(configuration_of(source).read_bytes())
    return config.get("quantization_config") if isinstance(config, Mapping) else None


def transformer_of(source: str) -> Callable[[], Any]:
    """Return a function that builds the model of a transformers configuration. It runs only the library's code."""
    path = configuration_of(source)
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
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
