"""The `quantization_config` of transformers: the format that one names, and the one of a quantized recipe."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fanin.quantization import gptq
from fanin.quantization.parts import FLOATS, FORMATS, GROUP_SIZE, GROUPED, quantize
from fanin.recipe import Recipe, RecipeLike, as_recipe
from fanin.schemes.quantized import Quantized


def quantize_as(recipe: RecipeLike, config: Mapping[str, Any]) -> Recipe:
    """Return the recipe of the same model in the format of a `quantization_config` of transformers.

    Modules that it names as not converted, or ignored, stay as they are. The names mean what they mean to the loader.
    GPTQ quantizes one list of layers, that of `block_name_to_quantize` or the one that optimum finds without it. If
    `modules_in_block_to_quantize` names modules, all others stay as they are too.

    Raises:
        ValueError: the format is not one of `quantize`, not all linear layers have it, a member is malformed, or the
            model has stacked experts, which `quantize` leaves as they are and the checkpoint has quantized.
        RecipeError: a tensor cannot be quantized.
    """
    _check(config)
    recipe = as_recipe(recipe)
    form, size = _format_of(config)
    is_kept = gptq.keeping(config, recipe) if form == "gptq" else _kept(config)
    if form != "mxfp4":
        for name, tensor in recipe.tensors.items():
            if _STACKED.search(name) and len(tensor.shape) > 2 and not is_kept(name.rpartition(".")[0]):
                raise ValueError(
                    f"{name!r} has the weights of several experts, and stays as it is in {form}; checkpoints of this"
                    " quantization_config have quantized ones. Quantize the recipe by the name of the format"
                    " (`--quantize`) to keep the experts"
                )
    return quantize(recipe, form, group_size=size, keep=is_kept)


class _Member(BaseModel):
    model_config = ConfigDict(strict=True)


class _Weights(_Member):
    num_bits: int = 8
    type: str = "int"
    strategy: str | None = None
    symmetric: bool = True
    group_size: int | None = None
    block_structure: list[int] | str | None = None


class _Group(_Member):
    targets: list[str] | None = None
    weights: _Weights | None = None
    input_activations: dict[str, Any] | None = None


class _Config(_Member):
    """Members that are read here, where a wrong type would be an error of Python."""

    group_size: int = GROUP_SIZE
    weight_block_size: list[int] | None = None
    config_groups: dict[str, _Group] | None = None
    sparsity_config: dict[str, Any] | None = None
    modules_to_not_convert: list[str] | None = None
    ignore: list[str] | None = None
    modules_in_block_to_quantize: list[list[str] | str] | None = None
    block_name_to_quantize: str | None = None


def _check(config: Mapping[str, Any]) -> None:
    try:
        _Config.model_validate(dict(config) if isinstance(config, Mapping) else config)
    except ValidationError as error:
        details = error.errors()[0]
        where = "".join(f"{part}: " for part in ["quantization_config", "/".join(map(str, details["loc"]))] if part)
        raise ValueError(f"{where}{details['msg']}, not {details['input']!r}"[:500]) from None


def _kept(config: Mapping[str, Any]) -> Callable[[str], bool]:
    """Return a function that tells by the name of a module whether the configuration leaves it as it is."""
    alone = {name for name in config.get("ignore") or [] if not name.startswith("re:")}
    patterns = [(f"ignore: {name}", f"^(?:{name[3:]})") for name in config.get("ignore") or [] if name not in alone]
    for name in config.get("modules_to_not_convert") or []:
        # transformers takes an entry as a pattern of the start of a name, or as its end. AutoAWQ looks for it anywhere.
        named = re.escape(name)
        pattern = rf"^(?:{name})(?:(?<=\.)|(?=\.|$))|{named}$|(^|\.){named}($|\.)"
        patterns.append((f"modules_to_not_convert: {name}", pattern))
    compiled = []
    for entry, pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise ValueError(f"quantization_config: {entry} is not a regular expression: {error}") from None

    def is_kept(module: str) -> bool:
        return module in alone or any(each.search(module) for each in compiled)

    return is_kept


def _pattern(name: str) -> re.Pattern[str]:
    """Return what matches a module of this name, or the modules in it, at any depth."""
    return re.compile(rf"(^|\.){re.escape(name)}($|\.)")


def _format_of(config: Mapping[str, Any]) -> tuple[str, int]:
    """Return the format of a `quantization_config`, and the size of its groups."""
    method = config.get("quant_method")
    size = config.get("group_size", GROUP_SIZE)
    match "" if _is_special(config) else method:
        case "fp8" if list(config.get("weight_block_size") or []) == [128, 128]:
            return "fp8_block", GROUP_SIZE
        case "mxfp4":
            return "mxfp4", GROUP_SIZE
        case "awq" if config.get("bits") == 4 and config.get("zero_point", True) and size > 0:
            return "awq", size
        case "gptq" if config.get("bits") == 4 and config.get("sym", True) and not config.get("desc_act") and size > 0:
            return "gptq", size
        case "compressed-tensors":
            weights = [group.get("weights") or {} for group in (config.get("config_groups") or {}).values()]
            forms = {_FORMATS_OF.get(_key(each)) for each in weights}
            sizes = {each.get("group_size") or GROUP_SIZE for each in weights}
            if len(forms) == len(sizes) == 1 and (form := forms.pop()):
                return form, sizes.pop() if form in GROUPED else GROUP_SIZE
    raise ValueError(f"no format of {', '.join(FORMATS)} is that of this quantization_config, {dict(config)!r}"[:500])


def _is_special(config: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint of this configuration quantizes other weights, or stores other tensors."""
    match config.get("quant_method"):
        case "fp8":
            # Scales of "ue8m0" are powers of two.
            return config.get("activation_scheme", "dynamic") != "dynamic" or "ue8m0" in str(config.get("scale_fmt"))
        case "awq":
            return str(config.get("version") or "gemm").lower() != "gemm"
        case "gptq":
            others = ("dynamic", "lm_head")
            # Version 2 has other zero points.
            return config.get("checkpoint_format", "gptq") != "gptq" or any(config.get(field) for field in others)
        case "compressed-tensors":
            groups = [*(config.get("config_groups") or {}).values()]
            sparsity = (config.get("sparsity_config") or {}).get("format", "dense")
            return (
                sparsity != "dense"
                or config.get("format") == "marlin-24"
                or config.get("kv_cache_scheme") is not None
                or any((group.get("input_activations") or {}).get("dynamic", True) is not True for group in groups)
                or any((group.get("targets") or ["Linear"]) != ["Linear"] for group in groups)
                or any((group.get("weights") or {}).get("actorder") in (True, "group", "dynamic") for group in groups)
            )
    return False


