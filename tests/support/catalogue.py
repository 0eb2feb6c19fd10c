"""Models of the catalogue as transformers or diffusers loads and runs them."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fanin.cli.main import main
from fanin.models import CONFIG, CatalogueModel


def named(model: CatalogueModel) -> tuple[dict[str, tuple[int, ...]], int]:
    """Return the shapes that the architecture has in its state dict, without tied names, and its parameters.

    The architecture is built on the meta device, from config.json alone.
    """
    with torch.device("meta"):
        built = _built(model)
    tied = {} if not hasattr(built, "all_tied_weights_keys") else built.all_tied_weights_keys
    shapes = {name: tuple(tensor.shape) for name, tensor in built.state_dict().items() if name not in tied}
    return shapes, sum(parameter.numel() for parameter in built.parameters())


def write(model: CatalogueModel, directory: Path, seed: int) -> None:
    """Write config.json and the weights of a model to a new directory, as `from_pretrained` reads them."""
    command = ["checkpoint", "recipe", model.name, "--seed", f"{seed}", "--format", "safetensors", "-q"]
    assert main([*command, "-o", str(directory)]) == 0


def loaded(model: CatalogueModel, source: str, **options: Any) -> Any:
    """Return the model that `from_pretrained` loads.

    Raises:
        AssertionError: a tensor is missing, or is not one of the model's.
    """
    found, report = _class(model).from_pretrained(source, output_loading_info=True, **options)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return found.eval()


def forward(model: CatalogueModel, module: Any) -> torch.Tensor:
    """Return the first output of a forward pass on a fixed input."""
    with torch.no_grad():
        output = module(**_inputs(model, module.config))
    return output[0] if output[0].ndim else output[1]


def _class(model: CatalogueModel) -> Any:
    return getattr(importlib.import_module(model.library), model.architecture)


def _built(model: CatalogueModel) -> Any:
    document: Mapping[str, Any] = json.loads(model.files()[CONFIG])
    if model.library == "diffusers":
        return _class(model).from_config(document)
    import transformers

    fields = {key: document[key] for key in document if key != "architectures"}
    return _class(model)(transformers.AutoConfig.for_model(**fields))


def _inputs(model: CatalogueModel, config: Any) -> dict[str, torch.Tensor]:
    if model.library == "diffusers":
        return _inputs_of_diffusers(model, config)
    tokens = torch.arange(2, 14).reshape(2, 6)
    side = getattr(getattr(config, "vision_config", config), "image_size", 32)
    images = torch.linspace(-1, 1, 2 * 3 * side * side).reshape(2, 3, side, side)
    if model.architecture.startswith("Whisper"):
        return {
            "input_features": torch.linspace(-1, 1, config.num_mel_bins * 2 * config.max_source_positions).reshape(
                1, config.num_mel_bins, -1
            ),
            "decoder_input_ids": tokens[:1],
        }
    if model.reads == "audio":
        return {"input_values": torch.linspace(-1, 1, 4000).reshape(2, 2000)}
    if model.reads == "images and text":
        return {"input_ids": tokens, "pixel_values": images}
    if model.reads == "images":
        return {"pixel_values": images}
    return {"input_ids": tokens} | ({"decoder_input_ids": tokens} if config.is_encoder_decoder else {})


def _inputs_of_diffusers(model: CatalogueModel, config: Any) -> dict[str, torch.Tensor]:
    def ramp(*shape: int) -> torch.Tensor:
        return torch.linspace(-1, 1, math.prod(shape)).reshape(shape)

    steps = torch.tensor([3, 500])
    if model.architecture == "FluxTransformer2DModel":
        return {
            "hidden_states": ramp(2, 16, config.in_channels),
            "encoder_hidden_states": ramp(2, 6, config.joint_attention_dim),
            "pooled_projections": ramp(2, config.pooled_projection_dim),
            "timestep": steps / 1000,
            "guidance": torch.tensor([3.5, 3.5]),
            "img_ids": torch.arange(48.0).reshape(16, 3),
            "txt_ids": torch.zeros(6, 3),
        }
    latents = ramp(2, config.in_channels, config.sample_size, config.sample_size)
    if model.architecture == "DiTTransformer2DModel":
        return {"hidden_states": latents, "timestep": steps, "class_labels": torch.tensor([1, 2])}
    if model.architecture == "UNet2DConditionModel":
        return {"sample": latents, "timestep": steps, "encoder_hidden_states": ramp(2, 6, config.cross_attention_dim)}
    return {"sample": latents}
