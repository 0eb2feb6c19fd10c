"""Writes docs/initializers.md: every initializer of other libraries, how to say it here, and what is drawn."""

from __future__ import annotations

import inspect
import json
from math import log
from pathlib import Path
from typing import Any

from fanin.describe import describe
from fanin.dialects import DIALECTS
from fanin.layout import Layout

PAGE = Path(__file__).parent / "initializers.md"
SHAPES: dict[str, list[int]] = {"eye_": [5, 5], "Identity": [5, 5], "dirac_": [32, 16, 3, 3]}
"""Of examples; all others are a convolution of 16 to 32 channels, 3 x 3."""
KERNELS = {"torch": [32, 16, 3, 3], "keras": [3, 3, 16, 32], "jax": [3, 3, 16, 32]}
REQUIRED: dict[str, Any] = {"val": 0.5, "value": 0.5, "scale": 2, "mode": "fan_in", "distribution": "normal"}
MODULES = {"torch": "torch.nn.init", "keras": "keras.initializers", "jax": "jax.nn.initializers"}

Row = tuple[str, str, dict[str, Any], tuple[str, float]]
L, D, N = 12, 768, 1 / 144
"""Layers and width of GPT-2 small; the variance 1 / fan_in of the convolution."""
MORE: tuple[Row, ...] = (
    ("torch", "`Linear`, `Conv` weight", {"scheme": "he_uniform", "negative_slope": 5**0.5}, ("U", N**0.5)),
    ("torch", "`Linear`, `Conv` bias", {"scheme": "fan_uniform", "fan": 144}, ("U", N**0.5)),
    ("torch", "`LSTM`, `GRU`, all tensors", {"scheme": "fan_uniform", "fan": 64}, ("U", 1 / 8)),
    ("torch", "`Embedding`", {"scheme": "normal", "std": 1}, ("N", 1)),
    ("Flax", "`zeros_init`, `ones_init`", {"scheme": "zeros"}, ("=", 0)),
    ("Flax", "`Dense`, `Conv` kernel", {"scheme": "lecun_normal", "truncated": True}, ("TN", N**0.5)),
    (
        "Flax",
        "`Embed`",
        {
            "shape": [100, 16],
            "scheme": "variance_scaling",
            "distribution": "normal",
            "in_axes": [1],
            "out_axes": [0],
        },
        ("N", 0.25),
    ),
    ("Haiku", "`Constant`", {"scheme": "constant", "value": 0.5}, ("=", 0.5)),
    ("Haiku", "`RandomNormal`", {"scheme": "normal", "std": 1}, ("N", 1)),
    ("Haiku", "`RandomUniform`", {"scheme": "uniform", "low": -1, "high": 1}, ("U", 1)),
    ("Haiku", "`TruncatedNormal`, and of `Linear`", {"scheme": "truncated_normal", "std": 1 / 12}, ("TN2", 1 / 12)),
    ("Haiku", "`VarianceScaling`", {"scheme": "variance_scaling"}, ("TN", N**0.5)),
    (
        "Haiku",
        "`UniformScaling` (TF 1 too)",
        {
            "scheme": "variance_scaling",
            "distribution": "uniform",
            "in_axes": [0, 1, 2],
            "out_axes": [3],
        },
        ("U", (3 * N) ** 0.5),
    ),
    ("Haiku", "`Identity`", {"shape": [2, 5, 5], "scheme": "identity"}, ("eye", 1)),
    ("timm", "`trunc_normal_`", {"scheme": "truncated_normal", "std": 1, "bounds": "absolute"}, ("TN2", 1)),
    ("timm", "`trunc_normal_tf_`", {"scheme": "truncated_normal", "std": 0.02}, ("TN2", 0.02)),
    ("timm", "`variance_scaling_`, `lecun_normal_`", {"scheme": "lecun_normal", "truncated": True}, ("TN", N**0.5)),
    ("timm", "LayerScale", {"scheme": "constant", "value": 1e-5}, ("=", 1e-5)),
    ("Megatron", "`init_method_normal`", {"scheme": "normal", "std": 0.02}, ("N", 0.02)),
    (
        "Megatron, GPT-2",
        "`scaled_init_method_normal`, `c_proj`",
        {"scheme": "scaled_normal", "std": 0.02, "depth": 2 * L},
        ("N", 0.02 / (2 * L) ** 0.5),
    ),
    (
        "Megatron",
        "`mup_scaled_init_method_normal`, multiplier 8",
        {"scheme": "scaled_normal", "std": 0.02, "depth": 2 * L, "width": 8},
        ("N", 0.02 / (16 * L) ** 0.5),
    ),
    ("NeoX", "`small_init`", {"scheme": "small_init", "width": D}, ("N", (2 / (5 * D)) ** 0.5)),
    ("NeoX", "`wang_init`", {"scheme": "wang_init", "width": D, "layers": L}, ("N", 2 / (L * D**0.5))),
    (
        "NeoX",
        "`single_residual_scaled_normal`",
        {"scheme": "scaled_normal", "std": 0.02, "depth": L},
        ("N", 0.02 / L**0.5),
    ),
    (
        "torchtitan, OLMo",
        "output layers of layer 3, cut at 3",
        {"scheme": "scaled_normal", "std": 0.02, "depth": 8, "cut": 3},
        ("TN3", 0.02 / 8**0.5),
    ),
    ("T5", "k, v, wi", {"scheme": "scaled_normal", "std": 1, "width": D}, ("N", D**-0.5)),
    ("CLIP", "q, k, v", {"scheme": "scaled_normal", "std": 1, "width": D, "depth": 2 * L}, ("N", (2 * L * D) ** -0.5)),
    ("PEFT", "LoRA A (B is zeros)", {"scheme": "he_uniform", "negative_slope": 5**0.5}, ("U", N**0.5)),
    (
        "torchscale",
        "DeepNorm, 12 layers",
        {"scheme": "deepnorm", "encoder_layers": L},
        ("N", (2 / 432) ** 0.5 / 96**0.25),
    ),
    ("torchscale", "SubLN, 12 layers", {"scheme": "subln", "decoder_layers": L}, ("N", (2 * log(24) / 432) ** 0.5)),
    ("Fixup", "16 blocks", {"scheme": "fixup", "layers": 16}, ("N", (2 * N) ** 0.5 / 4)),
    ("SIREN", "hidden layers", {"scheme": "siren"}, ("U", (6 * N) ** 0.5 / 30)),
    ("SIREN", "first layer", {"scheme": "siren", "first": True}, ("U", N)),
    ("Mamba", "`A_log`", {"shape": [3, 16], "scheme": "log_range"}, ("table", 0)),
    ("Llama", "RoPE `inv_freq`", {"shape": [64], "scheme": "rope_frequencies"}, ("table", 0)),
    ("MPT, BLOOM", "ALiBi slopes", {"shape": [12], "scheme": "alibi_slopes"}, ("table", 0)),
    ("FCN", "bilinear upsampling", {"shape": [4, 4, 3, 3], "scheme": "bilinear"}, ("table", 0)),
)
"""What has no dialect: library, initializer, tensor, and its law: kind, and bound, standard deviation or value. A
normal law cut at 2 has the standard deviation of the result (TN) or of what is cut (TN2); TN3 is cut at 3."""

