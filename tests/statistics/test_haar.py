"""Orthogonal matrices are Haar distributed, and the tests detect other distributions. The soak tests more matrices."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.haar import failures, sample

SHAPES = [(1, 1), (2, 2), (3, 3), (8, 8), (40, 40), (5, 1), (1, 5), (70, 33), (33, 70)]
"""Shapes within one panel, and over several."""


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_is_haar_distributed(rows: int, columns: int) -> None:
    assert not failures(sample(rows, columns, 30_000 // (rows + columns + 10)))


def test_float64_is_haar_distributed() -> None:
    assert not failures(sample(9, 9, 1000, "F64"))


def test_signs_that_are_not_corrected_are_noticed() -> None:
    generator = np.random.default_rng(3)
    assert failures(np.linalg.qr(generator.standard_normal((1000, 8, 8)))[0])


def test_rotations_alone_are_noticed() -> None:
    q = sample(8, 8, 1000)
    q[:, 0] *= np.linalg.det(q)[:, np.newaxis]
    assert any("determinant" in failure for failure in failures(q))


def test_uniform_numbers_are_noticed() -> None:
    """QR of uniform numbers, in place of normal ones, is orthogonal and not Haar distributed."""
    q, r = np.linalg.qr(np.random.default_rng(4).uniform(-1, 1, (20_000, 3, 3)))
    assert failures(q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, np.newaxis])


@pytest.mark.soak("schemes")
@pytest.mark.parametrize(("rows", "columns"), [*SHAPES, (4, 4), (6, 6), (16, 16), (32, 32), (33, 33), (100, 100)])
def test_many_are_haar_distributed(rows: int, columns: int) -> None:
    assert not failures(sample(rows, columns, 2_000_000 // (rows + columns + 10)))


@pytest.mark.soak("schemes")
def test_many_of_the_reference_are_haar_distributed() -> None:
    assert not failures(sample(5, 5, 20_000, backend="reference"))
