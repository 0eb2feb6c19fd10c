"""The recipes of four of the largest open models, with the tensor names and shapes of their published checkpoints.

python docs/examples/frontier.py     writes deepseek-v3.json and the other recipes beside this file

Shapes follow from the config.json that each model is published with. Matrices are N(0, initializer_range^2) and norms
are 1, as the model classes of Hugging Face transformers initialize them. Every weight is BF16, also where the published
checkpoint is quantized.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Tensors = dict[str, dict[str, Any]]
STD = 0.02
"""`initializer_range` of all four."""


def weight(*shape: int) -> dict[str, Any]:
    return {"shape": list(shape), "scheme": "normal", "std": STD}


def ones(size: int) -> dict[str, Any]:
    return {"shape": [size], "scheme": "ones"}


def zeros(*shape: int, **members: str) -> dict[str, Any]:
    return {"shape": list(shape), "scheme": "zeros", **members}


def recipe(vocabulary: int, width: int, repeated: Tensors) -> dict[str, Any]:
    """Return the recipe of a decoder with these layers, a separate output matrix and no biases elsewhere."""
    tensors = {
        "model.embed_tokens.weight": weight(vocabulary, width),
        "model.norm.weight": ones(width),
        "lm_head.weight": weight(vocabulary, width),
    }
    return {"seed": "0", "dtype": "BF16", "tensors": tensors, "repeated": repeated}


def gated(at: str, width: int, hidden: int) -> Tensors:
    """Return the three matrices of a gated feed-forward block."""
    return {
        f"{at}.gate_proj.weight": weight(hidden, width),
        f"{at}.up_proj.weight": weight(hidden, width),
        f"{at}.down_proj.weight": weight(width, hidden),
    }


def latent_attention_experts(*, vocabulary: int, dense: int, experts: int, heads: int) -> dict[str, Any]:
    """Return DeepSeek-V3's architecture: 61 layers of latent attention, the first `dense` of them without experts.

    DeepSeek-AI 2024, arXiv:2412.19437, section 4.2. The module for multi-token prediction is left out.
    """
    width, layers, queries, latent, rope, head = 7168, 61, 1536, 512, 64, 128
    every, sparse = f"model.layers.{{0..{layers - 1}}}", f"model.layers.{{{dense}..{layers - 1}}}.mlp"
    first = "model.layers.0.mlp" if dense == 1 else f"model.layers.{{0..{dense - 1}}}.mlp"
    repeated = {
        f"{every}.input_layernorm.weight": ones(width),
        f"{every}.post_attention_layernorm.weight": ones(width),
        f"{every}.self_attn.q_a_proj.weight": weight(queries, width),
        f"{every}.self_attn.q_a_layernorm.weight": ones(queries),
        f"{every}.self_attn.q_b_proj.weight": weight(heads * (head + rope), queries),
        f"{every}.self_attn.kv_a_proj_with_mqa.weight": weight(latent + rope, width),
        f"{every}.self_attn.kv_a_layernorm.weight": ones(latent),
        f"{every}.self_attn.kv_b_proj.weight": weight(heads * 2 * head, latent),
        f"{every}.self_attn.o_proj.weight": weight(width, heads * head),
        f"{sparse}.gate.weight": weight(experts, width),
        f"{sparse}.gate.e_score_correction_bias": zeros(experts, dtype="F32"),
        **gated(f"{sparse}.shared_experts", width, 2048),
        **gated(f"{sparse}.experts.{{0..{experts - 1}}}", width, 2048),
    }
    found = recipe(vocabulary, width, repeated)
    found["tensors" if dense == 1 else "repeated"] |= gated(first, width, 18432)
    return found


def deepseek_v3() -> dict[str, Any]:
    """DeepSeek-V3: 671 billion parameters, 256 experts in a layer. huggingface.co/deepseek-ai/DeepSeek-V3."""
    return latent_attention_experts(vocabulary=129280, dense=3, experts=256, heads=128)


def kimi_k2() -> dict[str, Any]:
    """Kimi K2: a trillion parameters, 384 experts in a layer. huggingface.co/moonshotai/Kimi-K2-Base."""
    return latent_attention_experts(vocabulary=163840, dense=1, experts=384, heads=64)


def llama_405b() -> dict[str, Any]:
    """Llama 3.1 405B: 126 layers, grouped queries. Dubey et al. 2024, arXiv:2407.21783, table 3."""
    width, hidden, heads, groups, head, every = 16384, 53248, 128, 8, 128, "model.layers.{0..125}"
    repeated = {
        f"{every}.input_layernorm.weight": ones(width),
        f"{every}.post_attention_layernorm.weight": ones(width),
        f"{every}.self_attn.q_proj.weight": weight(heads * head, width),
        f"{every}.self_attn.k_proj.weight": weight(groups * head, width),
        f"{every}.self_attn.v_proj.weight": weight(groups * head, width),
        f"{every}.self_attn.o_proj.weight": weight(width, heads * head),
        **gated(f"{every}.mlp", width, hidden),
    }
    return recipe(128256, width, repeated)


def gpt_oss_120b() -> dict[str, Any]:
    """gpt-oss-120b: 36 layers of 128 experts, each kind in one tensor. huggingface.co/openai/gpt-oss-120b."""
    width, experts, heads, groups, head, every = 2880, 128, 64, 8, 64, "model.layers.{0..35}"
    repeated = {
        f"{every}.input_layernorm.weight": ones(width),
        f"{every}.post_attention_layernorm.weight": ones(width),
        f"{every}.self_attn.sinks": weight(heads),
        f"{every}.mlp.router.weight": weight(experts, width),
        f"{every}.mlp.router.bias": weight(experts),
        f"{every}.mlp.experts.gate_up_proj": weight(experts, width, 2 * width),
        f"{every}.mlp.experts.gate_up_proj_bias": zeros(experts, 2 * width),
        f"{every}.mlp.experts.down_proj": weight(experts, width, width),
        f"{every}.mlp.experts.down_proj_bias": zeros(experts, width),
    }
    for name, rows, columns in (
        ("q_proj", heads * head, width),
        ("k_proj", groups * head, width),
        ("v_proj", groups * head, width),
        ("o_proj", width, heads * head),
    ):
        repeated |= {
            f"{every}.self_attn.{name}.weight": weight(rows, columns),
            f"{every}.self_attn.{name}.bias": zeros(rows),
        }
    return recipe(201088, width, repeated)


MODELS = {
    "deepseek-v3": deepseek_v3,
    "kimi-k2": kimi_k2,
    "llama-3.1-405b": llama_405b,
    "gpt-oss-120b": gpt_oss_120b,
}


def text(document: dict[str, Any]) -> str:
    """Return the recipe as JSON, one tensor a line."""
    members = [f'  "{name}": {json.dumps(document[name])}' for name in ("seed", "dtype")]
    for name in ("tensors", "repeated"):
        lines = ",\n".join(f"    {json.dumps(key)}: {json.dumps(each)}" for key, each in document[name].items())
        members.append(f'  "{name}": {{\n{lines}\n  }}')
    return "{\n" + ",\n".join(members) + "\n}\n"


if __name__ == "__main__":
    for name, build in MODELS.items():
        (HERE / f"{name}.json").write_text(text(build()))
