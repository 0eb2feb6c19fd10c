"""Further decoders and models of two inputs: their published hyperparameters."""

from __future__ import annotations

from docs.catalogue.model import Model, tiny
from docs.catalogue.text import BF16, TINY, sizes

_QWEN3 = {
    **BF16,
    "head_dim": 128,
    "attention_bias": False,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
}
_CLIP_LARGE = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
}
_NO_KV = {key: size for key, size in TINY.items() if key != "num_key_value_heads"}

_FULL = {
    "qwen3-1.7b": Model(
        "Qwen3ForCausalLM",
        "1.7B",
        "text",
        {**_QWEN3, **sizes(151936, 2048, 6144, 28, 16, 8, 32768), "tie_word_embeddings": True},
    ),
    "qwen3-14b": Model("Qwen3ForCausalLM", "14.8B", "text", {**_QWEN3, **sizes(151936, 5120, 17408, 40, 40, 8, 32768)}),
    "glm-4-9b": Model(
        "Glm4ForCausalLM",
        "9.40B",
        "text",
        {
            **BF16,
            **sizes(151552, 4096, 13696, 40, 32, 2, 32768),
            "head_dim": 128,
            "attention_bias": True,
            "partial_rotary_factor": 0.5,
            "rope_theta": 10000.0,
            "rms_norm_eps": 1e-5,
            "pad_token_id": 151329,
            "eos_token_id": 151329,
        },
    ),
    "phi-2": Model(
        "PhiForCausalLM",
        "2.78B",
        "text",
        {
            **sizes(51200, 2560, 10240, 32, 32, 32, 2048),
            "partial_rotary_factor": 0.4,
            "rope_theta": 10000.0,
            "layer_norm_eps": 1e-5,
            "bos_token_id": 50256,
            "eos_token_id": 50256,
            "dtype": "float16",
        },
    ),
    "starcoder2-3b": Model(
        "Starcoder2ForCausalLM",
        "3.03B",
        "text",
        {
            **sizes(49152, 3072, 12288, 30, 24, 2, 16384),
            "initializer_range": 0.018042,
            "sliding_window": 4096,
            "use_bias": True,
            "norm_epsilon": 1e-5,
            "rope_theta": 999999.4420358813,
            "tie_word_embeddings": True,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "dtype": "float32",
        },
    ),
    "falcon-7b": Model(
        "FalconForCausalLM",
        "6.92B",
        "text",
        {
            **BF16,
            "vocab_size": 65024,
            "hidden_size": 4544,
            "num_hidden_layers": 32,
            "num_attention_heads": 71,
            "max_position_embeddings": 2048,
            "multi_query": True,
            "parallel_attn": True,
            "new_decoder_architecture": False,
            "bias": False,
            "alibi": False,
            "tie_word_embeddings": True,
            "bos_token_id": 11,
            "eos_token_id": 11,
        },
    ),
    "falcon-mamba-7b": Model(
        "FalconMambaForCausalLM",
        "7.27B",
        "text",
        {
            **BF16,
            "vocab_size": 65024,
            "hidden_size": 4096,
            "intermediate_size": 8192,
            "num_hidden_layers": 64,
            "state_size": 16,
            "conv_kernel": 4,
            "expand": 16,
            "time_step_rank": 256,
            "tie_word_embeddings": False,
            "bos_token_id": 0,
            "eos_token_id": 11,
            "pad_token_id": 11,
        },
    ),
    "jamba-mini": Model(
        "JambaForCausalLM",
        "51.6B",
        "text",
        {
            **BF16,
            **sizes(65536, 4096, 14336, 32, 32, 8, 262144),
            "num_experts": 16,
            "num_experts_per_tok": 2,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "attn_layer_period": 8,
            "attn_layer_offset": 4,
            "mamba_d_state": 16,
            "mamba_d_conv": 4,
            "mamba_expand": 2,
            "mamba_dt_rank": 256,
            "rms_norm_eps": 1e-6,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "llava-1.5-7b": Model(
        "LlavaForConditionalGeneration",
        "7.06B",
        "images and text",
        {
            "image_token_index": 32000,
            "vision_feature_layer": -2,
            "vision_feature_select_strategy": "default",
            "projector_hidden_act": "gelu",
            "vision_config": _CLIP_LARGE,
            "text_config": {
                "model_type": "llama",
                **sizes(32064, 4096, 11008, 32, 32, 32, 4096),
                "rms_norm_eps": 1e-5,
                "pad_token_id": 32001,
            },
            "dtype": "float16",
        },
    ),
    "vit-large": Model(
        "ViTForImageClassification",
        "304M",
        "images",
        {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "num_labels": 1000,
            "image_size": 224,
            "patch_size": 16,
            "layer_norm_eps": 1e-12,
            "dtype": "float32",
        },
    ),
}

_TINY = {
    "tiny-glm-4": tiny(_FULL["glm-4-9b"], **TINY, head_dim=16, pad_token_id=0),
    "tiny-phi-2": tiny(_FULL["phi-2"], **(TINY | {"num_key_value_heads": 4})),
    "tiny-starcoder2": tiny(_FULL["starcoder2-3b"], **TINY, sliding_window=32),
    "tiny-falcon": tiny(
        _FULL["falcon-7b"], **{key: size for key, size in _NO_KV.items() if key != "intermediate_size"}
    ),
    "tiny-falcon-mamba": tiny(
        _FULL["falcon-mamba-7b"],
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        time_step_rank=4,
    ),
    "tiny-jamba": tiny(
        _FULL["jamba-mini"],
        **(TINY | {"num_hidden_layers": 4}),
        num_experts=4,
        attn_layer_period=4,
        attn_layer_offset=2,
        mamba_dt_rank=4,
    ),
}

MODELS = _FULL | _TINY
