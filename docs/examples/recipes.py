"""The recipes of two well-known models, with their real tensor names and shapes.

python docs/examples/recipes.py     writes gpt2-small.json and resnet-50.json beside this file
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Tensors = dict[str, dict[str, Any]]


def mlp(seed: int = 42) -> dict[str, Any]:
    """A small network for digits: two linear layers as torch has them, He normal."""
    return {
        "seed": seed,
        "layout": "torch",
        "tensors": {
            "fc1.weight": {"shape": [256, 784], "scheme": "he_normal"},
            "fc1.bias": {"shape": [256], "scheme": "zeros"},
            "fc2.weight": {"shape": [10, 256], "scheme": "he_normal"},
            "fc2.bias": {"shape": [10], "scheme": "zeros"},
        },
    }


def gpt2_small(dtype: str = "F32", seed: int = 42) -> dict[str, Any]:
    """GPT-2 small: 148 tensors, 124,439,808 parameters.

    Radford et al. 2019: N(0, 0.02^2), residual projections scaled by 1/sqrt(2 layers); norms 1, biases 0.
    """
    layers, width, vocabulary, context = 12, 768, 50257, 1024

    def weight(*shape: int, std: float = 0.02) -> dict[str, Any]:
        return {"shape": list(shape), "scheme": "normal", "std": std}

    def constant(size: int, scheme: str) -> dict[str, Any]:
        return {"shape": [size], "scheme": scheme}

    residual = 0.02 / (2 * layers) ** 0.5
    tensors: Tensors = {"wte.weight": weight(vocabulary, width), "wpe.weight": weight(context, width)}
    for n in range(layers):
        tensors |= {
            f"h.{n}.ln_1.weight": constant(width, "ones"),
            f"h.{n}.ln_1.bias": constant(width, "zeros"),
            f"h.{n}.attn.c_attn.weight": weight(width, 3 * width),
            f"h.{n}.attn.c_attn.bias": constant(3 * width, "zeros"),
            f"h.{n}.attn.c_proj.weight": weight(width, width, std=residual),
            f"h.{n}.attn.c_proj.bias": constant(width, "zeros"),
            f"h.{n}.ln_2.weight": constant(width, "ones"),
            f"h.{n}.ln_2.bias": constant(width, "zeros"),
            f"h.{n}.mlp.c_fc.weight": weight(width, 4 * width),
            f"h.{n}.mlp.c_fc.bias": constant(4 * width, "zeros"),
            f"h.{n}.mlp.c_proj.weight": weight(4 * width, width, std=residual),
            f"h.{n}.mlp.c_proj.bias": constant(width, "zeros"),
        }
    tensors |= {"ln_f.weight": constant(width, "ones"), "ln_f.bias": constant(width, "zeros")}
    return {"stream": "fanin/1", "seed": seed, "dtype": dtype, "tensors": tensors}


def resnet_50(dtype: str = "F32", seed: int = 42) -> dict[str, Any]:
    """ResNet-50 as in torchvision: 267 floating-point tensors; its integer counters are not weights.

    He et al. 2015: convolutions He normal by fan_out; the classifier as torch's Linear: U(+-1/sqrt(fan_in)).
    """
    tensors: Tensors = {}

    def convolution(name: str, inputs: int, outputs: int, size: int) -> None:
        tensors[f"{name}.weight"] = {"shape": [outputs, inputs, size, size], "scheme": "he_normal", "mode": "fan_out"}

    def norm(name: str, size: int) -> None:
        for field, scheme in (
            ("weight", "gamma"),
            ("bias", "beta"),
            ("running_mean", "moving_mean"),
            ("running_var", "moving_variance"),
        ):
            tensors[f"{name}.{field}"] = {"shape": [size], "scheme": f"batch_norm_{scheme}"}

    convolution("conv1", 3, 64, 7)
    norm("bn1", 64)
    inputs = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for n, (fan_in, fan_out, size) in enumerate(
                ((inputs, width, 1), (width, width, 3), (width, 4 * width, 1)), start=1
            ):
                convolution(f"{name}.conv{n}", fan_in, fan_out, size)
                norm(f"{name}.bn{n}", fan_out)
            if block == 0:
                convolution(f"{name}.downsample.0", inputs, 4 * width, 1)
                norm(f"{name}.downsample.1", 4 * width)
            inputs = 4 * width
    limit = inputs**-0.5
    tensors["fc.weight"] = {"shape": [1000, inputs], "scheme": "uniform", "low": -limit, "high": limit}
    tensors["fc.bias"] = {"shape": [1000], "scheme": "uniform", "low": -limit, "high": limit}
    return {"stream": "fanin/1", "seed": seed, "dtype": dtype, "layout": "torch", "tensors": tensors}


EXAMPLES = {"mlp.json": mlp, "gpt2-small.json": gpt2_small, "resnet-50.json": resnet_50}


def text(recipe: dict[str, Any]) -> str:
    """The recipe as JSON with one tensor a line."""
    head = ", ".join(f"{json.dumps(name)}: {json.dumps(recipe[name])}" for name in recipe if name != "tensors")
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(tensor)}" for name, tensor in recipe["tensors"].items())
    return f'{{{head}, "tensors": {{\n{rows}\n}}}}\n'


if __name__ == "__main__":
    for name, recipe in EXAMPLES.items():
        (HERE / name).write_text(text(recipe()))