def _key(weights: Mapping[str, Any]) -> tuple[Any, ...]:
    strategy, size = weights.get("strategy"), weights.get("group_size")
    kind, bits = weights.get("type", "int"), weights.get("num_bits", 8)
    if strategy == "block":
        size = tuple(weights.get("block_structure") or ())
    elif kind == "int" and strategy == "group":
        size = None
    return kind, bits, strategy, size, weights.get("symmetric", True)


_FORMATS_OF = {
    ("float", 8, "tensor", None, True): "fp8",
    ("float", 8, "channel", None, True): "fp8_channel",
    ("float", 8, "block", (128, 128), True): "fp8_block",
    ("int", 8, "channel", None, True): "int8",
    ("float", 8, "group", 32, True): "mxfp8",
    ("float", 4, "group", 32, True): "mxfp4",
    ("float", 4, "tensor_group", 16, True): "nvfp4",
    ("int", 4, "group", None, True): "int4",
    ("int", 4, "group", None, False): "int4_asymmetric",
}
"""Formats by the members of `weights` in compressed-tensors: type, bits, strategy, size of groups, symmetry."""


def configuration(config: Mapping[str, Any], recipe: RecipeLike) -> dict[str, Any]:
    """Return the `config.json` of a quantized checkpoint: that of the model, with the `quantization_config`.

    For `mxfp8`, `mxfp4` and `nvfp4` in the names of compressed-tensors `dtype` becomes bfloat16: transformers
    dequantizes their weights to bfloat16, and no layer can multiply those by numbers of another type.

    Args:
        config: The `config.json` of the model before quantization.
        recipe: The recipe that `quantize` returned.

    Raises:
        ValueError: the recipe has no quantized tensors, or several formats, or several sizes of groups. Or it is of
            `gptq`, whose list of modules holds for all layers, and layers differ.
    """
    recipe = as_recipe(recipe)
    parts = [(name, tensor) for name, tensor, _ in recipe.tensors.lines() if isinstance(tensor, Quantized)]
    found = {(tensor.format, tensor.group_size if tensor.format in GROUPED else None) for _, tensor in parts}
    if len(found) != 1:
        raise ValueError(
            f"the recipe has {len(found)} formats of quantized tensors, not one: {sorted(map(str, found))}"
        )
    ((form, size),) = found
    experts = any(name.endswith(("_blocks", "_scales")) for name, _ in parts)
    method = _method(form, size, experts, _kept_modules(recipe))
    if form == "gptq":
        method |= gptq.members(recipe, _kept_modules(recipe))
    bf16 = {"dtype": "bfloat16"} if method.get("format") in _TO_BF16 else {}
    return {**config, **bf16, "quantization_config": method}


