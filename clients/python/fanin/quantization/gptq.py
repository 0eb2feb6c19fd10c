"""The modules that GPTQ quantizes, as `GPTQQuantizer.convert_model` of optimum 2.3.0 chooses them for transformers.

These are linear layers whose names begin with that of one list of layers, and end with one of the chosen names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fanin.quantization.parts import IN_LAYER
from fanin.recipe import Recipe
from fanin.schemes.quantized import Quantized

_CHOSEN = "modules_in_block_to_quantize"
_LIST = "block_name_to_quantize"
_LISTS = (
    *("transformer.h", "model.decoder.layers", "gpt_neox.layers", "model.layers", "model.language_model.layers"),
    *("h", "decoder.layers", "layers"),
)
"""Lists of layers that optimum looks for, in this order."""


def keeping(config: Mapping[str, Any], recipe: Recipe) -> Callable[[str], bool]:
    """Return a function that tells by the name of a module whether a `quantization_config` leaves it as it is."""
    groups = config.get(_CHOSEN) or []
    chosen = tuple(name for group in groups for name in ([group] if isinstance(group, str) else group))
    given = config.get(_LIST)
    start = _list_of(recipe) if given is None else given
    return lambda module: not module.startswith(start) or (bool(chosen) and not module.endswith(chosen))


def members(recipe: Recipe, kept_modules: list[str]) -> dict[str, Any]:
    """Return the members of a `quantization_config` that tell which modules of a recipe are quantized.

    There are none if optimum finds these modules without them.

    Args:
        recipe: The recipe of a quantized model.
        kept_modules: Its modules whose weights are not quantized.

    Raises:
        ValueError: a quantized module is not in a layer, or is quantized in one layer and not in another.
    """
    names = [name.rpartition(".")[0] for name, tensor in recipe.tensors.items() if isinstance(tensor, Quantized)]
    found = [each for name in dict.fromkeys(names) if (each := IN_LAYER.match(name))]
    if outside := next((name for name in names if not IN_LAYER.match(name)), None):
        raise ValueError(f"{outside} is quantized, and is not in a list of layers: GPTQ cannot state it")
    lists = {each["list"] for each in found}
    layers = {each["layer"] for each in found}
    kept = [name for name in kept_modules if (each := IN_LAYER.match(name)) and each["layer"] in layers]
    # One name is that of one list. Every name begins with the empty one.
    named = {} if lists == {_list_of(recipe)} else {_LIST: next(iter(lists)) if len(lists) == 1 else ""}
    if not kept and len(lists) == 1:
        return named
    chosen = list(dict.fromkeys(each["module"] for each in found))
    if other := next((name for name in kept if name.endswith(tuple(chosen))), None):
        raise ValueError(
            f"{other} is not quantized, but the module of this name in another layer is: GPTQ cannot state it"
        )
    return {**named, _CHOSEN: [chosen]}


def _list_of(recipe: Recipe) -> str:
    """Return the name of the list of layers that optimum finds by itself; empty if there is none."""
    return next((each for each in _LISTS if any(name.startswith(f"{each}.") for name in recipe.tensors)), "")
