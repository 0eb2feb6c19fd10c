"""Parameters that DeepSpeed's ZeRO-3 has partitioned: each rank generates its own part."""

from __future__ import annotations

from typing import Any

import torch

from fanin.backends import get
from fanin.errors import Fault, ModuleError, pointer
from fanin.file.layout import FileLayoutLike
from fanin.file.plan import read_into
from fanin.torch.inputs import Given
from fanin.torch.recorder.recording import FLOATING, plain_name
from fanin.torch.writable import plainly


def init_zero3_(
    module: torch.nn.Module,
    recipe: FileLayoutLike,
    *,
    seed: int | str | None = None,
    backend: str | None = None,
) -> torch.nn.Module:
    """Fill the parameters that `deepspeed.zero.Init` has partitioned, and return the module.

    Each rank generates the elements of its part, and no rank has a full parameter in memory. Call it on every rank
    before `deepspeed.initialize`, which copies the values to the optimizer. Parameters that are not partitioned, and
    buffers, keep the values of the module's own code.

        >>> with deepspeed.zero.Init(config_dict_or_path=config):
        ...     model = Transformer(config)
        >>> fanin.torch.init_zero3_(model, recording)

    Args:
        module: The module to fill.
        recipe: A recipe in any form that `fanin.as_recipe` takes, its `FileLayout`, or a `Recording`. The layout has to
            be given where a distribution depends on it.
        seed: 0 to 2^64 - 1, in place of the recipe's own.
        backend: Name of the backend that generates the parts.

    Raises:
        ModuleError: no parameter is partitioned, or some are not those of the recipe, gathered, or partitioned in
            another way; one fault for each. Nothing is written then.
        RecipeError, FileError, OSError: the recipe is wrong or cannot be read.
        BackendError: the backend is unusable here.
    """
    given = Given.of(recipe, seed)
    found: list[tuple[str, Any]] = []
    faults: list[Fault] = []
    for name, parameter in module.named_parameters():
        if not hasattr(parameter, "ds_tensor"):
            continue
        own = plain_name(name)
        source = given.tied.get(own, own)
        found.append((source, parameter))
        if reason := _obstacle(given, source, parameter):
            faults.append(Fault(pointer([own]), reason))
    if not found:
        raise ModuleError([Fault("", "no parameter of the module is partitioned by deepspeed.zero.Init")])
    if faults:
        raise ModuleError(faults)
    maker = get(backend)
    with plainly(), torch.no_grad():
        for source, parameter in found:
            part = parameter.ds_tensor
            first, count = _range(parameter)
            values = torch.empty(count, dtype=part.dtype, device="cpu")
            if source in given.layout.places:
                start = given.layout.entry(source).start + first * part.element_size()
                read_into(given.layout, start, values.view(torch.uint8).numpy().data, maker)
            else:
                values = given.literals[source].reshape(-1)[first : first + count]
            part[:count].copy_(values)
            part[count:].zero_()
    return module


def _range(parameter: Any) -> tuple[int, int]:
    """Return the first element of this rank's part of a parameter, in row-major order, and their number."""
    size = parameter.ds_tensor.numel()
    first = min(torch.distributed.get_rank(parameter.ds_process_group) * size, parameter.ds_numel)
    return first, min(size, parameter.ds_numel - first)


def _obstacle(given: Given, source: str, parameter: Any) -> str:
    """Return why a partitioned parameter cannot be filled from this name; an empty string if it can."""
    part = parameter.ds_tensor
    if source in given.layout.places:
        tensor = given.layout.recipe.tensors[source]
        wanted: tuple[str, tuple[int, ...]] = tensor.dtype, tuple(tensor.shape)
    elif source in given.literals:
        literal = given.literals[source]
        wanted = FLOATING.get(literal.dtype, str(literal.dtype)), tuple(literal.shape)
    else:
        return "missing: the recipe has no such tensor"
    has = FLOATING.get(part.dtype, str(part.dtype)), tuple(parameter.ds_shape)
    if has != wanted:
        return f"{has[0]} {list(has[1])} in the module, {wanted[0]} {list(wanted[1])} in the recipe"
    if parameter.ds_status.name != "NOT_AVAILABLE":
        return "its parts are gathered: fill it outside of GatheredParameters"
    ranks = torch.distributed.get_world_size(parameter.ds_process_group)
    if getattr(parameter, "ds_secondary_tensor", None) is not None or part.dim() != 1:
        return "it has a second partition in each node (zero_hpz_partition_size)"
    if not part.numel() * ranks >= parameter.ds_numel > (part.numel() - 1) * ranks:
        return f"this rank has {part.numel()} of {parameter.ds_numel} elements, which is not one of {ranks} equal parts"
    return ""
