"""Orthogonal matrices: SPEC.md section 6.12 in NumPy, written to be read.

Stewart's way (SIAM J. Numer. Anal. 17, 1980): the orthogonal factor of a Gaussian matrix is a product of independent
reflections, each of a Gaussian vector, so nothing is factorized. PANEL of them at a time are one I - V T V^T (Joffrain
et al., ACM TOMS 32, 2006), whose T follows from V^T V: it is orthogonal for any V, rounded as V may be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin.draws import Orthogonal

Floats = NDArray[Any]
Normals = Callable[[int, int], Floats]
"""Standard normal numbers of a stream, by first word and count."""

PANEL = 32
"""Reflections that are applied together."""


def first_word(rows: int, panel: int) -> int:
    """Word at the top left of a panel of Gaussian numbers, whose rows are PANEL words each."""
    return panel * PANEL * (rows + PANEL)


def matrix(draw: Orthogonal, normals: Normals) -> Floats:
    """All elements of the draw, in the type of the normal numbers."""
    rows, columns = max(draw.rows, draw.columns), min(draw.rows, draw.columns)
    compute = normals(0, 0).dtype.type
    q = np.zeros((rows, columns), compute)
    scale = np.empty(columns, compute)
    for panel in reversed(range(-(-columns // PANEL))):
        top = panel * PANEL
        own, later = slice(top, min(top + PANEL, columns)), slice(top + PANEL, columns)
        gaussian = normals(first_word(rows, panel), (rows - top) * PANEL).reshape(-1, PANEL)
        v = householder(gaussian[:, : own.stop - top])
        wide = v.astype(np.float64)
        t = triangle(product(wide.T, wide))
        x = product(t, wide[: len(t)].T)
        w = product(v[PANEL:].T, q[top + PANEL :, later])
        q[top:, later] -= product(v, product(t.astype(compute), w))
        q[top:, own] = np.eye(len(v), len(t)) - product(wide, x)
        scale[own] = np.where(np.diagonal(v) < 0, compute(draw.gain), -compute(draw.gain))
    made: Floats = scale * q
    return made if draw.rows >= draw.columns else made.T


def householder(gaussian: Floats) -> Floats:
    """Vectors whose reflections bring the columns, from the diagonal on, to multiples of the first unit vector."""
    v = np.tril(gaussian)
    squares = np.zeros(v.shape[1])
    for row in v.astype(np.float64):
        squares += row * row
    first = np.diagonal(v).astype(np.float64)
    np.fill_diagonal(v, first + np.copysign(np.sqrt(squares), first))
    return v


def triangle(gram: Floats) -> Floats:
    """T of V^T V: the inverse of its upper triangle with half the diagonal."""
    t = np.zeros_like(gram)
    for a in reversed(range(len(gram))):
        diagonal = gram[a, a] / 2
        total = np.zeros(len(gram))
        for b in range(a + 1, len(gram)):
            total += gram[a, b] * t[b]
        t[a, a + 1 :] = -total[a + 1 :] / diagonal
        t[a, a] = 1 / diagonal
    return t


def product(a: Floats, b: Floats) -> Floats:
    """a @ b, every sum taken in the order of its index."""
    total = np.zeros((a.shape[0], b.shape[1]), b.dtype)
    for k in range(a.shape[1]):
        total += a[:, k, np.newaxis] * b[k]
    return total
