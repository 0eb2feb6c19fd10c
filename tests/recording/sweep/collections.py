"""Collections of models."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import nn

from tests.recording.sweep.judging import Case

SMALL = {
    "vocab": 300,
    "layers": 2,
    "layer": 2,
    "depth": 2,
    "heads": 4,
    "head": 4,
    "experts": 4,
    "groups": 2,
}
"""Small sizes for fields of a configuration, by the last word of the field's name."""
WIDTHS = {
    "hidden_size": 64,
    "d_model": 64,
    "n_embd": 64,
    "embed_dim": 64,
    "dim": 64,
    "intermediate_size": 96,
    "ffn_dim": 96,
    "d_ff": 96,
    "vocab_size": 300,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 96,
    "moe_intermediate_size": 48,
    "image_size": 64,
}


def _with_torchvision() -> ModuleType:
    """Import torchvision without its operators: its wheel has them for CUDA, and constructions do not call them."""
    global _OPERATORS
    if _OPERATORS is None:
        _OPERATORS = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            _OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")


_OPERATORS: Any = None


def torchvision_models() -> Iterator[Case]:
    """Every entry point of torchvision: classification, detection, segmentation, video, optical flow."""
    models = _with_torchvision().models
    for name in models.list_models():
        yield Case(name, partial(models.get_model, name, weights=None, **_backbone(models, name)))


def _backbone(models: Any, name: str) -> dict[str, Any]:
    """Return the options that keep detectors and segmenters from loading a backbone's weights."""
    takes = inspect.signature(models.get_model_builder(name)).parameters
    return {"weights_backbone": None} if "weights_backbone" in takes else {}


def timm_models() -> Iterator[Case]:
    """Every entry point of timm."""
    _with_torchvision()
    timm = importlib.import_module("timm")
    for name in timm.list_models():
        yield Case(name, partial(timm.create_model, name))


def transformers_models() -> Iterator[Case]:
    """Every model class that a configuration of transformers is mapped to, small where that can be built."""
    if importlib.util.find_spec("torchvision"):
        _with_torchvision()  # transformers uses it where it is installed
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    seen = set()
    names = [name for name in sorted(vars(auto)) if name.startswith("MODEL_") and name.endswith("MAPPING")]
    for mapping in [getattr(auto, name) for name in names]:
        for model_type, kinds in mapping._model_mapping.items():
            for name in kinds if isinstance(kinds, tuple | list) else [kinds]:
                if name in seen:
                    continue
                seen.add(name)
                try:
                    config = mapping._load_attr_from_module(model_type, mapping._config_mapping[model_type])
                    kind = mapping._load_attr_from_module(model_type, name)
                except (ImportError, AttributeError, ValueError, KeyError):
                    continue  # the model needs a package that is not installed
                yield Case(name, partial(_transformer, kind, config))


def _transformer(kind: Any, config: Any) -> nn.Module:
    return kind._from_config(_small(config, kind), dtype=torch.float32)


_BUILDABLE: dict[Any, bool] = {}


def _small(config: Any, kind: Any) -> Any:
    """Return a small configuration, or the default one if the model cannot be built from a small one."""
    if kind not in _BUILDABLE:
        try:
            with torch.device("meta"):
                kind._from_config(_shrunk(config))
            _BUILDABLE[kind] = True
        except Exception:
            _BUILDABLE[kind] = False
    return _shrunk(config) if _BUILDABLE[kind] else config()


def _shrunk(config: Any) -> Any:
    made = config()
    for each in [made, *(value for value in vars(made).values() if hasattr(value, "to_dict"))]:
        for field, value in list(vars(each).items()):
            last = field.split("_")[-1]
            if isinstance(value, bool) or not isinstance(value, int):
                continue
            small = WIDTHS.get(field) or (
                SMALL.get(last) if field.startswith(("num_", "n_", "encoder_", "decoder_")) else None
            )
            if small and value > small:
                setattr(each, field, small)
            elif field.endswith("token_id") and value >= 300:
                setattr(each, field, 1)
    return made


def diffusers_models() -> Iterator[Case]:
    """Every model of diffusers whose constructor has a default for each argument."""
    if importlib.util.find_spec("torchvision"):
        _with_torchvision()
    models = importlib.import_module("diffusers.models")
    for name in sorted(
        models._import_structure and {each for names in models._import_structure.values() for each in names}
    ):
        try:
            kind = getattr(models, name)
        except (ImportError, AttributeError, RuntimeError):
            continue
        if inspect.isclass(kind) and issubclass(kind, nn.Module):
            yield Case(name, kind)


ARGUMENTS: dict[str, Any] = {
    "in_features": 24, "out_features": 36, "in1_features": 8, "in2_features": 9, "in_channels": 8, "out_channels": 16,
    "kernel_size": 3, "num_features": 16, "num_channels": 16, "num_groups": 4, "normalized_shape": 24, "input_size": 24,
    "hidden_size": 32, "num_embeddings": 50, "embedding_dim": 24, "embed_dim": 32, "num_heads": 4, "d_model": 32,
    "nhead": 4, "cutoffs": [10, 20], "n_classes": 50,
}  # fmt: skip


def torch_modules() -> Iterator[Case]:
    """Every module of torch.nn that the arguments above, or no arguments, can build; also those of quantization."""
    places: list[tuple[str, ModuleType]] = [
        (name, importlib.import_module(name))
        for name in ("torch.nn", "torch.ao.nn.quantizable", "torch.ao.nn.qat", "torch.nn.utils.parametrizations")
    ]
    for place, module in places:
        for name, kind in sorted(vars(module).items()):
            if inspect.isclass(kind) and issubclass(kind, nn.Module):
                parameters = [
                    parameter for parameter in inspect.signature(kind).parameters.values()
                    if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
                ]  # fmt: skip
                if all(parameter.name in ARGUMENTS for parameter in parameters):
                    given = {parameter.name: ARGUMENTS[parameter.name] for parameter in parameters}
                    yield Case(f"{place}.{name}", partial(kind, **given))


def ordinary_code() -> Iterator[Case]:
    """Initializations as users write them."""
    from tests.recording.sweep.ordinary import WAYS

    for name, build in WAYS.items():
        yield Case(name, build)


COLLECTIONS: dict[str, Callable[[], Iterator[Case]]] = {
    "transformers": transformers_models,
    "timm": timm_models,
    "torchvision": torchvision_models,
    "diffusers": diffusers_models,
    "torch.nn": torch_modules,
    "ordinary code": ordinary_code,
}