def _kept_modules(recipe: Recipe) -> list[str]:
    """Return the modules whose weights are not quantized, with an output layer that may be tied to the embeddings."""
    matrices = [name for name, tensor in recipe.tensors.items() if len(tensor.shape) > 1 and tensor.dtype in FLOATS]
    modules = [name.rpartition(".")[0] for name in matrices if name.endswith(".weight") or _STACKED.search(name)]
    quantized = {name.rpartition(".")[0] for name, tensor in recipe.tensors.items() if isinstance(tensor, Quantized)}
    tied = [
        output
        for output, prefix in _OUTPUTS.items()
        if any(name.startswith(prefix) for name in recipe.tensors)
        and not any(_pattern(output).search(module) for module in quantized)
    ]
    return list(dict.fromkeys([*(each for each in modules if each not in quantized), *tied]))


def _method(form: str, size: int | None, experts: bool, kept: list[str]) -> dict[str, Any]:
    """Return the `quantization_config` of a format."""
    if experts:
        return {"quant_method": "mxfp4", "modules_to_not_convert": kept}
    common = {"quant_method": form, "bits": 4, "group_size": size}
    match form:
        case "fp8_block":
            block = {"activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]}
            return {"quant_method": "fp8", **block, "modules_to_not_convert": kept}
        case "awq":
            return {**common, "zero_point": True, "version": "gemm", "modules_to_not_convert": kept}
        case "gptq":
            return {**common, "sym": True, "desc_act": False, "checkpoint_format": "gptq"}
    key = next(key for key, value in _FORMATS_OF.items() if value == form)
    kind, bits, strategy, fixed, symmetric = key
    weights = {"num_bits": bits, "type": kind, "strategy": strategy, "symmetric": symmetric, "dynamic": False}
    if strategy in ("group", "tensor_group"):
        weights["group_size"] = fixed or size
    if form in _SCALE_TYPES:
        weights["scale_dtype"] = _SCALE_TYPES[form]
    # With 8 bits a scale for each row, or one for the tensor, engines quantize the activations too, row by row.
    rows = {"num_bits": 8, "type": kind, "strategy": "token", "symmetric": True, "dynamic": True}
    activations = rows if form in ("fp8", "fp8_channel", "int8") else None
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": _STORED[form],
        "quantization_status": "compressed",
        "config_groups": {"group_0": group},
        "ignore": kept,
    }


_OUTPUTS = {
    "lm_head": "",
    "lm_head.decoder": "lm_head.",
    "cls.predictions.decoder": "cls.predictions.",
    "decoder": "decoder.bias",
    "vocab_projector": "vocab_projector.",
    "proj_out": "model.encoder.conv1.",
}
"""Output layers of transformers, and the prefix of a tensor that models with one have. A tied weight has no tensor."""
_STACKED = re.compile(r"\.experts\.[^.]*$")
_STORED = {
    "fp8": "float-quantized",
    "fp8_channel": "float-quantized",
    "int8": "int-quantized",
    "mxfp8": "mxfp8-quantized",
    "mxfp4": "mxfp4-pack-quantized",
    "nvfp4": "nvfp4-pack-quantized",
    "int4": "pack-quantized",
    "int4_asymmetric": "pack-quantized",
}
"""Names that compressed-tensors gives the formats."""
_TO_BF16 = ("mxfp8-quantized", "mxfp4-pack-quantized", "nvfp4-pack-quantized")
"""Formats of compressed-tensors whose weights are BF16 when they are dequantized."""
_SCALE_TYPES = {"mxfp8": "torch.uint8", "mxfp4": "torch.uint8", "nvfp4": "torch.float8_e4m3fn"}
"""Types of scales, as compressed-tensors spells them."""
