"""Tests that orthogonal matrices are Haar distributed: statistics, and their exact distributions.

- The square of an entry is Beta(1/2, (m - 1)/2), also after fixed rotations from both sides.
- The moments of traces are those of Diaconis & Shahshahani 1994 and Diaconis & Evans 2001.
- A determinant is 1 or -1, each with probability 1/2.
- Eigenvalue angles have the distribution of those of LAPACK's Q of a Gaussian matrix with corrected signs
  (Mezzadri 2007).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fanin.backends import load
from fanin.draws import Orthogonal
from fanin.dtypes import DTYPES, DTypeName
from fanin.streams import Stream

Doubles = NDArray[np.float64]
MIN_P, MAX_Z = 1e-5, 4.5


def sample(rows: int, columns: int, count: int, dtype: DTypeName = "F32", backend: str = "native") -> Doubles:
    """Return `count` matrices of shape (rows, columns), each from a separate stream."""
    maker, numbers = load(backend), DTYPES[dtype]
    made = np.empty((count, rows, columns), numbers.numpy)
    for seed, matrix in enumerate(made):
        out = matrix.reshape(-1).view(np.uint8).data
        maker.fill(Orthogonal(1.0, rows, columns), Stream("fanin/1", seed, "q"), numbers, 0, out)
    return made.astype(np.float64)


def lapack(size: int, count: int) -> Doubles:
    """Return `count` Haar matrices from LAPACK's QR factorization, for comparison."""
    q, r = np.linalg.qr(np.random.default_rng(1).standard_normal((count, size, size)))
    return np.asarray(q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, np.newaxis])


def failures(q: Doubles) -> list[str]:
    """Return the tests that fail for matrices `q` of orthonormal columns or rows; empty if `q` is Haar distributed."""
    found = [f"{name}: p = {p:.2g}" for name, p in _probabilities(q) if p < MIN_P]
    if q.shape[1] == q.shape[2]:
        found += [f"{name}: z = {z:.2f}" for name, z in _scores(q) if abs(z) > MAX_Z]
    return found


def _probabilities(q: Doubles) -> Iterator[tuple[str, float]]:
    _, rows, columns = q.shape
    length = max(rows, columns)
    for r in sorted({0, rows // 2, rows - 1}):
        for c in sorted({0, columns // 2, columns - 1}):
            yield f"entry {r}, {c}", _entry_p(q[:, r, c], length)
    # The image of a fixed unit vector is uniform on the sphere of the longer axis.
    for name, vectors in (("columns", q), ("rows", q.transpose(0, 2, 1))):
        if vectors.shape[1] == length:
            weights = np.random.default_rng(2).standard_normal(vectors.shape[2])
            mixed = vectors @ (weights / np.linalg.norm(weights))
            yield f"a mixture of {name}", _entry_p(mixed[:, 0], length)
            yield f"a mixture of its entries, {name}", _entry_p(mixed.sum(axis=1) / length**0.5, length)
    if rows == columns > 1:
        expected = lapack(rows, len(q))
        for statistic in (_angles, _spacings, _corner):
            yield statistic.__name__.strip("_"), float(stats.ks_2samp(statistic(q), statistic(expected)).pvalue)


def _entry_p(entries: Doubles, length: int) -> float:
    """Return the p-value for coordinates of uniform unit vectors: Beta distributed squares, and random signs."""
    if length == 1:
        return float(stats.binomtest(int((entries > 0).sum()), len(entries)).pvalue)
    distribution = stats.beta(0.5, (length - 1) / 2)
    signed = np.where(entries < 0, 0.5 - distribution.cdf(entries**2) / 2, 0.5 + distribution.cdf(entries**2) / 2)
    return float(stats.kstest(signed, "uniform").pvalue)


def _scores(q: Doubles) -> Iterator[tuple[str, float]]:
    """Yield standard scores of means whose exact values are known."""
    size = q.shape[1]

    def score(name: str, values: Doubles, mean: float) -> tuple[str, float]:
        return name, float((values.mean() - mean) / (values.std() / len(values) ** 0.5))

    yield score("determinant", np.linalg.det(q), 0)
    power = np.broadcast_to(np.eye(size), q.shape)
    for k in range(1, 4):
        power = power @ q
        if size < 2 * k:
            return
        trace = np.trace(power, axis1=1, axis2=2)
        mean = 1 - k % 2
        yield score(f"trace of power {k}", trace, mean)
        yield score(f"its variance {k}", (trace - mean) ** 2, k)
    yield score("fourth moment of the trace", np.trace(q, axis1=1, axis2=2) ** 4, 3)


def _angles(q: Doubles) -> Doubles:
    """Return one eigenvalue angle, in [0, pi], of each matrix. Angles of one matrix are not independent."""
    return np.asarray(np.abs(np.angle(np.linalg.eigvals(q)))[:, 0])


def _spacings(q: Doubles) -> Doubles:
    """Return for each matrix the smallest distance between adjacent eigenvalues on the circle."""
    angles = np.sort(np.angle(np.linalg.eigvals(q)), axis=1)
    return np.asarray(np.diff(angles, axis=1).min(axis=1))


def _corner(q: Doubles) -> Doubles:
    """Return the sum of squares of the upper left quarter of each matrix."""
    half = (q.shape[1] + 1) // 2
    return np.asarray((q[:, :half, :half] ** 2).sum(axis=(1, 2)))
