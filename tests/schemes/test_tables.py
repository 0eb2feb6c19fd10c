"""Tables of sines, windows and powers against the formulas of the libraries that have them."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray

import fanin
from fanin import RecipeError

Doubles = NDArray[np.float64]


def made(**tensor: Any) -> Any:
    return fanin.materialize(tensor)["weight"]


def angles(rows: int, frequencies: list[mpmath.mpf]) -> list[list[mpmath.mpf]]:
    return [[row * frequency for frequency in frequencies] for row in range(rows)]


@pytest.mark.parametrize("dtype", ["F32", "F64"])
@pytest.mark.parametrize("size", [8, 9, 1, 2, 3])
@pytest.mark.parametrize("variant", ["vaswani", "marian", "fairseq"])
def test_sinusoidal_positions(variant: str, size: int, dtype: str) -> None:
    rows, half = 40, size // 2
    with mpmath.workdps(40):
        base = mpmath.mpf(10000)
        if variant == "fairseq":  # get_embedding of sinusoidal_positional_embedding.py
            angle = angles(rows, [base ** (-mpmath.mpf(i) / max(half - 1, 1)) for i in range(half)])
            expected = [[*map(mpmath.sin, row), *map(mpmath.cos, row), *[mpmath.mpf(0)] * (size % 2)] for row in angle]
        else:  # position / 10000^(2 (j // 2) / d), as in Marian's create_weight
            angle = angles(rows, [base ** (-mpmath.mpf(2 * (j // 2)) / size) for j in range(size)])
            if variant == "vaswani":
                expected = [[(mpmath.cos if j % 2 else mpmath.sin)(each) for j, each in enumerate(r)] for r in angle]
            else:
                expected = [[*map(mpmath.sin, row[0::2]), *map(mpmath.cos, row[1::2])] for row in angle]
        found = made(shape=[rows, size], scheme="sinusoidal", variant=variant, dtype=dtype)
        nearest = np.array([[float(each) for each in row] for row in expected])
    if dtype == "F32":
        assert (found == nearest.astype(np.float32)).all()
    else:
        assert np.abs(found - nearest).max() <= 2.0**-52


def test_positions_far_out_keep_their_phase() -> None:
    """A million positions on, and each part of a batch the same."""
    layout = fanin.FileLayout.of({"shape": [2, 2**20, 6], "dtype": "F64", "scheme": "sinusoidal"})
    found = fanin.slice(layout, "weight", (slice(None), 2**20 - 1, slice(None)))
    with mpmath.workdps(40):
        angle = [(2**20 - 1) * mpmath.mpf(10000) ** (-mpmath.mpf(2 * i) / 6) for i in range(3)]
        expected = [float(f(each)) for each in angle for f in (mpmath.sin, mpmath.cos)]
    assert np.abs(found - expected).max() <= 2.0**-52


@pytest.mark.parametrize("padding", [0, 3, 9])
def test_a_padding_row_is_zero(padding: int) -> None:
    table = {"shape": [10, 6], "scheme": "sinusoidal", "variant": "fairseq"}
    expected = made(**table)
    expected[padding] = 0
    assert (made(**table, padding=padding) == expected).all()


WINDOWS = ["hann", "hamming", "blackman", "nuttall", "blackmanharris", "flattop", "bartlett", "cosine", "boxcar"]


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("length", [1, 2, 12, 25])
@pytest.mark.parametrize("window", WINDOWS)
def test_windows_are_those_of_scipy(window: str, length: int, periodic: bool) -> None:
    """The first bin is the window alone."""
    tensor = {"shape": [length, 1, 2], "scheme": "stft", "window": window, "periodic": periodic, "dtype": "F64"}
    expected = scipy.signal.get_window(window, length, periodic)
    scales = {None: 1.0, "spectrum": np.abs(expected).sum(), "density": (expected**2).sum() ** 0.5}
    for scaling, scale in scales.items():
        if np.abs(expected).max() < 1e-15 and window != "flattop":
            with pytest.raises(RecipeError, match="only zeros") if scaling else np.errstate():
                made(**tensor, scaling=scaling)
        else:
            assert np.abs(made(**tensor, scaling=scaling)[:, 0, 0] - expected / scale).max() < 1e-14


@pytest.mark.parametrize("side", ["real", "imag"])
def test_kernels_are_a_fourier_transform(side: str) -> None:
    """A signal's product with them is NumPy's transform of it; a kernel may be shorter than the transform."""
    signal = np.random.default_rng(1).standard_normal(20)
    kernel = made(shape=[20, 1, 17], scheme="stft", side=side, window="hann", scaling=None, dtype="F64")[:, 0]
    expected = np.fft.rfft(signal * scipy.signal.get_window("hann", 20, False), 32)
    assert np.abs(signal @ kernel - (expected.real if side == "real" else expected.imag)).max() < 1e-13


def test_powers() -> None:
    with mpmath.workdps(40):
        expected = [float(-5 + 8 * mpmath.mpf(h) ** 1.3 / mpmath.mpf(63) ** 1.3) for h in range(64)]
    assert made(shape=[64], scheme="rwkv_decay", power=1.3, dtype="F64").tolist() == expected
    assert made(shape=[2, 5], scheme="power_range", low=1, high=2).tolist() == [[1, 1.25, 1.5, 1.75, 2]] * 2
    assert made(shape=[1], scheme="power_range").tolist() == [-5]


@pytest.mark.parametrize("power", [65, 3e9, 2**64 - 1, 1e300])
@pytest.mark.parametrize(("high", "expected"), [(3, 1 + 2**-23), (-3, 1)])
def test_a_small_power_decides_a_tie(power: float, high: float, expected: float) -> None:
    """`low` is in the middle of two float32 numbers. A power of 1/2 moves it towards `high`, however small it is."""
    low = 1 + 2**-24
    assert made(shape=[3], scheme="power_range", low=low, high=high, power=power).tolist() == [1, expected, high]
    assert made(shape=[3], scheme="power_range", low=-low, high=-high, power=power).tolist() == [-1, -expected, -high]


@pytest.mark.parametrize(
    ("layout", "shape"),
    [("keras", [3, 4, 5, 7]), ("torch", [7, 5, 4, 3]), ("keras", [2, 1, 1, 5, 5]), ("torch", [9, 2, 3])],
)
def test_delta_orthogonal_kernels_keep_the_norm(layout: str, shape: list[int]) -> None:
    """Zeros except at the centre of JAX; the matrix there has orthonormal rows of input channels."""
    kernel = made(shape=shape, scheme="delta_orthogonal", layout=layout, gain=1.5, dtype="F64")
    kernel = np.moveaxis(kernel, (1, 0), (-2, -1)) if layout == "torch" else kernel
    centre = kernel[tuple((size - 1) // 2 for size in kernel.shape[:-2])]
    assert np.abs(centre @ centre.T - 1.5**2 * np.eye(len(centre))).max() < 1e-14
    assert np.count_nonzero(kernel) == np.count_nonzero(centre) == centre.size


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_sparse_lines_have_their_zeros(axis: int) -> None:
    """As many in each as torch has, and the normal tensor's numbers everywhere else."""
    shape = [20, 30, 7]
    for sparsity in (0, 0.1, 0.35, 1):
        found = made(shape=shape, scheme="sparse", sparsity=sparsity, std=0.01, axis=axis)
        expected = int(np.ceil(sparsity * shape[axis]))
        assert (np.count_nonzero(found == 0, axis=axis) == expected).all()
        normal = made(shape=shape, scheme="normal", std=0.01)
        assert ((found == normal) | (found == 0)).all()
    assert made(shape=[3, 0], scheme="sparse", sparsity=0.5, std=1).shape == (3, 0)


