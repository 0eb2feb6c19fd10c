"""Initializers that are formulas of papers, or of programs that are not run here."""

from __future__ import annotations

from math import pi
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from fanin.draws import Orthogonal
from fanin.file.layout import FileLayout

D, L, M, H, R = 768, 12, 6, 8, 24
"""Width, layers, layers of a decoder, heads, and rank of the examples."""
LINEAR, CONV = [160, 96], [40, 24, 3, 3]
"""Kernels of torch. The linear one has 96 inputs."""


def normal(std: float) -> Any:
    return stats.norm(0, std)


def cut_normal(std: float, cut: float) -> Any:
    """Normal with this standard deviation, then truncated at this number of them."""
    return stats.truncnorm(-cut, cut, 0, std)


def uniform(bound: float) -> Any:
    return stats.uniform(-bound, 2 * bound)


def orthogonal(gain: float) -> Any:
    return Orthogonal(gain, *LINEAR)


NAMES: dict[str, Any] = {
    "N": normal,
    "TN": cut_normal,
    "U": uniform,
    "Q": orthogonal,
    "sqrt": np.sqrt,
    "log": np.log,
    "exp": np.exp,
    "expm1": np.expm1,
    "sin": np.sin,
    "cos": np.cos,
    "where": np.where,
    "clip": np.clip,
    "pi": np.pi,
    "eye": np.eye,
    "newaxis": np.newaxis,
    "max": max,
    "min": min,
    "d": D,
    "L": L,
    "M": M,
    "heads": H,
    "rank": R,
    "fan_in": 96,
    "fan_out": 160,
    "std": 0.02,
}
"""Names in formulas, beside i (last index of an element), t (the index before it) and p (a probability)."""


class Formula(NamedTuple):
    library: str
    what: str
    formula: str
    """Python that gives a distribution, values, or, where `p` is in it, a quantile."""
    tensor: dict[str, Any]
    """Its shape is `LINEAR` if it gives none."""
    source: str

    @property
    def layout(self) -> FileLayout:
        return FileLayout.of({"shape": LINEAR, **self.tensor})


def _residual(std: float = 0.02, **given: float) -> dict[str, Any]:
    return {"scheme": "scaled_normal", "std": std, **given}


_T5 = "Raffel et al. 2020; transformers modeling_t5.py"
_CLIP = "openai/CLIP clip/model.py, initialize_parameters"
_HF_CLIP = "transformers modeling_clip.py"
_NEOX = "gpt-neox megatron/model/init_functions.py"
_MEGATRON = "megatron/core/utils.py"
_TITAN = "torchtitan/models/common/param_init.py"
_OLMO = "OLMo-core nn/transformer/init.py"
_DEEP = "Wang et al. 2022 (arXiv:2203.00555), figure 2"
_SUBLN = "Wang et al. 2022 (arXiv:2210.06423), figure 2"
_FIXUP = "Zhang et al. 2019 (arXiv:1901.09321)"
_TFIXUP = "Huang et al. 2020 (ICML), section 3.2; layer6ai-labs/T-Fixup"
_SIREN = "Sitzmann et al. 2020 (arXiv:2006.09661)"
_TORCH = {"layout": "torch"}

