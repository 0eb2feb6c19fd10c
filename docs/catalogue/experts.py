"""Decoders with experts, and state space models: their published hyperparameters."""

from __future__ import annotations

from typing import Any

from docs.catalogue.model import Model, tiny
from docs.catalogue.text import BF16, TINY, sizes

_MAMBA = {"vocab_size": 50280, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "dtype": "float32"}
_GPT_OSS: dict[str, Any] = {
    **BF16,
    **sizes(201088, 2880, 2880, 24, 64, 8, 131072),
    "head_dim": 64,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "sliding_window": 128,
    "rope_theta": 150000.0,
    "rope_scaling": {
        "rope_type": "yarn",
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": False,
        "original_max_position_embeddings": 4096,
    },
    "rms_norm_eps": 1e-5,
    "pad_token_id": 199999,
    "eos_token_id": 200002,
}
_QWEN3_MOE = {
    **BF16,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "norm_topk_prob": True,
    "decoder_sparse_step": 1,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
}
_YARN = {
    "rope_type": "yarn",
    "factor": 40.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 4096,
}

_FULL = {
    "mixtral-8x7b": Model(
        "MixtralForCausalLM",
        "46.7B",
        "text",
        {
            **BF16,
            **sizes(32000, 4096, 14336, 32, 32, 8, 32768),
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e6,
        },
    ),
    "mixtral-8x22b": Model(
        "MixtralForCausalLM",
        "141B",
        "text",
        {
            **BF16,
            **sizes(32768, 6144, 16384, 56, 48, 8, 65536),
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e6,
        },
    ),
    "qwen3-30b-a3b": Model(
        "Qwen3MoeForCausalLM",
        "30.5B",
        "text",
        {**_QWEN3_MOE, **sizes(151936, 2048, 6144, 48, 32, 4, 32768), "moe_intermediate_size": 768},
    ),
    "qwen3-235b-a22b": Model(
        "Qwen3MoeForCausalLM",
        "235B",
        "text",
        {**_QWEN3_MOE, **sizes(151936, 4096, 12288, 94, 64, 4, 32768), "moe_intermediate_size": 1536},
    ),
    "gpt-oss-20b": Model("GptOssForCausalLM", "20.9B", "text", _GPT_OSS),
    "gpt-oss-120b": Model(
        "GptOssForCausalLM", "116.8B", "text", {**_GPT_OSS, "num_hidden_layers": 36, "num_local_experts": 128}
    ),
    "deepseek-v3": Model(
        "DeepseekV3ForCausalLM",
        "671B",
        "text",
        {
            **BF16,
            **sizes(129280, 7168, 18432, 61, 128, 128, 163840),
            "moe_intermediate_size": 2048,
            "n_shared_experts": 1,
            "n_routed_experts": 256,
            "num_experts_per_tok": 8,
            "n_group": 8,
            "topk_group": 4,
            "routed_scaling_factor": 2.5,
            "norm_topk_prob": True,
            "first_k_dense_replace": 3,
            "kv_lora_rank": 512,
            "q_lora_rank": 1536,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 128,
            "v_head_dim": 128,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "rope_scaling": {**_YARN, "mscale": 1.0, "mscale_all_dim": 1.0},
            "bos_token_id": 0,
            "eos_token_id": 1,
        },
    ),
    "deepseek-v2-lite": Model(
        "DeepseekV2ForCausalLM",
        "15.7B",
        "text",
        {
            **BF16,
            **sizes(102400, 2048, 10944, 27, 16, 16, 163840),
            "moe_intermediate_size": 1408,
            "n_shared_experts": 2,
            "n_routed_experts": 64,
            "num_experts_per_tok": 6,
            "n_group": 1,
            "topk_group": 1,
            "topk_method": "greedy",
            "routed_scaling_factor": 1.0,
            "norm_topk_prob": False,
            "first_k_dense_replace": 1,
            "kv_lora_rank": 512,
            "q_lora_rank": None,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 128,
            "v_head_dim": 128,
            "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0,
            "rope_scaling": {**_YARN, "mscale": 0.707, "mscale_all_dim": 0.707},
            "bos_token_id": 100000,
            "eos_token_id": 100001,
        },
    ),
    "olmoe-1b-7b": Model(
        "OlmoeForCausalLM",
        "6.92B",
        "text",
        {
            **BF16,
            **sizes(50304, 2048, 1024, 16, 16, 16, 4096),
            "num_experts": 64,
            "num_experts_per_tok": 8,
            "norm_topk_prob": False,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "pad_token_id": 1,
            "eos_token_id": 50279,
        },
    ),
    "mamba-130m": Model(
        "MambaForCausalLM",
        "129M",
        "text",
        {**_MAMBA, "hidden_size": 768, "num_hidden_layers": 24, "state_size": 16, "conv_kernel": 4, "expand": 2},
    ),
    "mamba-2.8b": Model(
        "MambaForCausalLM",
        "2.77B",
        "text",
        {**_MAMBA, "hidden_size": 2560, "num_hidden_layers": 64, "state_size": 16, "conv_kernel": 4, "expand": 2},
    ),
    "mamba2-130m": Model(
        "Mamba2ForCausalLM",
        "129M",
        "text",
        {
            **_MAMBA,
            "vocab_size": 50288,
            "hidden_size": 768,
            "num_hidden_layers": 24,
            "state_size": 128,
            "conv_kernel": 4,
            "expand": 2,
            "num_heads": 24,
            "head_dim": 64,
            "n_groups": 1,
            "chunk_size": 256,
            "tie_word_embeddings": True,
        },
    ),
}

_TINY_YARN = {"factor": 4.0, "original_max_position_embeddings": 64}
_DEEPSEEK = {
    **TINY,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 32,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 32,
    "q_lora_rank": 48,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "rope_scaling": {**_YARN, "mscale": 1.0, "mscale_all_dim": 1.0, **_TINY_YARN},
}

_TINY = {
    "tiny-mixtral": tiny(_FULL["mixtral-8x7b"], **TINY, num_local_experts=4),
    "tiny-qwen3-moe": tiny(
        _FULL["qwen3-30b-a3b"], **TINY, head_dim=16, moe_intermediate_size=32, num_experts=8, num_experts_per_tok=2
    ),
    "tiny-gpt-oss": tiny(
        _FULL["gpt-oss-20b"],
        **TINY,
        head_dim=16,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=32,
        pad_token_id=0,
        rope_scaling={**_GPT_OSS["rope_scaling"], **_TINY_YARN},
    ),
    "tiny-deepseek-v3": tiny(_FULL["deepseek-v3"], **_DEEPSEEK),
    "tiny-deepseek-v2": tiny(_FULL["deepseek-v2-lite"], **(_DEEPSEEK | {"q_lora_rank": None, "n_group": 1})),
    "tiny-olmoe": tiny(_FULL["olmoe-1b-7b"], **TINY, num_experts=8, num_experts_per_tok=2),
    "tiny-mamba": tiny(_FULL["mamba-130m"], vocab_size=512, hidden_size=64, num_hidden_layers=2),
    "tiny-mamba2": tiny(
        _FULL["mamba2-130m"],
        vocab_size=512,
        hidden_size=64,
        num_hidden_layers=2,
        num_heads=8,
        head_dim=16,
        state_size=16,
        chunk_size=32,
    ),
}

MODELS = _FULL | _TINY
