"""Compare a sample with the distribution of a tensor."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import fanin
from fanin import schemes
from fanin.draws import Blocks, Draw, Normal, Orthogonal, Polar, Sparse, TruncatedNormal, Uniform
from fanin.schemes.base import Tensor
from tests.support import haar

MIN_P, MAX_Z = 1e-6, 5.0
MATRICES = 100
"""Matrices in a sample of a matrix distribution, along an additional first axis."""
MIDPOINTS = (np.arange(10_000) + 0.5) / 10_000


def distribution(draw: Draw) -> Any:
    """Return SciPy's distribution, without roundings; `None` for a draw without randomness or for a full matrix."""
    match draw:
        case Uniform(center, half_width):
            return stats.uniform(center - half_width, 2 * half_width)
        case Normal(mean, std):
            return stats.norm(mean, std)
        case TruncatedNormal(mean, std, low, high):
            return stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)
    return None


def differences(sample: NDArray[Any], tensor: Tensor) -> list[str]:
    """In what a sample of a library is not as the tensor says."""
    matrix = orthogonal(tensor.draw)
    shape = sample.shape[1:] if matrix else sample.shape
    if shape != tensor.shape:
        return [f"shape {shape}"]
    ours = fanin.materialize({"tensors": {"w": tensor}})["w"]
    if matrix:
        return _differences_of_matrices(sample, ours, matrix)
    if isinstance(tensor, schemes.Blocks):
        sizes, parts = zip(*tensor.tensors)
        pieces = np.split(sample, list(accumulate(sizes))[:-1], axis=tensor.axis)
        return [each for piece, part in zip(pieces, parts) for each in differences(piece, part)]
    if isinstance(tensor.draw, Sparse):
        return _differences_of_sparse(sample, ours, tensor.draw)
    if sample.dtype.kind == "c":
        (theirs, exact), (own, _) = _parts(sample, tensor.draw), _parts(ours, tensor.draw)
        return [*faults(theirs, exact), *(f"ours: {each}" for each in faults(own, exact))]
    exact = distribution(tensor.draw)
    if exact is None:
        return [] if np.allclose(sample, ours, rtol=1e-5, atol=1e-6) else ["other values"]
    return [*faults(sample, exact), *(f"ours: {each}" for each in faults(ours, exact))]


def _parts(values: NDArray[Any], draw: Draw) -> tuple[NDArray[Any], Any]:
    """Return the real components of complex numbers with their distribution: both parts, or probability and angle."""
    if isinstance(draw, Normal):
        return np.stack([values.real, values.imag]), distribution(draw)
    assert isinstance(draw, Polar)
    square = (np.abs(values.astype(np.complex128)) / draw.scale) ** 2
    probability = -np.expm1(-square) / draw.mass if draw.mass else square
    return np.stack([probability, np.angle(values) / (2 * np.pi) + 0.5]), stats.uniform()


def orthogonal(draw: Draw) -> Orthogonal | None:
    """The matrix of a draw that is one, or has one among zeros."""
    if isinstance(draw, Blocks):
        return next(filter(None, map(orthogonal, draw.draws)), None)
    return draw if isinstance(draw, Orthogonal) else None


def _differences_of_matrices(sample: NDArray[Any], ours: NDArray[Any], matrix: Orthogonal) -> list[str]:
    """Matrices of the same rows and columns are orthogonal there and here, and uniformly distributed there.

    That they are so here: tests/statistics/test_haar.py.
    """
    used = ours != 0
    if sample[:, ~used].any():
        return ["not zero beside the matrix"]
    theirs, own = (
        values[:, used].reshape(-1, matrix.rows, matrix.columns).astype(np.float64) / matrix.gain
        for values in (sample, ours[np.newaxis])
    )
    wrong = haar.failures(theirs)
    for whose, q in (("", theirs), ("ours: ", own)):
        tall = q if matrix.rows >= matrix.columns else q.transpose(0, 2, 1)
        if not np.allclose(tall.transpose(0, 2, 1) @ tall, np.eye(tall.shape[2]), atol=1e-5):
            wrong.append(f"{whose}not orthogonal")
    return wrong


def _differences_of_sparse(sample: NDArray[Any], ours: NDArray[Any], sparse: Sparse) -> list[str]:
    """Return differences in the zeros of columns, whose number and places are checked, and in the other values."""
    wrong = []
    for whose, values in (("", sample), ("ours: ", ours)):
        columns = values.reshape(-1, sparse.size, sparse.inner)
        zero = columns == 0
        if (zero.sum(axis=1) != sparse.zeros).any():
            wrong.append(f"{whose}other numbers of zeros")
        places = zero.sum(axis=(0, 2))
        if stats.chisquare(places).pvalue < MIN_P:
            wrong.append(f"{whose}zeros in some rows rather than in others")
        wrong += [f"{whose}{each}" for each in faults(columns[~zero], distribution(sparse.draw))]
    return wrong


def faults(values: NDArray[Any], exact: Any) -> list[str]:
    """Return differences from a distribution: support, mean, standard deviation, kurtosis, quantiles (Kolmogorov)."""
    count = values.size
    mean, variance, _, excess = (float(each) for each in exact.stats("mvsk"))
    low, high = exact.support()
    scaled = (values.astype(np.float64).reshape(-1) - mean) / variance**0.5
    eighth = float((((exact.ppf(MIDPOINTS) - mean) / variance**0.5) ** 8).mean())
    spread = {"mean": 1.0, "std": excess + 2, "kurtosis": eighth}
    found = {
        "mean": scaled.mean(),
        "std": (scaled**2).mean() - 1,
        "kurtosis": (scaled**4).mean() - excess - 3,
    }
    wrong = [f"{name}: {found[name]:.3g}" for name in found if abs(found[name]) > MAX_Z * (spread[name] / count) ** 0.5]
    slack = 1e-6 * variance**0.5  # float32
    if not (low - slack <= values.min() and values.max() <= high + slack):
        wrong.append(f"support: [{values.min()}, {values.max()}] of [{low}, {high}]")
    p = stats.kstest(scaled, lambda x: exact.cdf(x * variance**0.5 + mean)).pvalue
    return [*wrong, *([f"KS: p = {p:.2g}"] if p < MIN_P else [])]
