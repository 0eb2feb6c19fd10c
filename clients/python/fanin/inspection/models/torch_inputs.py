"""Random inputs for PyTorch models whose first layer, or configuration, says what they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

BATCH, LENGTH, SIDE = 8, 16, 32
"""Examples, positions of a sequence, and pixels of a side, where the model leaves them open."""


class NoInputError(ValueError):
    """Nothing says which input the model takes."""


def inputs_of(model: nn.Module, given: Any, dtype: torch.dtype) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return positional and named arguments of a call of the model.

    Args:
        given: A tensor, a tuple of arguments, or a mapping of named ones. None for random ones.
        dtype: Type of random numbers.

    Raises:
        NoInputError: none is given, and the model does not say which it takes.
    """
    if given is not None:
        if isinstance(given, Mapping):
            return (), dict(given)
        return (given if isinstance(given, tuple) else (given,)), {}
    config = getattr(model, "config", None)
    if hasattr(model, "main_input_name") and config is not None:
        return (), _of_transformer(model, config, dtype)
    return _of_first_layer(model, dtype), {}


def _of_transformer(model: Any, config: Any, dtype: torch.dtype) -> dict[str, Any]:
    text = getattr(config, "text_config", None) or config
    vision = getattr(config, "vision_config", None) or config
    main = model.main_input_name
    found: dict[str, Any] = {}
    if main == "input_ids":
        length = min(LENGTH, getattr(text, "max_position_embeddings", None) or LENGTH)
        found[main] = torch.randint(3, text.vocab_size, (BATCH, length))
    elif main == "input_values":
        found[main] = torch.randn(BATCH, 4000, dtype=dtype)
    elif main == "input_features":
        length = 2 * getattr(config, "max_source_positions", 50)
        found[main] = torch.randn(BATCH, config.num_mel_bins, length, dtype=dtype)
    elif main != "pixel_values":
        raise NoInputError(f"the model takes {main}, of which no random ones are known")
    if main == "pixel_values" or getattr(config, "vision_config", None) is not None:
        side = getattr(vision, "image_size", None) or SIDE
        height, width = side if isinstance(side, list | tuple) else (side, side)
        found["pixel_values"] = torch.randn(BATCH, vision.num_channels, height, width, dtype=dtype)
    if getattr(config, "is_encoder_decoder", False):
        found["decoder_input_ids"] = torch.randint(3, text.vocab_size, (BATCH, LENGTH))
    return found


def _of_first_layer(model: nn.Module, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            return (torch.randint(0, module.num_embeddings, (BATCH, LENGTH)),)
        if isinstance(module, nn.Linear):
            return (torch.randn(BATCH, module.in_features, dtype=dtype),)
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.modules.conv._ConvTransposeNd):
            sides = [SIDE] * len(module.kernel_size)
            return (torch.randn(BATCH, module.in_channels, *sides, dtype=dtype),)
        if isinstance(module, nn.Transformer):
            width = module.d_model
            first = (BATCH, LENGTH, width) if module.batch_first else (LENGTH, BATCH, width)
            return torch.randn(first, dtype=dtype), torch.randn(first, dtype=dtype)
        if isinstance(module, nn.TransformerEncoderLayer | nn.MultiheadAttention):
            attention = module.self_attn if isinstance(module, nn.TransformerEncoderLayer) else module
            one = torch.randn(BATCH, LENGTH, attention.embed_dim, dtype=dtype)
            return (one,) if module is not model or isinstance(module, nn.TransformerEncoderLayer) else (one, one, one)
        if isinstance(module, nn.RNNBase):
            return (torch.randn(BATCH, LENGTH, module.input_size, dtype=dtype),)
    raise NoInputError("no layer says which input the model takes")
