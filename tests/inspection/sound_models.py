"""Models without faults, as their libraries initialize them. `fanin inspect` must stay quiet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn

from tests.inspection.faulty_models import Attention, Block, he, mlp

TINY: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
GROUPED: dict[str, Any] = {**TINY, "num_key_value_heads": 2}
EXPERTS: dict[str, Any] = {**GROUPED, "num_local_experts": 4}
BERT: dict[str, Any] = {**TINY, "type_vocab_size": 2}
VISION: dict[str, Any] = {**TINY, "image_size": 32, "patch_size": 8}
T5: dict[str, Any] = {"vocab_size": 300, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 4, "num_heads": 4}
CONV: dict[str, Any] = {"depths": [1, 1, 2, 1], "hidden_sizes": [16, 32, 64, 128]}
GPT2: dict[str, Any] = {"vocab_size": 300, "n_positions": 64, "n_embd": 64, "n_layer": 4, "n_head": 4}
WHISPER: dict[str, Any] = {
    "vocab_size": 300, "d_model": 64, "encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "max_source_positions": 32,
    "num_mel_bins": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
CONFIGURATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", GROUPED),
    "mistral": ("MistralForCausalLM", GROUPED),
    "mixtral": ("MixtralForCausalLM", EXPERTS),
    "qwen2": ("Qwen2ForCausalLM", GROUPED),
    "qwen3": ("Qwen3ForCausalLM", {**GROUPED, "head_dim": 16}),
    "gemma": ("GemmaForCausalLM", {**GROUPED, "head_dim": 16}),
    "gemma2": ("Gemma2ForCausalLM", {**GROUPED, "head_dim": 16}),
    "phi": ("PhiForCausalLM", TINY),
    "gpt2": ("GPT2LMHeadModel", GPT2),
    "gpt_neox": ("GPTNeoXForCausalLM", TINY),
    "opt": (
        "OPTForCausalLM",
        {**TINY, "ffn_dim": 128, "word_embed_proj_dim": 64, "pad_token_id": 0, "eos_token_id": 1},
    ),
    "bloom": ("BloomForCausalLM", {"vocab_size": 300, "hidden_size": 64, "n_layer": 4, "n_head": 4}),
    "mamba": ("MambaForCausalLM", {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 4}),
    "bert": ("BertForMaskedLM", BERT),
    "roberta": ("RobertaForMaskedLM", {**BERT, "max_position_embeddings": 80}),
    "distilbert": (
        "DistilBertForMaskedLM",
        {"vocab_size": 300, "dim": 64, "hidden_dim": 128, "n_layers": 4, "n_heads": 4, "max_position_embeddings": 64},
    ),
    "t5": ("T5ForConditionalGeneration", T5),
    "whisper": ("WhisperForConditionalGeneration", WHISPER),
    "vit": ("ViTForImageClassification", VISION),
    "dinov2": ("Dinov2Model", {**VISION, "image_size": 32, "patch_size": 8}),
    "convnext": ("ConvNextForImageClassification", CONV),
    "resnet": ("ResNetForImageClassification", {**CONV, "embedding_size": 16, "layer_type": "basic"}),
    "clip": ("CLIPModel", {"text_config": {**TINY, "eos_token_id": 2}, "vision_config": VISION}),
}
"""Architecture and small configuration, by model type of transformers."""


class Bottleneck(nn.Module):
    """A residual block whose last normalization starts at zero (Goyal et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))


class Adapted(nn.Module):
    """A dense layer with a low-rank addition that starts at zero (LoRA)."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(64, 64)
        self.lora_a, self.lora_b = nn.Linear(64, 8, bias=False), nn.Linear(8, 64, bias=False)
        nn.init.zeros_(self.lora_b.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.base(x) + self.lora_b(self.lora_a(x)))


class Recurrent(nn.Module):
    """An embedding, an LSTM and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(200, 64, padding_idx=0), nn.LSTM(64, 64, 2, batch_first=True)
        self.head = nn.Linear(64, 200)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.head(self.lstm(self.embedding(tokens))[0]))


class Tied(nn.Module):
    """A head that is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.body = nn.Embedding(200, 64), Block()
        self.head = nn.Linear(64, 200, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.head(self.body(self.embedding(tokens))))


def residual_network() -> nn.Module:
    stem = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    model = nn.Sequential(stem, *(Bottleneck(32) for _ in range(8)), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    he(model)
    return model.append(nn.Linear(32, 10))


def autoencoder() -> nn.Module:
    """Convolutions, depthwise ones and transposed ones with torch's defaults."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(32, 32, 3, padding=1, groups=32),
        nn.Conv2d(32, 64, 1),
        nn.GELU(),
        nn.ConvTranspose2d(64, 16, 3),
        nn.GELU(),
        nn.Conv2d(16, 3, 1),
    )


def deep_relu() -> nn.Module:
    return mlp(depth=30, width=128)


def deep_tanh() -> nn.Module:
    model = nn.Sequential()
    for _ in range(20):
        model.append(nn.Linear(64, 64)).append(nn.Tanh())
        nn.init.orthogonal_(model[-2].weight)
        nn.init.zeros_(model[-2].bias)
    return model


MODULES: dict[str, Callable[[], nn.Module]] = {
    "torch's default MLP": lambda: nn.Sequential(*(nn.Linear(64, 64) if n % 2 == 0 else nn.ReLU() for n in range(8))),
    "30 layers of He": deep_relu,
    "20 orthogonal layers": deep_tanh,
    "residual blocks that start at zero": residual_network,
    "depthwise and transposed": autoencoder,
    "LoRA": Adapted,
    "LSTM": Recurrent,
    "tied": Tied,
    "attention": Attention,
    "encoder layer": lambda: nn.TransformerEncoderLayer(64, 4, 128, batch_first=True),
    "transformer": lambda: nn.Transformer(64, 4, 3, 3, 128, batch_first=True),
    "blocks": lambda: nn.Sequential(*(Block() for _ in range(6))),
    "BF16": lambda: mlp(width=128).to(torch.bfloat16),
}


def transformer(name: str, dtype: torch.dtype = torch.float32) -> Any:
    """Return a small model of transformers, initialized by its library."""
    architecture, fields = CONFIGURATIONS[name]
    config = transformers.AutoConfig.for_model(name, **fields)
    return getattr(transformers, architecture)._from_config(config, dtype=dtype)
