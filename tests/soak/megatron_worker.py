"""A GPT model of Megatron-core on the CPU, filled from a recording. Training needs CUDA."""

from __future__ import annotations

import warnings

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.models.gpt.gpt_model import GPTModel
from megatron.core.transformer.transformer_config import TransformerConfig
from torch import nn

import fanin
import fanin.torch

CONFIG = TransformerConfig(
    num_layers=2, hidden_size=64, num_attention_heads=4, use_cpu_initialization=True, pipeline_dtype=torch.float32
)


def build() -> nn.Module:
    """Return a model as Megatron-core initializes it."""
    layers = get_gpt_layer_local_spec()
    model: nn.Module = GPTModel(CONFIG, transformer_layer_spec=layers, vocab_size=256, max_sequence_length=64)
    return model


def main() -> None:
    """Fill a model and compare it with the recipe."""
    warnings.filterwarnings("ignore")
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    parallel_state.initialize_model_parallel(1, 1)
    recording = fanin.torch.record(build, seed=3)
    model = fanin.torch.init_(build(), recording)
    full = fanin.materialize(recording.recipe)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.detach(), torch.from_numpy(full[name])), name


if __name__ == "__main__":
    main()
