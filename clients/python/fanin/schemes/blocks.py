"""Blocks along an axis, each with a separate scheme."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from fanin import draws
from fanin.draws import Draw, DrawError
from fanin.dtypes import DType, DTypeName
from fanin.frozen import computed_once, frozen
from fanin.schemes.base import Axis, Dimension, Tensor
from fanin.validation import blamed, reason

MAX_PARTS = 256
"""Maximum number of parts of a tensor, including parts within parts."""


class Blocks(Tensor):
    """Blocks along an axis, each with a separate scheme: gates of a bias, padding rows, packed projections.

    Each of `parts` is a tensor with `size`, its length along the axis, in place of `shape` and `dtype`. Its shape and
    its fans are those of the block. Elements use the random words of their positions in the full tensor.
    """

    formula = "the formula of each part, of its block's shape"
    source = "Jozefowicz et al. 2015 for a bias of gates; torch.nn.Embedding for padding_idx"

    scheme: Literal["blocks"]
    axis: Axis = 0
    parts: Annotated[
        tuple[dict[str, Any], ...],
        Field(max_length=MAX_PARTS, description="Tensors with `size` in place of shape and dtype."),
    ]

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        canonical = [{"size": size, **tensor.canonical()} for size, tensor in self.tensors]
        own = ("shape", "dtype")
        self.__dict__["parts"] = frozen(
            [{field: value for field, value in part.items() if field not in own} for part in canonical]
        )
        return self

    @computed_once
    def tensors(self) -> tuple[tuple[int, Tensor], ...]:
        """The size along the axis, and the tensor, of each part.

        Raises:
            DrawError: the tensor does not have the axis, or the sizes do not add up to its size.
            PydanticCustomError: a part is wrong. The error has the path of the fault.
        """
        if not -len(self.shape) <= self.axis < len(self.shape):
            raise DrawError("axis", f"axis {self.axis} is not an axis of a shape of rank {len(self.shape)}")
        axis = self.axis % len(self.shape)
        found = tuple(_part(n, part, self.shape, axis, self.dtype) for n, part in enumerate(self.parts))
        if (total := sum(size for size, _ in found)) != self.shape[axis]:
            raise DrawError("parts", f"the sizes add up to {total}, and axis {self.axis} has {self.shape[axis]}")
        return found

    @property
    def block_count(self) -> int:
        return sum(tensor.block_count for _, tensor in self.tensors)

    def given(self) -> dict[str, Any]:
        own = ("shape", "dtype")
        parts = [
            {"size": size, **{field: value for field, value in tensor.given().items() if field not in own}}
            for size, tensor in self.tensors
        ]
        return {**super().given(), "parts": parts}

    def lower(self, dtype: DType) -> Draw:  # noqa: ARG002 (the parts have it)
        parts = self.tensors
        inner = math.prod(self.shape[self.axis % len(self.shape) + 1 :])
        if self.block_count > MAX_PARTS:
            raise DrawError(
                "parts",
                f"the parts and the parts within them count as {self.block_count}; the maximum is {MAX_PARTS}",
            )
        made = [tensor.draw for _, tensor in parts if math.prod(tensor.shape)]
        if len(made) > 1 and any(map(draws.is_whole, made)):
            raise DrawError(
                "parts",
                "an orthogonal or sparse matrix must be the full tensor, not one of several parts;"
                " an orthogonal one is allowed with a number",
            )
        numbers = sorted((each.start, each.stop) for draw in made for each in draws.numbers_of(draw))
        if any(stop > start for (_, stop), (start, _) in pairwise(numbers)):
            raise DrawError("parts", "two orthogonal matrices have one number: give each part another, from 1 on")
        return draws.blocks(
            sum(size for size, _ in parts) * inner, [(size * inner, tensor.draw) for size, tensor in parts]
        )


def _part(n: int, part: Mapping[str, Any], shape: tuple[int, ...], axis: int, dtype: DTypeName) -> tuple[int, Tensor]:
    """Return the size along the axis, and the tensor, of part `n`."""
    for field in ("shape", "dtype"):
        if field in part:
            raise _fault("a part has a size; the rest of its shape and its dtype are the tensor's", [n, field])
    if "size" not in part:
        raise _fault("this field is required", [n, "size"])
    own = {field: value for field, value in part.items() if field != "size"}
    try:
        size = _SIZE.validate_python(part["size"])
    except ValidationError as error:
        raise _fault(error.errors()[0]["msg"], [n, "size"]) from None
    try:
        sizes = (*shape[:axis], size, *shape[axis + 1 :])
        return size, _tensors().validate_python({"shape": sizes, "dtype": dtype, **own})
    except ValidationError as error:
        details = error.errors()[0]
        # The location begins with the scheme's name, from the union. For an unknown scheme, nothing follows it.
        path = [*details["loc"][1:], *blamed(details)]
        raise _fault(reason(details), [n, *(path or ["scheme"])]) from None


_SIZE = TypeAdapter[int](Dimension)


@lru_cache(maxsize=1)
def _tensors() -> TypeAdapter[Tensor]:
    from fanin.schemes import AnyTensor  # here, because it contains this module's scheme

    return TypeAdapter(AnyTensor)


def _fault(detail: str, path: list[str | int]) -> PydanticCustomError:
    return PydanticCustomError("formula", "{reason}", {"reason": detail, "path": ["parts", *path]})