@pytest.mark.parametrize(
    ("kind", "given", "ours"),
    [
        ("linear", {}, {}),
        ("llama3", {"low_freq_factor": 1.0, "high_freq_factor": 4.0}, {}),
        ("llama3", {"low_freq_factor": 2.0, "high_freq_factor": 9.0}, {"slow": 2, "fast": 9}),
        ("yarn", {}, {}),
        ("yarn", {"beta_fast": 20.0, "beta_slow": 3.0}, {"slow": 3, "fast": 20}),
    ],
)
@pytest.mark.parametrize(("head", "context", "factor"), [(128, 8192, 8.0), (64, 512, 3.0)])
def test_scaled_rotary_frequencies(
    kind: str, given: dict[str, float], ours: dict[str, Any], head: int, context: int, factor: float
) -> None:
    """As transformers computes them, in float32."""
    rope_utils = pytest.importorskip("transformers.modeling_rope_utils")
    from transformers import LlamaConfig

    scaling = {
        "rope_type": kind,
        "rope_theta": 500000.0,
        "factor": factor,
        "original_max_position_embeddings": context,
        **given,
    }
    config = LlamaConfig(
        hidden_size=2 * head, num_attention_heads=2, max_position_embeddings=context, rope_parameters=scaling
    )
    expected = rope_utils.ROPE_INIT_FUNCTIONS[kind](config, "cpu")[0].numpy()
    tensor = {"shape": [head // 2], "scheme": "rope_frequencies", "base": 500000, "context": context}
    found = made(**tensor, scaling=kind, factor=factor, **ours)
    assert np.allclose(found, expected, rtol=2e-5, atol=0)


@pytest.mark.parametrize("heads", [1, 6, 8, 12, 20])
def test_slopes_of_mpt(heads: int) -> None:
    modeling = pytest.importorskip("transformers.models.mpt.modeling_mpt")
    # The bias of the position before the last is one slope.
    expected = -modeling.build_mpt_alibi_tensor(heads, 2, 8)[:, 0, 0].numpy()
    assert np.allclose(made(shape=[heads], scheme="alibi_slopes", variant="mpt"), expected, rtol=1e-6)
