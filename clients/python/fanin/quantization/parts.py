"""The recipe of a quantized checkpoint, from the recipe of the model: which weights become which parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fanin.errors import Fault, RecipeError, pointer
from fanin.recipe import Recipe, RecipeLike, as_recipe, from_json
from fanin.schemes.base import Tensor

GROUP_SIZE = 128
"""Default number of columns of a group, where the format has none of a fixed size."""
_KEPT = re.compile(
    r"embed|norm|router|conv"
    r"|^(lm_heads?|head|score|classifier|wte|wpe|shared|relative_attention_bias|gate|shared_expert_gate)$"
)
"""Modules that checkpoints leave as they are: embeddings, heads, norms and routers."""
_NUMBERS = re.compile(r"(\.(\d+|\{[^{}]*\}))+$")
"""The numbers of a module in lists, at the end of its name. In a repeated name they can be a pattern."""
IN_LAYER = re.compile(r"(?P<layer>(?P<list>.+?)\.(?:\d+|\{[^{}]*\}))\.(?P<module>.+)$")
"""A module within one of repeated layers: the names of their list, of the layer, and of the module in the layer."""
GROUPED = ("int4", "int4_asymmetric", "awq", "gptq")
"""Formats whose groups can have any number of columns."""


def quantize(
    recipe: RecipeLike,
    format: str,
    *,
    group_size: int = GROUP_SIZE,
    keep: Callable[[str], bool] | None = None,
) -> Recipe:
    """Return the recipe of the same model in a quantized format.

    Weights of linear layers become parts: tensors named `weight` with two axes. Embeddings, heads, norms, routers,
    biases and all others stay as they are. `gptq` also leaves weights outside of repeated layers. The names of the
    parts are those of compressed-tensors. For `fp8_block` they are those of DeepSeek-V3, and for `awq` and `gptq` those
    of AutoAWQ and AutoGPTQ. If the model has stacked experts, `mxfp4` quantizes only them, with the names of gpt-oss.

    Args:
        recipe: The recipe of the model.
        format: A format of the scheme `quantized`.
        group_size: Columns of a group, for `int4`, `int4_asymmetric`, `awq` and `gptq`.
        keep: Called with the name of a module. If it returns true, its weight stays as it is.

    Raises:
        ValueError: the format is unknown, `group_size` is below 1, no tensor can be quantized, or a part has the name
            of another tensor. Or a weight is one of GPT-2's `Conv1D`, which is (in, out).
        RecipeError: a tensor cannot be quantized, such as one whose columns are not a multiple of a group. The faults
            point to tensors of `recipe`.
    """
    recipe = as_recipe(recipe)
    if format not in _NAMES:
        raise ValueError(f"unknown format {format!r}: {', '.join(_NAMES)}")
    if not 1 <= group_size < 1 << 53:
        raise ValueError(f"group_size is {group_size}, and a group has at least 1 column and fewer than 2^53")
    found: dict[str, dict[str, Any]] = {"tensors": {}, "repeated": {}}
    # Repeated names stay repeated, unless `keep` decides about each of them.
    lines = recipe.tensors.items() if keep else [(name, tensor) for name, tensor, _ in recipe.tensors.lines()]
    experts = format == "mxfp4" and any(_is_expert(name, tensor) for name, tensor in lines)
    # Tensors that share one object share their parts, which are then validated once.
    made: dict[tuple[int, str], list[tuple[str, dict[str, Any]]]] = {}
    weights: dict[str, str] = {}
    for name, tensor in lines:
        module, dot, last = name.rpartition(".")
        field = "tensors" if name in recipe.tensors else "repeated"
        chosen = _is_expert(name, tensor) if experts else _is_linear(module, last, tensor)
        chosen = chosen and (format != "gptq" or IN_LAYER.match(module) is not None)
        if not chosen or (keep and keep(name if experts else module)):
            _add(found[field], name, tensor)
            continue
        if not experts and _is_turned(module, tensor):
            raise ValueError(
                f"{name} is (in, out), as the Conv1D layers of GPT-2 store weights: the formats have (out, in)"
            )
        if (key := (id(tensor), last)) not in made:
            parts = _parts(format, tensor, group_size, experts)
            made[key] = [(last + part.name if experts else part.name, part.document(tensor, last)) for part in parts]
        for part, document in made[key]:
            _add(found[field], module + dot + part, document)
            weights[pointer([field, module + dot + part])] = pointer([field, name])
    if not made:
        within = " within repeated layers, such as layers.0.up_proj.weight," if format == "gptq" else ""
        raise ValueError(f"the recipe has no weights of linear layers{within} to quantize")
    try:
        return from_json({"stream": recipe.stream, "seed": recipe.seed, **found})
    except RecipeError as error:
        raise RecipeError(_of_weights(error.faults, weights)) from None


def _of_weights(faults: Iterable[Fault], weights: Mapping[str, str]) -> list[Fault]:
    """Return the faults of parts as those of their weights, once each. `weights` has the pointers by those of parts."""
    found: dict[tuple[str, str], Fault] = {}
    for fault in faults:
        part = "/".join(fault.pointer.split("/")[:3])
        moved = replace(fault, pointer=weights.get(part, fault.pointer))
        found.setdefault((moved.pointer, moved.detail), moved)
    return list(found.values())


def _add(tensors: dict[str, Any], name: str, tensor: Any) -> None:
    if name in tensors:
        raise ValueError(f"{name!r} would be both a tensor of the recipe and a part of a quantized one")
    tensors[name] = tensor


def _is_linear(module: str, last: str, tensor: Tensor) -> bool:
    name = _NUMBERS.sub("", module).rpartition(".")[2]
    return last == "weight" and len(tensor.shape) == 2 and not _KEPT.search(name) and tensor.dtype in FLOATS


def _is_turned(module: str, tensor: Tensor) -> bool:
    """Return whether a weight is one of a `Conv1D`, by a name of GPT-2 and more columns than rows.

    GPTBigCode has linear layers of these names, which have more rows.
    """
    return module.rpartition(".")[2] in ("c_attn", "c_fc") and tensor.shape[1] > tensor.shape[0]


def _is_expert(name: str, tensor: Tensor) -> bool:
    return re.search(r"\.experts\.(gate_up_proj|down_proj)$", name) is not None and len(tensor.shape) == 3


FLOATS = ("F32", "BF16", "F16")


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a quantized tensor."""

    name: str
    """The last component of its name, or what is added to the name of stacked experts."""
    format: str
    part: str
    shape: tuple[int, ...]
    dtype: str
    more: Mapping[str, Any]

    def document(self, tensor: Tensor, twin: str) -> dict[str, Any]:
        """Return the part as JSON. `twin` is the last component of the name of `tensor`."""
        # As it was given: a layout that was given is needed even if it is the default.
        source = {field: value for field, value in tensor.given().items() if field != "dtype"}
        own = {"shape": list(self.shape), "dtype": self.dtype, "scheme": "quantized", "format": self.format}
        named = {} if self.name == twin else {"twin": twin}
        return {**own, "part": self.part, "tensor": source, **named, **self.more}


