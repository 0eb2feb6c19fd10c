"""A recipe as people write it: a line for each kind of tensor, repeated layers once."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from fanin.dtypes import FLOATING
from fanin.names import folded
from fanin.recipe import STREAM, Recipe
from fanin.schemes.base import Tensor
from fanin.schemes.blocks import Blocks
from fanin.schemes.quantized import Quantized


def text(recipe: Recipe) -> str:
    """JSON that spells the recipe, in few lines and in the order of its tensors."""
    counts = Counter[str]()
    for _, tensor, names in recipe.tensors.lines():
        # The default is a type that a model can also be served in.
        if tensor.dtype in FLOATING and not isinstance(tensor, Quantized):
            counts[tensor.dtype] += names
    dtype = counts.most_common(1)[0][0] if counts else "F32"
    plain, repeated = folded({name: _json(_said(tensor, dtype)) for name, tensor in recipe.tensors.items()})
    members = [f'  "seed": "{recipe.seed}"', f'  "dtype": "{dtype}"', _member("tensors", plain)]
    if recipe.stream != STREAM:  # the stream of a recipe that does not name one
        members.insert(0, f'  "stream": "{recipe.stream}"')
    return "{\n" + ",\n".join(members + [_member("repeated", repeated)] * bool(repeated)) + "\n}\n"


def _member(field: str, tensors: dict[str, str]) -> str:
    lines = ",\n".join(f"    {_json(name)}: {said}" for name, said in tensors.items())
    return f'  "{field}": {{\n{lines}\n  }}'


def _said(tensor: Tensor, dtype: str) -> dict[str, Any]:
    said = {"shape": list(tensor.shape), "scheme": tensor.scheme} | _members(tensor)
    if isinstance(tensor, Quantized):  # no other type can replace the type of a part
        return said
    return {field: value for field, value in said.items() if (field, value) != ("dtype", dtype)}


def _members(tensor: Tensor) -> dict[str, Any]:
    """The canonical ones, and a layout that was given though it is the default: adapters ask for it."""
    members = tensor.canonical()
    if "layout" in tensor.model_fields_set:
        members["layout"] = tensor.given()["layout"]
    if isinstance(tensor, Blocks):
        parts = [{"size": size, **_members(part)} for size, part in tensor.tensors]
        members["parts"] = [{key: part[key] for key in part if key not in ("shape", "dtype")} for part in parts]
    if isinstance(tensor, Quantized):
        source = _members(tensor.of)
        members["tensor"] = {field: source[field] for field in source if field != "dtype"}
    return members


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