HEAD = """\
# Initializers of other libraries

Written by `python docs/initializers.py`.

A recipe, or a tensor, may say `"dialect": "torch"`, `"keras"` or `"jax"`. Its schemes are then the initializers of that library, by
their names there, with their parameters and defaults, and mean what they mean there: fans, truncation, bounds, gain, layout.

```python
import fanin

recipe = {
    "dialect": "torch",
    "tensors": {
        "conv.weight": {"shape": [32, 16, 3, 3], "scheme": "kaiming_normal_", "nonlinearity": "relu"},
        "conv.bias": {"shape": [32], "scheme": "zeros_"},
    },
}
assert b'"scheme":"he_normal"' in fanin.as_recipe(recipe).canonical
```

The canonical recipe, and so the digest, has Fanin's own schemes. `tests/peers` runs the library (torch, Keras on JAX, JAX) for each row
with a dialect, over dense, grouped, depthwise, transposed, embedding and attention kernels, and compares support, mean, standard
deviation, kurtosis and quantiles with the law that is drawn here. Examples below have a kernel from 16 to 32 channels, 3 x 3.

"""
TAIL = """\
## Where a library is at fault

A dialect takes over what a library means, not how it misses it.

| library | fault | here |
|---|---|---|
| torch, Keras, JAX | fans of grouped, depthwise and transposed kernels are no connections | kept in a dialect, for the law is the library's; Fanin's own schemes count ([SPEC.md](../clients/SPEC.md), section 9.2) |
| torch up to 2.11, timm | `trunc_normal_` puts values far outside at the bounds; in BF16 a multiple of the standard deviation | drawn in float32 by inverse distribution function, rounded once within the bounds |
| torch | bounds of `trunc_normal_` are values: with `std` 0.02 the default cuts nothing | kept in the dialect; `truncated_normal` counts standard deviations |
| Keras on torch | truncated normals leak past 2 standard deviations | never |
| JAX | BF16 and F16 draws have 128 and 1,024 values, a variance may underflow to 0 | 2^32 words, scalars in float32 |
| Keras | an instance with a seed gives the same values each time | streams by tensor name |

## Not here

`torch.nn.init.sparse_`, `keras.initializers.STFT`, complex types, sinusoidal tables, Mamba's `dt_bias`, RG-LRU's `a`. What needs data or
other weights (LSUV, PiSSA, OLoRA, EVA) is no recipe.
"""


def page() -> str:
    """The whole page."""
    text = HEAD
    for library, initializers in DIALECTS.items():
        text += f"## {MODULES[library]}\n\n| initializer | example here, without dialect | draw |\n|---|---|---|\n"
        for name, initializer in initializers.items():
            parameters = list(inspect.signature(initializer).parameters.values())[1:]
            given = {each.name: REQUIRED[each.name] for each in parameters if each.default is each.empty}
            tensor = {"dialect": library, "shape": SHAPES.get(name, KERNELS[library]), "scheme": name, **given}
            shown = ", ".join(f"{each.name}={_value(given, each)}" for each in parameters)
            text += f"| `{name}({shown})` | {_spelled(tensor)} |\n"
        text += "\n"
    text += "## Layers and models\n\nCompared with the formula by `tests/peers/test_page.py`.\n\n"
    text += "| library | initializer | tensor | draw |\n|---|---|---|---|\n"
    for library, what, tensor, _ in MORE:
        text += f"| {library} | {what} | {_spelled(tensor)} |\n"
    return f"{text}\n{TAIL}"


def _value(given: dict[str, Any], parameter: inspect.Parameter) -> str:
    value = given.get(parameter.name, parameter.default)
    return json.dumps(list(value) if isinstance(value, tuple) else value).replace("null", "None")


def _spelled(tensor: dict[str, Any]) -> str:
    layout = Layout.of({"shape": KERNELS["keras"], **tensor})
    members = layout.recipe.tensors["weight"].canonical()
    shown = {name: value for name, value in members.items() if name not in ("shape", "dtype", "scheme")}
    spelled = ", ".join([members["scheme"], *(f"{name} {json.dumps(value)}" for name, value in shown.items())])
    law = describe(layout)["tensors"]["weight"]["draw"].replace("|", "or")
    return f"`{spelled}` | {law}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