_NAMES: dict[str, dict[str, str]] = {
    **{form: {"data": "weight", "scale": "weight_scale"} for form in ("fp8", "fp8_channel", "int8", "mxfp8")},
    "fp8_block": {"data": "weight", "scale": "weight_scale_inv"},
    "mxfp4": {"data": "weight_packed", "scale": "weight_scale"},
    "nvfp4": {"data": "weight_packed", "scale": "weight_scale", "global_scale": "weight_global_scale"},
    "int4": {"data": "weight_packed", "scale": "weight_scale", "shape": "weight_shape"},
    "int4_asymmetric": {
        "data": "weight_packed",
        "scale": "weight_scale",
        "zero_point": "weight_zero_point",
        "shape": "weight_shape",
    },
    "awq": {"data": "qweight", "zero_point": "qzeros", "scale": "scales"},
    "gptq": {"data": "qweight", "zero_point": "qzeros", "scale": "scales", "group_index": "g_idx"},
}
"""Names of the parts in the checkpoints of each format."""
FORMATS = tuple(_NAMES)
"""The formats that `quantize` takes."""


def _parts(format: str, tensor: Tensor, group_size: int, experts: bool) -> Iterator[_Part]:
    """Yield the parts of a weight."""
    *lead, rows, columns = tensor.shape
    if experts:
        rows, columns = columns, rows
        turned = {"transposed": True}
        yield _Part("_blocks", format, "data", (*lead, rows, columns // 32, 16), "U8", turned)
        yield _Part("_scales", format, "scale", (*lead, rows, columns // 32), "U8", turned)
        return
    size = group_size if format in GROUPED else GROUP_SIZE
    scale_type = (
        tensor.dtype if format in ("int4", "int4_asymmetric") else "F16" if format in ("awq", "gptq") else "F32"
    )
    more = {"group_size": size, "scale_dtype": scale_type} if format in GROUPED else {}
    eighth = -(-rows // 8)
    data: dict[str, tuple[tuple[int, ...], str]] = {
        "int8": ((rows, columns), "I8"),
        "mxfp4": ((rows, columns // 2), "U8"),
        "nvfp4": ((rows, columns // 2), "U8"),
        "int4": ((rows, -(-columns // 8)), "I32"),
        "int4_asymmetric": ((rows, -(-columns // 8)), "I32"),
        "awq": ((columns, eighth), "I32"),
        "gptq": ((-(-columns // 8), rows), "I32"),
    }
    scales: dict[str, tuple[tuple[int, ...], str]] = {
        "fp8": ((1,), "F32"),
        "fp8_block": ((-(-rows // 128), -(-columns // 128)), "F32"),
        "mxfp8": ((rows, -(-columns // 32)), "U8"),
        "mxfp4": ((rows, -(-columns // 32)), "U8"),
        "nvfp4": ((rows, -(-columns // 16)), "F8_E4M3"),
        **dict.fromkeys(("int4", "int4_asymmetric"), ((rows, -(-columns // size)), scale_type)),
        **dict.fromkeys(("awq", "gptq"), ((-(-columns // size), rows), scale_type)),
    }
    across = -(-columns // size)
    shapes = {
        "data": data.get(format, ((rows, columns), "F8_E4M3")),
        "scale": scales.get(format, ((rows, 1), "F32")),
        "zero_point": ((eighth, across) if format == "int4_asymmetric" else (across, eighth), "I32"),
        "global_scale": ((1,), "F32"),
        "shape": ((2,), "I64"),
        "group_index": ((columns,), "I32"),
    }
    for part, name in _NAMES[format].items():
        yield _Part(name, format, part, *shapes[part], more)
