"""Aliases of storage types, and texts that are none: section 2.2."""

from __future__ import annotations

from typing import Any

from generator.recipes import canonical, refused

ALIASES = (
    "float64",
    "f64",
    "complex64",
    "c64",
    "float32",
    "f32",
    "float16",
    "f16",
    "bfloat16",
    "bf16",
    "float8_e4m3fn",
    "f8_e4m3",
    "float8_e5m2",
    "f8_e5m2",
    "torch.bfloat16",
    "np.float32",
    "numpy.float64",
    "jnp.bfloat16",
    "jax.numpy.float16",
    "ml_dtypes.float8_e4m3fn",
    "torch.f32",
)
NO_ALIASES = (
    "fp32",
    "Float32",
    "BFLOAT16",
    "float",
    "double",
    "half",
    "float8_e4m3",
    "int8",
    "torch.F32",
    "torch.torch.float32",
    "tf.float32",
    ".float32",
    "float32 ",
)
OTHERS = (
    '{"shape": [2], "scheme": "zeros", "dtype": "bf16"}',
    '{"dtype": "torch.bfloat16", "tensors": {"a": {"shape": [2], "scheme": "ones"}, "b": {"shape": [2], "scheme": "ones", "dtype": "F32"}}}',  # noqa: E501
    '{"dtype": "float16", "dialect": "torch", "repeated": {"{0..1}": {"shape": [2, 2], "scheme": "kaiming_normal_", "dtype": "float64"}, "{2..3}": {"shape": [2, 2], "scheme": "xavier_normal_"}}, "tensors": {}}',  # noqa: E501
)


def dtypes() -> list[Any]:
    every = ", ".join(
        f'"{place:02}": {{"shape": [1], "scheme": "ones", "dtype": "{alias}"}}' for place, alias in enumerate(ALIASES)
    )
    wrong = [f'{{"shape": [2], "scheme": "zeros", "dtype": "{text}"}}' for text in NO_ALIASES]
    return [canonical(f'{{"tensors": {{{every}}}}}'), *map(canonical, OTHERS), *map(refused, wrong)]