FORMULAS: tuple[Formula, ...] = (
    Formula("GPT-2", "kernels, embeddings", "N(0.02)", {"scheme": "normal", "std": 0.02}, "Radford et al. 2018"),
    Formula("GPT-2", "`c_proj`", "N(0.02 / sqrt(2 * L))", _residual(depth=2 * L), "Radford et al. 2019, section 2.3"),
    Formula("BERT", "kernels", "TN(0.02, 2)", {"scheme": "truncated_normal", "std": 0.02}, "google-research/bert"),
    Formula("Llama, Qwen2, OPT", "kernels", "N(0.02)", {"scheme": "normal", "std": 0.02}, "transformers"),
    Formula(
        "Gemma, Qwen3-Next", "RMSNorm", "0", {"shape": [D], "scheme": "zeros"}, "transformers: it multiplies by 1 + w"
    ),
    Formula(
        "ModernBERT",
        "output kernels",
        "TN(0.02 / sqrt(2 * L), 2)",
        _residual(depth=2 * L, cut=2),
        "transformers modeling_modernbert.py",
    ),
    Formula(
        "ViT, DINOv2", "embeddings", "N(0.02)", {"dialect": "torch", "scheme": "trunc_normal_", "std": 0.02}, "timm"
    ),
    Formula("T5", "q", "N(1 / sqrt(d * (d / heads)))", _residual(1, width=D * D / H), _T5),
    Formula("T5", "k, v, wi", "N(1 / sqrt(d))", _residual(1, width=D), _T5),
    Formula("T5", "o, of inner width 2048: wo", "N(1 / sqrt(2048))", _residual(1, width=2048), _T5),
    Formula("CLIP", "q, k, v", "N(1 / sqrt(d))", _residual(1, width=D), _CLIP),
    Formula("CLIP", "out, c_proj", "N(1 / sqrt(d * 2 * L))", _residual(1, width=D, depth=2 * L), _CLIP),
    Formula("CLIP", "c_fc", "N(1 / sqrt(2 * d))", _residual(1, width=2 * D), _CLIP),
    Formula(
        "transformers' CLIP", "q, k, v, fc2", "N(1 / sqrt(d * 2 * L))", _residual(1, width=D, depth=2 * L), _HF_CLIP
    ),
    Formula("transformers' CLIP", "out", "N(1 / sqrt(d))", _residual(1, width=D), _HF_CLIP),
    Formula("transformers' CLIP", "fc1", "N(1 / sqrt(2 * d))", _residual(1, width=2 * D), _HF_CLIP),
    Formula("Megatron", "`init_method_normal`", "N(std)", {"scheme": "normal", "std": 0.02}, _MEGATRON),
    Formula("Megatron", "`scaled_init_method_normal`", "N(std / sqrt(2 * L))", _residual(depth=2 * L), _MEGATRON),
    Formula("Megatron", "muP of multiplier 8, hidden kernels", "N(std / sqrt(8))", _residual(width=8), _MEGATRON),
    Formula(
        "Megatron",
        "`mup_scaled_init_method_normal`, multiplier 8",
        "N(std / sqrt(2 * L * 8))",
        _residual(depth=2 * L, width=8),
        _MEGATRON,
    ),
    Formula("NeoX", "`small_init`", "N(sqrt(2 / (5 * d)))", {"scheme": "small_init", "width": D}, _NEOX),
    Formula("NeoX", "`wang_init`", "N(2 / (L * sqrt(d)))", {"scheme": "wang_init", "width": D, "layers": L}, _NEOX),
    Formula(
        "GPT-J",
        "output kernels",
        "TN(2 / (L * sqrt(d)), 2)",
        {"scheme": "wang_init", "width": D, "layers": L, "cut": 2},
        "kingoflolz/mesh-transformer-jax mesh_transformer/layers.py",
    ),
    Formula("NeoX", "`single_residual_scaled_normal`", "N(std / sqrt(L))", _residual(depth=L), _NEOX),
    Formula(
        "NeoX",
        "`scaled_orthogonal`",
        "Q(sqrt(2 / L))",
        {"shape": LINEAR, "scheme": "orthogonal", "gain": (2 / L) ** 0.5, **_TORCH},
        _NEOX,
    ),
    Formula("torchtitan", "kernels", "N(0.02)", {"dialect": "torch", "scheme": "trunc_normal_", "std": 0.02}, _TITAN),
    Formula("torchtitan", "`wo`, `w2`, `w3` of layer 3", "N(0.02 / sqrt(2 * (3 + 1)))", _residual(depth=8), _TITAN),
    Formula("torchtitan", "output", "TN(1 / sqrt(d), 3)", _residual(1, width=D, cut=3), _TITAN),
    Formula("torchtitan", "embedding", "N(1)", {"scheme": "normal", "std": 1}, _TITAN),
    Formula(
        "OLMo", "`mitchell`", "TN(1 / sqrt(d), 3)", _residual(1, width=D, cut=3), "allenai/OLMo olmo/initialization.py"
    ),
    Formula(
        "OLMo-core",
        "`normal`",
        "TN(0.02, 3)",
        {"scheme": "truncated_normal", "std": 0.02, "low": -3, "high": 3},
        _OLMO,
    ),
    Formula("OLMo-core", "`llama`", "TN(0.02 / sqrt(2 * L), 3)", _residual(depth=2 * L, cut=3), _OLMO),
    Formula(
        "OLMo-core", "`llama_depth` of layer 3", "TN(0.02 / sqrt(2 * (3 + 1)), 3)", _residual(depth=8, cut=3), _OLMO
    ),
    Formula("OLMo-core", "`fan_in`", "TN(1 / sqrt(d), 3)", _residual(1, width=D, cut=3), _OLMO),
    Formula("mup", "`normal_`, 2 infinite axes, multiplier 8", "N(std / sqrt(8))", _residual(width=8), "mup/init.py"),
    Formula("mup", "`normal_`, 1 infinite axis", "N(std)", {"scheme": "normal", "std": 0.02}, "mup/init.py"),
    Formula(
        "DeepNet",
        "DeepNorm, L layers",
        "N(sqrt(2 / (fan_in + fan_out)) * (8 * L) ** (-1 / 4))",
        {"scheme": "deepnorm", "encoder_layers": L, **_TORCH},
        _DEEP,
    ),
    Formula(
        "DeepNet",
        "DeepNorm, encoder of L + M layers",
        "N(sqrt(2 / (fan_in + fan_out)) * 0.87 * (L**4 * M) ** (-1 / 16))",
        {"scheme": "deepnorm", "encoder_layers": L, "decoder_layers": M, "side": "encoder", **_TORCH},
        _DEEP,
    ),
    Formula(
        "DeepNet",
        "DeepNorm, decoder of L + M layers",
        "N(sqrt(2 / (fan_in + fan_out)) * (12 * M) ** (-1 / 4))",
        {"scheme": "deepnorm", "encoder_layers": L, "decoder_layers": M, "side": "decoder", **_TORCH},
        _DEEP,
    ),
    Formula(
        "Magneto",
        "SubLN, L layers",
        "N(sqrt(2 / (fan_in + fan_out) * log(2 * L)))",
        {"scheme": "subln", "decoder_layers": L, **_TORCH},
        _SUBLN,
    ),
    Formula(
        "Magneto",
        "SubLN, encoder of L + M layers",
        "N(sqrt(2 / (fan_in + fan_out) * log(3 * M) * log(2 * L) / 3))",
        {"scheme": "subln", "encoder_layers": L, "decoder_layers": M, "side": "encoder", **_TORCH},
        _SUBLN,
    ),
    Formula(
        "Magneto",
        "SubLN, decoder of L + M layers",
        "N(sqrt(2 / (fan_in + fan_out) * log(3 * M)))",
        {"scheme": "subln", "encoder_layers": L, "decoder_layers": M, "side": "decoder", **_TORCH},
        _SUBLN,
    ),
    Formula(
        "Fixup",
        "first kernel of a basic block, L blocks",
        "N(sqrt(2 / (40 * 9)) / sqrt(L))",
        {"shape": CONV, "scheme": "fixup", "layers": L, "mode": "fan_out", **_TORCH},
        _FIXUP,
    ),
    Formula(
        "Fixup",
        "first kernels of a bottleneck, L blocks",
        "N(sqrt(2 / (40 * 9)) * L ** (-1 / 4))",
        {"shape": CONV, "scheme": "fixup", "layers": L, "branch_layers": 3, "mode": "fan_out", **_TORCH},
        _FIXUP,
    ),
    Formula("Fixup", "last kernel of a branch, classifier", "0", {"scheme": "zeros"}, _FIXUP),
    Formula("SIREN", "first layer", "U(1 / fan_in)", {"scheme": "siren", "first": True, **_TORCH}, _SIREN),
    Formula("SIREN", "hidden layers", "U(sqrt(6 / fan_in) / 30)", {"scheme": "siren", **_TORCH}, _SIREN),
    Formula(
        "SIREN",
        "layers before ELU",
        "N(sqrt(1.5505188080679277 / fan_in))",
        {
            "scheme": "variance_scaling",
            "scale": 1.5505188080679277,
            "distribution": "normal",
            **_TORCH,
        },
        "vsitzmann/siren modules.py",
    ),
    Formula(
        "SELU networks",
        "kernels",
        "N(1 / sqrt(fan_in))",
        {"scheme": "lecun_normal", **_TORCH},
        "Klambauer et al. 2017 (arXiv:1706.02515)",
    ),
    Formula(
        "PEFT",
        "LoRA A",
        "U(1 / sqrt(fan_in))",
        {"dialect": "torch", "scheme": "kaiming_uniform_", "a": 5**0.5},
        "peft/tuners/lora/layer.py",
    ),
    Formula(
        "PEFT", "LoRA A, `gaussian`", "N(1 / rank)", {"scheme": "normal", "std": 1 / R}, "peft/tuners/lora/layer.py"
    ),
    Formula("PEFT", "LoRA B", "0", {"scheme": "zeros"}, "peft/tuners/lora/layer.py"),
    Formula(
        "ConvNeXt", "LayerScale", "1e-6", {"scheme": "constant", "value": 1e-6}, "transformers modeling_convnext.py"
    ),
    Formula(
        "Mamba", "`A_log`", "log(1 + i)", {"shape": [3, 16], "scheme": "log_range"}, "Gu & Dao 2023 (arXiv:2312.00752)"
    ),
    Formula(
        "RWKV",
        "kernels",
        "Q(sqrt(fan_out / fan_in))",
        {"scheme": "orthogonal", "gain": (160 / 96) ** 0.5, **_TORCH},
        "transformers modeling_rwkv.py",
    ),
    Formula(
        "wav2vec2",
        "positional convolution of 32 channels in 16 groups, before weight norm",
        "N(sqrt(4 / (8 * 32)))",
        {
            "shape": [32, 2, 8],
            "scheme": "variance_scaling",
            "scale": 4 / 16,
            "distribution": "normal",
            **_TORCH,
        },
        "fairseq wav2vec2.py; without effect in transformers 5.24, where the weight is parametrized",
    ),
    Formula(
        "timm",
        "`init_weights_vit_moco`, packed q, k, v",
        "U(sqrt(6 / (192 / 3 + 64)))",
        {"shape": [192, 64], "scheme": "glorot_uniform", "groups": 3, **_TORCH},
        "timm/models/vision_transformer.py",
    ),
    Formula(
        "timm",
        "`_init_weight_goog`, 4 groups",
        "N(sqrt(2 / (3 * 3 * 96 / 4)))",
        {"shape": [96, 8, 3, 3], "scheme": "he_normal", "mode": "fan_out", "groups": 4, **_TORCH},
        "timm/models/_efficientnet_builder.py",
    ),
    Formula(
        "timm",
        "`_init_weight_goog`, linear",
        "U(1 / sqrt(fan_out))",
        {"scheme": "variance_scaling", "scale": 1 / 3, "mode": "fan_out", "distribution": "uniform", **_TORCH},
        "timm/models/_efficientnet_builder.py",
    ),
    Formula(
        "Mamba",
        "`dt_bias`",
        "log(expm1(exp(log(0.001) + p * log(100))))",
        {"shape": [5000], "scheme": "dt_bias"},
        "mamba_ssm/modules/mamba_simple.py",
    ),
    Formula(
        "Mamba-2",
        "`A_log`",
        "log(1 + 15 * p)",
        {"shape": [5000], "scheme": "log_of_uniform"},
        "mamba_ssm/modules/mamba2.py",
    ),
    Formula(
        "Qwen3-Next",
        "`A_log`",
        "log(0.01 + 15.99 * p)",
        {"shape": [5000], "scheme": "log_of_uniform", "low": 0.01},
        "transformers modeling_qwen3_next.py",
    ),
    Formula(
        "RecurrentGemma, not the Griffin paper",
        "`recurrent_param`",
        "log(expm1(-log(0.999**2 - p * (0.999**2 - 0.9**2)) / 2))",
        {"shape": [5000], "scheme": "rg_lru"},
        "transformers modeling_recurrent_gemma.py",
    ),
    Formula(
        "RWKV",
        "`time_decay` of layer 3",
        "-5 + 8 * (i / 63) ** (0.7 + 1.3 * 3 / (L - 1))",
        {"shape": [64], "scheme": "rwkv_decay", "power": 0.7 + 1.3 * 3 / (L - 1)},
        "transformers modeling_rwkv.py",
    ),
    Formula(
        "Transformer",
        "positions",
        "where(i % 2 == 0, sin(t / 1e4 ** (i // 2 * 2 / 16)), cos(t / 1e4 ** (i // 2 * 2 / 16)))",
        {"shape": [9, 16], "scheme": "sinusoidal"},
        "Vaswani et al. 2017 (arXiv:1706.03762)",
    ),
    Formula(
        "Marian",
        "positions",
        "where(i < 8, sin(t / 1e4 ** (2 * (i % 8) / 16)), cos(t / 1e4 ** (2 * (i % 8) / 16)))",
        {"shape": [9, 16], "scheme": "sinusoidal", "variant": "marian"},
        "transformers modeling_marian.py",
    ),
    Formula(
        "fairseq, Whisper",
        "positions",
        "where(i < 8, sin(t * exp(-(i % 8) * log(1e4) / 7)), cos(t * exp(-(i % 8) * log(1e4) / 7)))",
        {"shape": [9, 16], "scheme": "sinusoidal", "variant": "fairseq"},
        "fairseq sinusoidal_positional_embedding.py",
    ),
    Formula("Mamba", "`D`", "1", {"shape": [5], "scheme": "ones"}, "Gu & Dao 2023 (arXiv:2312.00752)"),
    Formula(
        "Llama",
        "RoPE `inv_freq`",
        "10000.0 ** (-i / 32)",
        {"shape": [32], "scheme": "rope_frequencies"},
        "Su et al. 2021 (arXiv:2104.09864)",
    ),
    Formula(
        "MPT, BLOOM",
        "ALiBi slopes of 8 heads",
        "2.0 ** -(1 + i)",
        {"shape": [8], "scheme": "alibi_slopes"},
        "Press et al. 2022 (arXiv:2108.12409)",
    ),
    Formula(
        "Llama 3",
        "RoPE `inv_freq` of rope_type `llama3`",
        "5e5 ** (-i / 64) * (1 / 8 + 7 / 8 * clip((8192 * 5e5 ** (-i / 64) / (2 * pi) - 1) / 3, 0, 1))",
        {"shape": [64], "scheme": "rope_frequencies", "base": 500000, "scaling": "llama3", "factor": 8},
        "transformers modeling_rope_utils.py",
    ),
    Formula(
        "Llama",
        "RoPE `inv_freq` of rope_type `linear`",
        "1e4 ** (-i / 32) / 4",
        {"shape": [32], "scheme": "rope_frequencies", "scaling": "linear", "factor": 4},
        "transformers modeling_rope_utils.py",
    ),
    Formula(
        "MPT, BLOOM",
        "ALiBi slopes of 12 heads",
        "where(i < 8, 2.0 ** -(1 + i), 2.0 ** -((2 * (i - 8) + 1) / 2))",
        {"shape": [12], "scheme": "alibi_slopes"},
        "Press et al. 2022 (arXiv:2108.12409)",
    ),
    Formula(
        "FCN",
        "bilinear upsampling of kernel 4 x 1",
        "(1 - abs(i - 1.5) / 2) * eye(2)[:, :, newaxis, newaxis]",
        {"shape": [2, 2, 1, 4], "scheme": "bilinear", "channels": "same", **_TORCH},
        "Long et al. 2015 (arXiv:1411.4038) and its code, surgery.py",
    ),
    Formula(
        "gpt-oss",
        "RoPE `inv_freq` of rope_type `yarn` without `truncate`",
        "15e4 ** (-i / 32) * (1 - (r := clip((i - (f := 32 * log(4096 / (64 * pi)) / log(15e4)))"
        " / (32 * log(4096 / (2 * pi)) / log(15e4) - f), 0, 1)) + r / 32)",
        {
            "shape": [32],
            "scheme": "rope_frequencies",
            "base": 150000,
            "scaling": "yarn",
            "factor": 32,
            "context": 4096,
            "truncate": False,
        },
        "transformers modeling_rope_utils.py",
    ),
    Formula(
        "Griffin",
        "`recurrent_param`, the paper's distribution",
        "log(expm1(-log(0.999 - p * 0.099) / 8))",
        {"shape": [5000], "scheme": "rg_lru", "variant": "griffin"},
        "De et al. 2024 (arXiv:2402.19427), section 2.4",
    ),
    Formula(
        "LRU",
        "`nu_log`",
        "log(-log(0.999**2 - p * (0.999**2 - 0.9**2)) / 2)",
        {"shape": [5000], "scheme": "lru_nu"},
        "Orvieto et al. 2023 (arXiv:2303.06349), appendix A",
    ),
    Formula(
        "LRU",
        "`theta_log`, nearly: from an angle of 2^-24 pi on",
        "log(pi * 2.0**-24 + p * pi * (1 - 2.0**-24))",
        {"shape": [5000], "scheme": "log_of_uniform", "low": pi * 2**-24, "high": pi},
        "Orvieto et al. 2023 (arXiv:2303.06349), appendix A",
    ),
    Formula(
        "UR-LSTM",
        "bias of a gate, of 256 units",
        "log((1 / 256 + p * 254 / 256) / (255 / 256 - p * 254 / 256))",
        {"shape": [5000], "scheme": "logit_of_uniform", "low": 1 / 256, "high": 255 / 256},
        "Gu et al. 2020 (arXiv:1910.09890), section 3.1",
    ),
    Formula(
        "chrono LSTM",
        "bias of the forget gate, for 784 steps",
        "log(1 + p * 782)",
        {"shape": [5000], "scheme": "log_of_uniform", "low": 1, "high": 783},
        "Tallec & Ollivier 2018 (arXiv:1804.11188), section 2",
    ),
    Formula(
        "RetNet",
        "`decay`",
        "log(1 - 2.0 ** (-5 - i))",
        {"shape": [8], "scheme": "retention_decay"},
        "torchscale architecture/retnet.py",
    ),
    Formula(
        "RetNet",
        "`decay` of language models",
        "log(1 - exp(log(1 / 32) + (log(1 / 512) - log(1 / 32)) * i / 7))",
        {"shape": [8], "scheme": "retention_decay", "stop": 9},
        "Sun et al. 2023 (arXiv:2307.08621), section 2.2",
    ),
    Formula(
        "MiniMax",
        "`slope_rate` of layer 3 of 12",
        "2.0 ** -(1 + i) * (1 - 3 / (11 + 1e-5) + 1e-5)",
        {"shape": [8], "scheme": "alibi_slopes", "gain": 1 - 3 / (11 + 1e-5) + 1e-5},
        "transformers modeling_minimax.py",
    ),
    Formula(
        "S4",
        "A of HiPPO-LegS",
        "-where(t > i, sqrt((2 * t + 1) * (2 * i + 1)), where(t == i, t + 1, 0))",
        {"shape": [64, 64], "scheme": "hippo_legs"},
        "Gu et al. 2020 (arXiv:2008.07669), theorem 2",
    ),
    Formula(
        "S4",
        "B of HiPPO-LegS",
        "sqrt(2 * i + 1)",
        {"shape": [64], "scheme": "hippo_legs", "part": "b"},
        "Gu et al. 2020 (arXiv:2008.07669), theorem 2",
    ),
    Formula(
        "S4D-Inv",
        "imaginary part of A, 64 states",
        "64 / pi * (64 / (2 * i + 1) - 1)",
        {"shape": [32], "scheme": "s4d_inv"},
        "Gu et al. 2022 (arXiv:2206.11893), equation 8",
    ),
    Formula(
        "S4D-Lin",
        "imaginary part of A, 64 states",
        "pi * i",
        {"shape": [32], "scheme": "power_range", "low": 0, "high": 31 * pi},
        "Gu et al. 2022 (arXiv:2206.11893), equation 9",
    ),
    Formula(
        "S4D",
        "real part of A",
        "-1 / 2",
        {"shape": [32], "scheme": "constant", "value": -0.5},
        "Gu et al. 2022 (arXiv:2206.11893), section 4",
    ),
    Formula(
        "Phi-3",
        "RoPE `inv_freq` of rope_type `longrope`",
        "1 / ((1 + i / 8) * 1e4 ** (i / 48))",
        {
            "shape": [48],
            "scheme": "rope_frequencies",
            "scaling": "longrope",
            "factors": [1 + n / 8 for n in range(48)],
        },
        "transformers modeling_rope_utils.py, with its `short_factor` or `long_factor`",
    ),
    Formula(
        "Gemma 4",
        "RoPE `inv_freq` of rope_type `proportional`",
        "where(i < 64, 1e6 ** (-i / 256), 0)",
        {
            "shape": [256],
            "scheme": "rope_frequencies",
            "base": 1e6,
            "scaling": "proportional",
            "partial_rotary_factor": 0.25,
        },
        "transformers modeling_rope_utils.py",
    ),
    Formula(
        "nanotron",
        "spectral muP, kernels",
        "N(min(1, sqrt(fan_out / fan_in)) / sqrt(fan_in))",
        {"scheme": "spectral_mup", **_TORCH},
        "Yang et al. 2023 (arXiv:2310.17813), section 4",
    ),
    Formula(
        "T-Fixup",
        "v, o and feed-forward of an encoder of L layers",
        "U(0.67 * L ** (-1 / 4) * sqrt(6 / (fan_in + fan_out)))",
        {"scheme": "t_fixup", "layers": L, "side": "encoder", **_TORCH},
        _TFIXUP,
    ),
    Formula(
        "T-Fixup",
        "v, o and feed-forward of a decoder of M layers",
        "U((9 * M) ** (-1 / 4) * sqrt(6 / (fan_in + fan_out)))",
        {"scheme": "t_fixup", "layers": M, "side": "decoder", **_TORCH},
        _TFIXUP,
    ),
    Formula(
        "T-Fixup",
        "embeddings",
        "N((9 * M) ** (-1 / 4) / sqrt(d))",
        _residual(1, width=D, depth=3 * M**0.5),
        _TFIXUP,
    ),
    Formula(
        "Scion, Muon",
        "kernels",
        "Q(sqrt(fan_out / fan_in))",
        {"shape": LINEAR, "scheme": "orthogonal", "spectral": "ratio", **_TORCH},
        "LIONS-EPFL/scion, Spectral",
    ),
    Formula(
        "Scion, Muon",
        "kernels, `max`",
        "Q(max(1, sqrt(fan_out / fan_in)))",
        {"shape": LINEAR, "scheme": "orthogonal", "spectral": "max", **_TORCH},
        "LIONS-EPFL/scion, Spectral",
    ),
    Formula(
        "MAE, DiT",
        "positions of 2 x 3 patches",
        "where(i < 8, where(i % 8 < 4, sin(t % 3 / 1e4 ** (i % 4 / 4)), cos(t % 3 / 1e4 ** (i % 4 / 4))),"
        " where(i % 8 < 4, sin(t // 3 / 1e4 ** (i % 4 / 4)), cos(t // 3 / 1e4 ** (i % 4 / 4))))",
        {"shape": [6, 16], "scheme": "sinusoidal", "variant": "mae", "grid": [2, 3]},
        "facebookresearch/mae util/pos_embed.py",
    ),
    Formula(
        "GPT-J",
        "kernels",
        "TN(1 / sqrt(fan_in), 2)",
        {"scheme": "scaled_normal", "std": 1, "width": 96, "cut": 2},
        "kingoflolz/mesh-transformer-jax mesh_transformer/layers.py",
    ),
    Formula(
        "Mamba",
        "`out_proj`, rescaled for L layers",
        "U(1 / sqrt(fan_in * L))",
        {"scheme": "fan_uniform", "fan": 96 * L},
        "mamba_ssm/models/mixer_seq_simple.py, _init_weights",
    ),
    Formula(
        "xLSTM",
        "bias of the input gates",
        "-10",
        {"shape": [8], "scheme": "constant", "value": -10},
        "transformers modeling_xlstm.py",
    ),
    Formula(
        "xLSTM",
        "bias of the forget gates",
        "3 + 3 * i / 7",
        {"shape": [8], "scheme": "power_range", "low": 3, "high": 6},
        "transformers modeling_xlstm.py",
    ),
    Formula("xLSTM", "kernels of the gates", "0", {"scheme": "zeros"}, "transformers modeling_xlstm.py"),
    Formula(
        "hyper-connections",
        "`static_alpha` of layer 6, 4 streams",
        "where(i == 0, t == 2, t == i - 1)",
        {
            "shape": [4, 5],
            "scheme": "blocks",
            "axis": 1,
            "parts": [
                {
                    "size": 1,
                    "scheme": "blocks",
                    "parts": [
                        {"size": 2, "scheme": "zeros"},
                        {"size": 1, "scheme": "ones"},
                        {"size": 1, "scheme": "zeros"},
                    ],
                },
                {"size": 4, "scheme": "eye"},
            ],
        },
        "Zhu et al. 2024 (arXiv:2409.19606); lucidrains/hyper-connections",
    ),
    Formula(
        "hyper-connections",
        "`static_beta`",
        "1",
        {"shape": [4], "scheme": "ones"},
        "Zhu et al. 2024 (arXiv:2409.19606); lucidrains/hyper-connections",
    ),
    Formula(
        "hyper-connections",
        "`dynamic_alpha_scale`",
        "0.01",
        {"shape": [1], "scheme": "constant", "value": 0.01},
        "lucidrains/hyper-connections",
    ),
    Formula(
        "Kimi Delta Attention",
        "`A_log`",
        "log(1 + 15 * p)",
        {"shape": [5000], "scheme": "log_of_uniform"},
        "moonshotai/Kimi-Linear modeling_kimi.py",
    ),
    Formula(
        "gated DeltaNet",
        "`dt_bias`",
        "log(expm1(exp(log(0.001) + p * log(100))))",
        {"shape": [5000], "scheme": "dt_bias"},
        "fla-org/flash-linear-attention layers/gated_deltanet.py",
    ),
    Formula(
        "CompleteP",
        "hidden kernels, width multiplier 8",
        "N(std / sqrt(8))",
        _residual(width=8),
        "Dey et al. 2025 (arXiv:2505.01618): the depth is in multipliers of the forward pass",
    ),
    Formula(
        "Switch Transformer",
        "kernels and router",
        "TN(sqrt(0.1 / fan_in), 2)",
        {"scheme": "scaled_normal", "std": 0.1**0.5, "width": 96, "cut": 2},
        "Fedus et al. 2022 (arXiv:2101.03961), section 2.4",
    ),
    Formula(
        "DyT",
        "`alpha`",
        "0.5",
        {"shape": [1], "scheme": "constant", "value": 0.5},
        "Zhu et al. 2025 (arXiv:2503.10622)",
    ),
    Formula(
        "DiT",
        "AdaLN-Zero: modulation and last layer",
        "0",
        {"scheme": "zeros"},
        "Peebles & Xie 2023 (arXiv:2212.09748), section 3.2",
    ),
    Formula(
        "ReZero",
        "factor of a branch",
        "0",
        {"shape": [1], "scheme": "zeros"},
        "Bachlechner et al. 2021 (arXiv:2003.04887)",
    ),
    Formula(
        "CaiT",
        "LayerScale of 36 layers",
        "1e-6",
        {"shape": [D], "scheme": "constant", "value": 1e-6},
        "Touvron et al. 2021 (arXiv:2103.17239), section 2: 0.1 up to 18 layers, 1e-5 up to 24",
    ),
    Formula(
        "TensorFlow 1",
        "`xavier_initializer`, nearly",
        "TN(sqrt(2 / (fan_in + fan_out)) / 0.8796256610342398, 2)",
        {"dialect": "keras", "scheme": "GlorotNormal"},
        "tensorflow/contrib/layers: it rounds 1 / 0.8796^2 to 1.3",
    ),
)
