"""Schemes without random numbers of state space models: the matrices of HiPPO and the eigenvalues of S4D."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from fanin.draws import Draw, DrawError
from fanin.dtypes import DType
from fanin.scalars import pi, root
from fanin.schemes.base import Count, Tensor
from fanin.schemes.tables import along, check_table, last_size


class HippoLegs(Tensor):
    """The matrices of HiPPO-LegS in the last two axes, of at most 64 states, or with `part` `b` its input vector."""

    formula = (
        "row n, column k: -sqrt((2 n + 1) (2 k + 1)) if n > k, -(n + 1) if n = k, else 0; b: sqrt(2 n + 1), n the index"
        " of the last axis"
    )
    source = "Gu et al. 2020 (arXiv:2008.07669), theorem 2; state-spaces/s4, transition"

    scheme: Literal["hippo_legs"]
    part: Annotated[Literal["a", "b"], Field(description="The matrix A, or the vector B.")] = "a"

    def lower(self, dtype: DType) -> Draw:
        if self.part == "b":
            return along([root(Fraction(2 * n + 1), 2) for n in range(last_size(self.shape))], dtype)
        if len(self.shape) < 2 or self.shape[-1] != self.shape[-2]:
            raise DrawError("shape", "the last two axes must be equal: A is a square matrix")
        states = last_size(self.shape)
        check_table(states**2)
        values = [_legs(n, k) for n in range(states) for k in range(states)]
        return along(values, dtype)


class S4dInv(Tensor):
    """Imaginary parts of the eigenvalues of S4D-Inv, along the last axis; the real parts are -1/2.

    `states` is N, of which half are stored, the others being conjugates. By default it is twice the size of the axis.
    """

    formula = "(N / pi) (N / (2 n + 1) - 1), n the index of the last axis and N states"
    source = "Gu et al. 2022 (arXiv:2206.11893), equation 8; state-spaces/s4, dplr"

    scheme: Literal["s4d_inv"]
    size_field = "states"
    states: Count | None = None

    def lower(self, dtype: DType) -> Draw:
        size = last_size(self.shape)
        states = self.states or 2 * size
        return along([states * (Fraction(states, 2 * n + 1) - 1) / pi() for n in range(size)], dtype)


def _legs(row: int, column: int) -> Fraction:
    if row == column:
        return Fraction(-(row + 1))
    return -root(Fraction((2 * row + 1) * (2 * column + 1)), 2) if row > column else Fraction(0)
