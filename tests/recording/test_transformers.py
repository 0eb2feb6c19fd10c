"""Recipes of the models of Hugging Face transformers."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import torch

from fanin.recipe import as_recipe
from fanin.recipe.formatting import text
from fanin.torch import record
from tests.recording.comparing import recorded_as_it_runs

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of transformers and its dependencies
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

TEXT = {
    "vocab_size": 300,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
IMAGE = {key: TEXT[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")}
IMAGE |= {"image_size": 32, "patch_size": 8}
WHISPER = {
    **{f"{side}_{part}": size for side in ("encoder", "decoder") for part, size in (("layers", 2), ("ffn_dim", 96))},
    **{f"{side}_attention_heads": 4 for side in ("encoder", "decoder")},
    **{f"{token}_token_id": 1 for token in ("bos", "eos", "decoder_start")},
    "d_model": 64,
    "vocab_size": 300,
    "max_source_positions": 40,
    "max_target_positions": 30,
}
SPEECH = {
    **{key: TEXT[key] for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")},
    "conv_dim": (32, 32),
    "conv_stride": (2, 2),
    "conv_kernel": (3, 3),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
}
MAMBA = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 300}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "GPT2LMHeadModel": ("GPT2Config", {"n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 300, "n_positions": 40}),
    "LlamaForCausalLM": ("LlamaConfig", TEXT),
    "Qwen3ForCausalLM": ("Qwen3Config", TEXT),
    "MambaForCausalLM": ("MambaConfig", MAMBA),
    "Mamba2ForCausalLM": ("Mamba2Config", {**MAMBA, "num_heads": 8, "head_dim": 16, "n_groups": 2}),
    "RecurrentGemmaForCausalLM": ("RecurrentGemmaConfig", {**TEXT, "num_hidden_layers": 3, "lru_width": 64}),
    "MixtralForCausalLM": ("MixtralConfig", {**TEXT, "num_local_experts": 4, "num_key_value_heads": 2}),
    "T5ForConditionalGeneration": (
        "T5Config",
        {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4, "vocab_size": 300},
    ),
    "BertForMaskedLM": ("BertConfig", {**TEXT, "pad_token_id": 0}),
    "ViTForImageClassification": ("ViTConfig", IMAGE),
    "CLIPModel": ("CLIPConfig", {"text_config": TEXT, "vision_config": IMAGE}),
    "Wav2Vec2ForPreTraining": ("Wav2Vec2Config", SPEECH),
    "WhisperForConditionalGeneration": ("WhisperConfig", {**WHISPER, "pad_token_id": 5}),
}
MAGNITUDES = "wav2vec2.encoder.pos_conv_embed.conv.parametrizations.weight.original0"


def _build(model: str, config: str, fields: dict[str, Any], **options: Any) -> Callable[[], torch.nn.Module]:
    parsed = getattr(transformers, config)(**fields)
    return lambda: getattr(transformers, model)._from_config(parsed, **options)


@pytest.mark.parametrize("model", MODELS)
def test_the_distribution_is_that_of_the_models_own_run(model: str) -> None:
    recording = recorded_as_it_runs(_build(model, *MODELS[model]))
    assert recording.copies == {}
    assert set(recording.literals) <= {"model.encoder.embed_positions.weight", MAGNITUDES}


def test_tied_embeddings() -> None:
    recording = record(_build("T5ForConditionalGeneration", *MODELS["T5ForConditionalGeneration"]))
    names = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
    assert recording.tied == dict.fromkeys(names, "shared.weight")


def test_seventy_billion_parameters() -> None:
    fields = {
        "vocab_size": 128256,
        "hidden_size": 8192,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28672,
        "max_position_embeddings": 131072,
    }
    build = _build("LlamaForCausalLM", "LlamaConfig", fields, dtype=torch.bfloat16)
    tracemalloc.start()
    recipe = record(build).recipe
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    assert sum(torch.Size(tensor.shape).numel() for tensor in recipe.tensors.values()) == 70_553_706_496
    assert {tensor.dtype for tensor in recipe.tensors.values()} == {"BF16"}
    assert len(recipe.canonical) < 100_000
    assert text(recipe).count("\n") == 20
    assert as_recipe(text(recipe)).digest == recipe.digest
