"""Tables of positions, decays and states against the formulas and the numbers of the libraries that have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import fanin

Number = Callable[[int], Any]


def made(**tensor: Any) -> Any:
    return fanin.materialize(tensor)["weight"]


def nearest(values: list[Any], dtype: str) -> Any:
    """Return the numbers of the type that are nearest to exact values."""
    bits = {"F32": 24, "F64": 53}[dtype]
    with mpmath.workprec(bits):
        return np.array([float(+value) for value in values])


_FACTORS = [1, 1.25, 3.5, 64.1, 2, 9, 1.5, 0.7]
CASES: list[tuple[dict[str, Any], Number]] = [
    (
        {"scheme": "rope_frequencies", "scaling": "longrope", "factors": _FACTORS},
        lambda i: 1 / (mpmath.mpf(_FACTORS[i]) * mpmath.mpf(10000) ** (mpmath.mpf(i) / 8)),
    ),
    (
        {"scheme": "rope_frequencies", "scaling": "proportional", "partial_rotary_factor": 0.4, "factor": 3},
        lambda i: mpmath.mpf(10000) ** (-mpmath.mpf(i) / 8) / 3 if i < 3 else mpmath.mpf(0),
    ),
    ({"scheme": "alibi_slopes", "gain": 0.7}, lambda i: mpmath.mpf(0.7) * mpmath.mpf(2) ** -(i + 1)),
    ({"scheme": "retention_decay"}, lambda i: mpmath.log(1 - mpmath.mpf(2) ** -(5 + i))),
    (
        {"scheme": "retention_decay", "start": 0.25, "stop": 9},
        lambda i: mpmath.log(1 - mpmath.mpf(2) ** -(mpmath.mpf(0.25) + mpmath.mpf(8.75) * i / 7)),
    ),
    ({"scheme": "hippo_legs", "part": "b"}, lambda i: mpmath.sqrt(2 * i + 1)),
    ({"scheme": "s4d_inv"}, lambda i: 16 / mpmath.pi * (mpmath.mpf(16) / (2 * i + 1) - 1)),
    ({"scheme": "s4d_inv", "states": 8}, lambda i: 8 / mpmath.pi * (mpmath.mpf(8) / (2 * i + 1) - 1)),
]


@pytest.mark.parametrize("dtype", ["F32", "F64"])
@pytest.mark.parametrize(("tensor", "number"), CASES)
def test_every_value_is_the_nearest(tensor: dict[str, Any], number: Number, dtype: str) -> None:
    with mpmath.workdps(60):
        values = [number(i) for i in range(8)]
    assert np.array_equal(made(shape=[8], dtype=dtype, **tensor), nearest(values, dtype))


@pytest.mark.parametrize("dtype", ["F32", "F64"])
def test_hippo_is_that_of_the_annotated_s4(dtype: str) -> None:
    states = 12
    with mpmath.workdps(60):
        roots = [mpmath.sqrt(1 + 2 * n) for n in range(states)]
        values = [
            -(roots[n] * roots[k] if n > k else mpmath.mpf(n + 1) if n == k else mpmath.mpf(0))
            for n in range(states)
            for k in range(states)
        ]
    found = made(shape=[states, states], scheme="hippo_legs", dtype=dtype)
    assert np.array_equal(found.reshape(-1), nearest(values, dtype))
    p = np.sqrt(1 + 2 * np.arange(states))
    assert np.allclose(found, -(np.tril(p[:, np.newaxis] * p) - np.diag(np.arange(states))), rtol=1e-6)


def test_stacked_layers_have_the_same_matrix() -> None:
    one, many = (made(shape=shape, scheme="hippo_legs") for shape in ([5, 5], [3, 5, 5]))
    assert np.array_equal(many, np.stack([one] * 3))


def test_decays_are_exact_where_their_exponent_is_small_or_large() -> None:
    for exponent in (1e-300, 1e-9, 0.3, 1.0, 1.5, 60.0, 300.0, 1000.0):
        with mpmath.workprec(4000):
            exact = float(mpmath.log(-mpmath.expm1(-mpmath.mpf(exponent) * mpmath.log(2))))
        assert made(shape=[1], scheme="retention_decay", start=exponent, dtype="F64")[0] == exact


@pytest.mark.parametrize("kind", ["proportional", "longrope"])
def test_frequencies_are_those_of_transformers(kind: str) -> None:
    utils = pytest.importorskip("transformers.modeling_rope_utils")
    config = pytest.importorskip("transformers").LlamaConfig(
        hidden_size=60,
        num_attention_heads=3,
        head_dim=20,
        max_position_embeddings=4096,
        rope_parameters={
            "rope_type": kind,
            "rope_theta": 1e6,
            "factor": 8.0,
            **(
                {"partial_rotary_factor": 0.3}
                if kind == "proportional"
                else {
                    "short_factor": [1 + n / 7 for n in range(10)],
                    "long_factor": [2.0] * 10,
                    "original_max_position_embeddings": 512,
                }
            ),
        },
    )
    theirs, _ = utils.ROPE_INIT_FUNCTIONS[kind](config, device="cpu")
    tensor: dict[str, Any] = {"shape": [10], "scheme": "rope_frequencies", "base": 1e6, "scaling": kind}
    if kind == "proportional":
        tensor |= {"partial_rotary_factor": 0.3, "factor": 8}
    else:
        tensor |= {"factors": [1 + n / 7 for n in range(10)]}
    ours = made(**tensor)
    assert (ours == 0).sum() == (7 if kind == "proportional" else 0)
    assert ours == pytest.approx(theirs.numpy(), rel=1e-6, abs=0)


@pytest.mark.parametrize("layer", [0, 3, 11])
def test_decays_of_lightning_attention_are_those_of_transformers(layer: int) -> None:
    minimax = pytest.importorskip("transformers.models.minimax.modeling_minimax")
    config = pytest.importorskip("transformers").MiniMaxConfig(
        hidden_size=64, num_attention_heads=8, head_dim=8, num_hidden_layers=12
    )
    theirs = minimax.MiniMaxLightningAttention(config, layer).slope_rate.numpy()
    gain = 1 - layer / (12 - 1 + 1e-5) + 1e-5
    ours = made(shape=list(theirs.shape), scheme="alibi_slopes", gain=gain)
    assert ours == pytest.approx(theirs, rel=1e-6)


def image(height: int, width: int, size: int, order: list[str]) -> Any:
    """Return the table of MAE's util/pos_embed.py, with the quarters of its columns in this order."""
    x, y = (each.reshape(-1) for each in np.meshgrid(np.arange(width), np.arange(height)))
    omega = 1 / 10000 ** (np.arange(size // 4) / (size / 4))
    quarters = {
        "sin x": np.sin(np.outer(x, omega)),
        "cos x": np.cos(np.outer(x, omega)),
        "sin y": np.sin(np.outer(y, omega)),
        "cos y": np.cos(np.outer(y, omega)),
    }
    return np.concatenate([quarters[each] for each in order], 1)


IMAGES = {
    "mae": ["sin x", "cos x", "sin y", "cos y"],
    "aimv2": ["sin y", "cos y", "sin x", "cos x"],
    "timm": ["sin y", "sin x", "cos y", "cos x"],
}


@pytest.mark.parametrize("variant", IMAGES)
def test_positions_in_images(variant: str) -> None:
    tensor = {"scheme": "sinusoidal", "variant": variant, "grid": [14, 9], "dtype": "F64"}
    found = made(shape=[2, 126, 24], **tensor)
    assert np.abs(found - image(14, 9, 24, IMAGES[variant])).max() < 1e-14
    assert np.array_equal(found[1, 30:32], fanin.slice({"shape": [126, 24], **tensor}, "weight", slice(30, 32)))


def test_positions_in_images_are_those_of_transformers_and_timm() -> None:
    torch = pytest.importorskip("torch")
    aimv2 = pytest.importorskip("transformers.models.aimv2.modeling_aimv2")
    theirs = aimv2.build_2d_sinusoidal_position_embedding(5, 7, 32).numpy()
    ours = made(shape=[35, 32], scheme="sinusoidal", variant="aimv2", grid=[5, 7])
    assert np.abs(ours - theirs).max() < 1e-6
    # build_sincos2d_pos_embed of timm: torchvision, which timm imports, is not a dependency of the tests.
    bands = 1 / 10000 ** (torch.arange(8) / 8)
    grid = torch.stack(torch.meshgrid(torch.arange(5), torch.arange(7), indexing="ij")).flatten(1).T
    angles = grid[:, :, None] * bands
    theirs = torch.stack([angles.sin(), angles.cos()], dim=1).flatten(1).numpy()
    ours = made(shape=[35, 32], scheme="sinusoidal", variant="timm", grid=[5, 7])
    assert np.abs(ours - theirs).max() < 1e-6
