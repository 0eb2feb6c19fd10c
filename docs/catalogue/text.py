"""Decoders of text without experts: their published hyperparameters.

Each model has the fields of its public config.json that decide shapes, initialization and computation.
"""

from __future__ import annotations

from typing import Any

from docs.catalogue.model import Model, tiny

BF16 = {"dtype": "bfloat16"}
TINY = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def sizes(
    vocab: int, hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, positions: int
) -> dict[str, int]:
    """Return the sizes that most decoders have."""
    return {
        "vocab_size": vocab,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": positions,
    }


def _model(architecture: str, published: str, *fields: dict[str, Any], **more: Any) -> Model:
    config: dict[str, Any] = dict(BF16)
    for each in (*fields, more):
        config |= each
    return Model(architecture, published, "text", config)


def _llama3_rope(factor: float) -> dict[str, Any]:
    return {
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "rms_norm_eps": 1e-5,
        "bos_token_id": 128000,
        "eos_token_id": 128001,
    }


_LLAMA = "LlamaForCausalLM"
_SMOL = {"rms_norm_eps": 1e-5, "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0}
_QWEN = {"rope_theta": 1e6, "rms_norm_eps": 1e-6, "bos_token_id": 151643, "eos_token_id": 151643}
_QWEN3 = {**_QWEN, "head_dim": 128, "attention_bias": False}
_GEMMA2 = {
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "rms_norm_eps": 1e-6,
    "hidden_activation": "gelu_pytorch_tanh",
    "rope_theta": 10000.0,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
}
_GEMMA3 = {
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 512,
    "sliding_window_pattern": 6,
    "rms_norm_eps": 1e-6,
    "hidden_activation": "gelu_pytorch_tanh",
    "rope_theta": 1e6,
    "rope_local_base_freq": 10000.0,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
}
_OLMO2 = {
    "dtype": "float32",
    "rope_theta": 500000.0,
    "rms_norm_eps": 1e-6,
    "pad_token_id": 100277,
    "eos_token_id": 100257,
}
_GPT2 = {"vocab_size": 50257, "n_positions": 1024, "bos_token_id": 50256, "eos_token_id": 50256, "dtype": "float32"}

_FULL = {
    "llama-3.1-8b": _model(_LLAMA, "8.03B", sizes(128256, 4096, 14336, 32, 32, 8, 131072), _llama3_rope(8.0)),
    "llama-3.1-70b": _model(_LLAMA, "70.6B", sizes(128256, 8192, 28672, 80, 64, 8, 131072), _llama3_rope(8.0)),
    "llama-3.1-405b": _model(_LLAMA, "406B", sizes(128256, 16384, 53248, 126, 128, 8, 131072), _llama3_rope(8.0)),
    "llama-3.2-1b": _model(
        _LLAMA,
        "1.24B",
        sizes(128256, 2048, 8192, 16, 32, 8, 131072),
        _llama3_rope(32.0),
        head_dim=64,
        tie_word_embeddings=True,
    ),
    "llama-3.2-3b": _model(
        _LLAMA,
        "3.21B",
        sizes(128256, 3072, 8192, 28, 24, 8, 131072),
        _llama3_rope(32.0),
        head_dim=128,
        tie_word_embeddings=True,
    ),
    "smollm2-135m": _model(
        _LLAMA,
        "135M",
        sizes(49152, 576, 1536, 30, 9, 3, 8192),
        _SMOL,
        rope_theta=100000.0,
        initializer_range=1 / 24,
    ),
    "smollm2-360m": _model(_LLAMA, "362M", sizes(49152, 960, 2560, 32, 15, 5, 8192), _SMOL, rope_theta=100000.0),
    "smollm2-1.7b": _model(_LLAMA, "1.71B", sizes(49152, 2048, 8192, 24, 32, 32, 8192), _SMOL, rope_theta=130000.0),
    "tinyllama-1.1b": _model(_LLAMA, "1.10B", sizes(32000, 2048, 5632, 22, 32, 4, 2048), rms_norm_eps=1e-5),
    "qwen2.5-0.5b": _model(
        "Qwen2ForCausalLM", "0.49B", sizes(151936, 896, 4864, 24, 14, 2, 32768), _QWEN, tie_word_embeddings=True
    ),
    "qwen2.5-7b": _model("Qwen2ForCausalLM", "7.62B", sizes(152064, 3584, 18944, 28, 28, 4, 131072), _QWEN),
    "qwen3-0.6b": _model(
        "Qwen3ForCausalLM", "0.6B", sizes(151936, 1024, 3072, 28, 16, 8, 32768), _QWEN3, tie_word_embeddings=True
    ),
    "qwen3-4b": _model(
        "Qwen3ForCausalLM", "4.0B", sizes(151936, 2560, 9728, 36, 32, 8, 32768), _QWEN3, tie_word_embeddings=True
    ),
    "qwen3-8b": _model("Qwen3ForCausalLM", "8.2B", sizes(151936, 4096, 12288, 36, 32, 8, 32768), _QWEN3),
    "qwen3-32b": _model("Qwen3ForCausalLM", "32.8B", sizes(151936, 5120, 25600, 64, 64, 8, 32768), _QWEN3),
    "mistral-7b": _model(
        "MistralForCausalLM",
        "7.24B",
        sizes(32000, 4096, 14336, 32, 32, 8, 32768),
        sliding_window=4096,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
    ),
    "gemma-2-2b": _model("Gemma2ForCausalLM", "2.61B", sizes(256000, 2304, 9216, 26, 8, 4, 8192), _GEMMA2),
    "gemma-2-9b": _model("Gemma2ForCausalLM", "9.24B", sizes(256000, 3584, 14336, 42, 16, 8, 8192), _GEMMA2),
    "gemma-3-270m": _model("Gemma3ForCausalLM", "268M", sizes(262144, 640, 2048, 18, 4, 1, 32768), _GEMMA3),
    "gemma-3-1b": _model("Gemma3ForCausalLM", "1.00B", sizes(262144, 1152, 6912, 26, 4, 1, 32768), _GEMMA3),
    "phi-3-mini": _model(
        "Phi3ForCausalLM",
        "3.82B",
        sizes(32064, 3072, 8192, 32, 32, 32, 4096),
        sliding_window=2047,
        original_max_position_embeddings=4096,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=32000,
        pad_token_id=32000,
    ),
    "phi-4": _model(
        "Phi3ForCausalLM",
        "14.7B",
        sizes(100352, 5120, 17920, 40, 40, 10, 16384),
        original_max_position_embeddings=16384,
        rms_norm_eps=1e-5,
        rope_theta=250000.0,
        bos_token_id=100257,
        eos_token_id=100265,
        pad_token_id=100349,
    ),
    "olmo-2-1b": _model("Olmo2ForCausalLM", "1.48B", sizes(100352, 2048, 8192, 16, 16, 16, 4096), _OLMO2),
    "olmo-2-7b": _model("Olmo2ForCausalLM", "7.30B", sizes(100352, 4096, 11008, 32, 32, 32, 4096), _OLMO2),
    "gpt2": _model("GPT2LMHeadModel", "124M", _GPT2, n_embd=768, n_layer=12, n_head=12),
    "gpt2-xl": _model("GPT2LMHeadModel", "1.56B", _GPT2, n_embd=1600, n_layer=48, n_head=25),
    "smollm3-3b": _model(
        "SmolLM3ForCausalLM",
        "3.08B",
        sizes(128256, 2048, 11008, 36, 16, 4, 65536),
        rms_norm_eps=1e-6,
        rope_theta=5e6,
        tie_word_embeddings=True,
        no_rope_layer_interval=4,
        bos_token_id=128000,
        eos_token_id=128001,
        pad_token_id=128004,
    ),
    "pythia-160m": _model(
        "GPTNeoXForCausalLM",
        "162M",
        vocab_size=50304,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=2048,
        rotary_pct=0.25,
        use_parallel_residual=True,
        bos_token_id=0,
        eos_token_id=0,
        dtype="float16",
    ),
    "opt-125m": _model(
        "OPTForCausalLM",
        "125M",
        vocab_size=50272,
        hidden_size=768,
        ffn_dim=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=2048,
        word_embed_proj_dim=768,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=2,
        dtype="float16",
    ),
    "bloom-560m": _model(
        "BloomForCausalLM",
        "559M",
        vocab_size=250880,
        hidden_size=1024,
        n_layer=24,
        n_head=16,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        dtype="float16",
    ),
}

_SMALL_GEMMA = {**TINY, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 32}
_TINY = {
    "tiny-llama-3": tiny(
        _FULL["llama-3.1-8b"],
        **TINY,
        rope_scaling={**_FULL["llama-3.1-8b"].config["rope_scaling"], "original_max_position_embeddings": 64},
    ),
    "tiny-qwen2.5": tiny(_FULL["qwen2.5-7b"], **TINY),
    "tiny-qwen3": tiny(_FULL["qwen3-8b"], **TINY, head_dim=16),
    "tiny-mistral": tiny(_FULL["mistral-7b"], **TINY, sliding_window=32),
    "tiny-gemma-2": tiny(_FULL["gemma-2-2b"], **_SMALL_GEMMA),
    "tiny-gemma-3": tiny(_FULL["gemma-3-1b"], **_SMALL_GEMMA, sliding_window_pattern=2),
    "tiny-phi-3": tiny(
        _FULL["phi-3-mini"], **TINY, pad_token_id=0, sliding_window=32, original_max_position_embeddings=256
    ),
    "tiny-olmo-2": tiny(_FULL["olmo-2-7b"], **TINY, pad_token_id=0),
    "tiny-gpt2": tiny(
        _FULL["gpt2"],
        vocab_size=512,
        n_positions=256,
        n_embd=64,
        n_layer=2,
        n_head=4,
        bos_token_id=1,
        eos_token_id=2,
    ),
    "tiny-smollm3": tiny(_FULL["smollm3-3b"], **(TINY | {"num_hidden_layers": 4}), pad_token_id=0),
    "tiny-pythia": tiny(
        _FULL["pythia-160m"],
        **{key: value for key, value in TINY.items() if key != "num_key_value_heads"},
    ),
    "tiny-opt": tiny(
        _FULL["opt-125m"],
        vocab_size=512,
        hidden_size=64,
        word_embed_proj_dim=64,
        ffn_dim=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    ),
    "tiny-bloom": tiny(_FULL["bloom-560m"], vocab_size=512, hidden_size=64, n_layer=2, n_head=4),
}

MODELS = _FULL | _TINY
