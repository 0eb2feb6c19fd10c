"""Quantized tensors: a scheme whose tensors are the parts of one matrix in a quantized format."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from fanin import draws
from fanin.draws import FORMATS, Draw, DrawError, quantization
from fanin.dtypes import DType
from fanin.frozen import computed_once, frozen
from fanin.names import Name
from fanin.schemes.base import Count, Flag, Tensor
from fanin.validation import blamed, reason

FormatName = Literal[
    "fp8", "fp8_channel", "fp8_block", "int8", "mxfp8", "mxfp4", "nvfp4", "int4", "int4_asymmetric", "awq", "gptq"
]
Part = Literal["data", "scale", "zero_point", "global_scale", "shape", "group_index"]
GROUP_SIZE = 128
"""Default of `group_size`."""
_PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(FORMATS, ("data", "scale")),
    "nvfp4": ("data", "scale", "global_scale"),
    "int4": ("data", "scale", "shape"),
    "int4_asymmetric": ("data", "scale", "zero_point", "shape"),
    "awq": ("data", "scale", "zero_point"),
    "gptq": ("data", "scale", "zero_point", "group_index"),
}
"""The parts of each format."""


class Quantized(Tensor):
    """One part of a quantized matrix: its codes, its scales, or another tensor of its format.

    `tensor` is the tensor before quantization, without `dtype`. Its float32 numbers are quantized. `twin` is the last
    component of its name. A recipe has one tensor for each part, with the same `tensor`, `format` and `twin`.
    """

    formula = "the codes, scales or zero points of the twin's float32 numbers"
    source = (
        "Micikevicius et al. 2022 (FP8); OCP MX v1.0; DeepSeek-V3; NVIDIA NVFP4; compressed-tensors; AutoAWQ; AutoGPTQ"
    )
    size_field = "tensor"

    scheme: Literal["quantized"]
    format: Annotated[FormatName, Field(description="The format.")]
    part: Annotated[Part, Field(description="The part that this tensor is.")] = "data"
    tensor: Annotated[
        dict[str, Any], Field(description="The tensor that is quantized, without dtype; its shape is full.")
    ]
    twin: Annotated[
        Name | None, Field(description="Last component of the twin's name; null is that of this tensor.")
    ] = None
    group_size: Annotated[Count, Field(description="Columns of a group, for int4, int4_asymmetric, awq and gptq.")] = (
        GROUP_SIZE
    )
    scale_dtype: Annotated[
        Literal["F32", "BF16", "F16"] | None,
        Field(description="Storage type of the scales; null is F32, and F16 for awq and gptq."),
    ] = None
    transposed: Annotated[
        Flag, Field(description="The quantized matrix is the transpose of the twin's last two axes.")
    ] = False

    @model_validator(mode="after")
    def _one_spelling(self) -> Self:
        document = self.of.canonical()
        self.__dict__["tensor"] = frozen({field: value for field, value in document.items() if field != "dtype"})
        if self.scale_dtype == FORMATS[self.format].scale_types[0]:
            self.__dict__["scale_dtype"] = None
        return self

    @computed_once
    def of(self) -> Tensor:
        """The twin as a tensor at F32.

        Raises:
            PydanticCustomError: it is wrong. The error has the path of the fault.
        """
        if "dtype" in self.tensor:
            raise _fault("the twin has no dtype: its float32 numbers are quantized", ["dtype"])
        try:
            return _tensors().validate_python({**self.tensor, "dtype": "F32"})
        except ValidationError as error:
            details = error.errors()[0]
            path = [*details["loc"][1:], *blamed(details)]
            raise _fault(reason(details), path or ["scheme"]) from None

    @property
    def block_count(self) -> int:
        return self.of.block_count

    def given(self) -> dict[str, Any]:
        tensor = {field: value for field, value in self.of.given().items() if field != "dtype"}
        return {**super().given(), "tensor": tensor}

    def lower(self, dtype: DType) -> Draw:
        form, shape = FORMATS[self.format], self.of.shape
        if self.part not in _PARTS[self.format]:
            raise DrawError("part", f"{self.format} has no {self.part}; its parts are {', '.join(_PARTS[self.format])}")
        if len(shape) < 2:
            raise DrawError("tensor", f"the shape of the twin has {len(shape)} axes; a quantized tensor has at least 2")
        if self.transposed:
            shape = (*shape[:-2], shape[-1], shape[-2])
        rows, columns = shape[-2:]
        group = self._group(form, rows, columns)
        scale_type = self._scale_type(form)
        shapes, types = self._stored(form, shape, group, scale_type)
        if self.shape not in shapes:
            raise DrawError(
                "shape", f"{_text(self.shape)} is not the shape of this part: {_either(map(_text, shapes))}"
            )
        if dtype.name not in types:
            raise DrawError("dtype", f"{dtype.name} is not the dtype of this part: {_either(types)}")
        if draws.is_whole(self.of.draw) or draws.matrix_of(self.of.draw):
            raise DrawError(
                "tensor",
                "an orthogonal, sparse or quantized tensor cannot be quantized: its elements depend on each other",
            )
        if 0 in self.shape:
            return draws.Fill(0.0)
        match self.part:
            case "shape":
                return quantization.shape_table(shape)
            case "group_index":
                return quantization.group_index(columns // group[1], group[1])
            case "global_scale":
                return quantization.global_scale(self.of.draw, form)
            case "zero_point" if self.format == "gptq":
                return quantization.gptq_zeros()
            case "scale" if form.rule != "given" and not columns:  # each row is a group without elements
                return draws.Fill(1.0)
            case "data" | "scale" | "zero_point" as part:
                return draws.quantized(
                    *(form, part, self.of.draw, (rows, columns), group, scale_type),
                    twin=self.twin,
                    transposed=self.transposed,
                )

    def _group(self, form: draws.Format, rows: int, columns: int) -> tuple[int, int]:
        """Return the rows and columns of a group."""
        if self.group_size != GROUP_SIZE and not form.has_group_size:
            raise DrawError("group_size", f"the groups of {self.format} have a fixed size; leave group_size out")
        width = self.group_size if form.has_group_size else form.group[1]
        if form.group[0] == 1 and width and columns % width:
            raise DrawError("tensor", f"{columns} columns are not a multiple of {width}, the columns of a group")
        if form.packing in ("awq", "gptq") and rows % 8:
            raise DrawError("tensor", f"{rows} rows are not a multiple of 8, the numbers in a word")
        if form.packing in ("words", "gptq") and columns % 8:
            raise DrawError("tensor", f"{columns} columns are not a multiple of 8, the numbers in a word")
        return form.group[0], width or max(columns, 1)

    def _scale_type(self, form: draws.Format) -> str:
        """Return the storage type that scales are rounded to."""
        if self.scale_dtype is not None and self.scale_dtype not in form.scale_types:
            raise DrawError("scale_dtype", f"the scales of {self.format} are {_either(form.scale_types)}")
        return self.scale_dtype or form.scale_types[0]

    def _stored(
        self, form: draws.Format, shape: tuple[int, ...], group: tuple[int, int], scale_type: str
    ) -> tuple[list[tuple[int, ...]], tuple[str, ...]]:
        """Return the shapes and the storage types that this part can have."""
        lead, (rows, columns) = shape[:-2], shape[-2:]
        down, across = -(-rows // group[0]), -(-columns // group[1])
        has_rows = not form.group[1] and not form.has_group_size  # a group is a row, which may have no element
        flipped, eighth = form.packing in ("awq", "gptq"), -(-rows // 8)
        match self.part:
            case "shape":
                return [(len(shape),)], ("I64",)
            case "group_index":
                return [(columns,)], ("I32",)
            case "global_scale":
                return [(1,), ()], ("F32",)
            case "zero_point":
                return [(*lead, across, eighth) if flipped else (*lead, eighth, across)], ("I32",)
            case "scale" if form.rule == "given":
                return [(1,), ()], (scale_type,)
            case "scale":
                found = [(*lead, across, down) if flipped else (*lead, down, 1 if has_rows else across)]
                if has_rows:
                    found.append((*lead, down))
                return found, form.scale_types if form.rule == "power" else (scale_type,)
            case "data":
                match form.packing:
                    case "awq":
                        return [(*lead, columns, eighth)], (form.data_type,)
                    case "gptq":
                        return [(*lead, -(-columns // 8), rows)], (form.data_type,)
                    case "words":
                        return [(*lead, rows, -(-columns // 8))], (form.data_type,)
                    case "bytes":
                        blocked = (*lead, rows, across, group[1] // 2)
                        return [(*lead, rows, columns // 2), blocked], (form.data_type,)
                    case "none":
                        return [shape], (form.data_type,)


def _text(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _either(found: Any) -> str:
    return " or ".join(dict.fromkeys(found))


@lru_cache(maxsize=1)
def _tensors() -> TypeAdapter[Tensor]:
    from fanin.schemes import AnyTensor  # here, because it contains this module's scheme

    return TypeAdapter(AnyTensor)


def _fault(detail: str, path: list[str | int]) -> PydanticCustomError:
    return PydanticCustomError("formula", "{reason}", {"reason": detail, "path": ["tensor", *path]})
