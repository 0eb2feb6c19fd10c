"""One rank of a model of Modalities on the CPU: sharded by FSDP2 of Modalities, filled, and trained a few steps.

    torchrun --nproc_per_node 2 -m tests.soak.modalities_worker

Rank 0 prints the losses as JSON, in a line that begins with `losses`.
"""

from __future__ import annotations

from typing import Any

import torch
from modalities.models.gpt2.gpt2_model import GPT2LLM, GPT2LLMConfig
from modalities.models.model_factory import ModelFactory
from modalities.nn.model_initialization.composed_initialization import ComposedInitializationRoutines
from modalities.nn.model_initialization.initialization_if import ModelInitializationIF
from modalities.nn.model_initialization.parameter_name_filters import SupportWeightInitModels, WeightInitTypes
from modalities.running_env.env_utils import FSDP2MixedPrecisionSettings, PyTorchDtypes
from torch import nn
from torch.distributed.device_mesh import init_device_mesh

import fanin
import fanin.torch
from tests.soak.losses import mean_of_ranks, report

NORM = {"norm_type": "rms_norm", "config": {"ndim": 128, "bias": False, "epsilon": 1e-5}}
ROTARY = {"n_embd": 128, "n_head": 4, "seq_length_dim": -2, "base_freq": 10000}
CONFIG: dict[str, Any] = {
    "sample_key": "input_ids",
    "prediction_key": "logits",
    "poe_type": "NOPE",
    "sequence_length": 32,
    "vocab_size": 256,
    "n_layer": 2,
    "n_head_q": 4,
    "n_head_kv": 2,
    "n_embd": 128,
    "ffn_hidden": 512,
    "dropout": 0.0,
    "bias": False,
    "attention_config": {"qkv_transforms": [{"type_hint": "RotaryTransform", "config": ROTARY}]},
    "attention_implementation": "pytorch_flash",
    "activation_type": "swiglu",
    "attention_norm_config": NORM,
    "ffn_norm_config": NORM,
    "lm_head_norm_config": NORM,
    "use_weight_tying": False,
}


class FaninInitialization(ModelInitializationIF):
    """Fills a model from a recording, in place of Modalities' own initializers."""

    def __init__(self, recording: Any) -> None:
        self.recording = recording

    def initialize_in_place(self, model: nn.Module) -> None:
        """Fill the part of each parameter that this rank has."""
        fanin.torch.init_(model, self.recording)


def plain() -> nn.Module:
    """Return the model with the values of its constructor."""
    fields = dict(GPT2LLMConfig(**CONFIG))
    del fields["use_meta_device"]
    return GPT2LLM(**fields)


def build() -> nn.Module:
    """Return the model as Modalities initializes it."""
    initializer = ComposedInitializationRoutines.get_composed_model_initializer(
        SupportWeightInitModels.GPT2, WeightInitTypes.SCALED, mean=0.0, std=0.02, num_layers=2
    )
    return ModelFactory.get_weight_initialized_model(plain(), initializer)


def main() -> None:
    """Shard the model, fill it, compare it with the recipe, and train it."""
    torch.distributed.init_process_group("gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    recording = fanin.torch.record(build, seed=3)
    precision = FSDP2MixedPrecisionSettings(param_dtype=PyTorchDtypes.FP_32, reduce_dtype=PyTorchDtypes.FP_32)
    mesh = init_device_mesh("cpu", (ranks,), mesh_dim_names=("dp_shard",))
    model = ModelFactory.get_fsdp2_wrapped_model(plain(), ["GPT2Block"], mesh, precision, True)
    ModelFactory.get_weight_initialized_model(model, FaninInitialization(recording))
    full = fanin.materialize(recording.recipe)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.full_tensor(), torch.from_numpy(full[name])), name
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tokens = torch.arange(4 * 33).reshape(4, 33)[rank::ranks] % 256
    losses = []
    for _ in range(3):
        logits = model({"input_ids": tokens[:, :-1]})["logits"]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(mean_of_ranks(loss))
    report(losses)


if __name__ == "__main__":
    main()
