"""Run `torchtitan.train`, release 0.3.0, on CPUs.

It selects "cuda" where torch finds no accelerator, torch has no backward of FlexAttention on a CPU, gloo has no scaled
sums, and torch 2.13 lacks `set_timeout`. These four are replaced here. Checkpoints, sharding and the loop of training
are those of the release.
"""

from __future__ import annotations

import runpy
import sys
import types
from typing import Any

import torch
import torch._utils
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule
from torch.nn.attention.flex_attention import create_mask


def _attention(query: Any, key: Any, value: Any, *, score_mod: Any, block_mask: Any, scale: Any, **others: Any) -> Any:
    """Return attention with the full mask, and no log-sum-exp."""
    assert score_mod is None
    mask = create_mask(block_mask.mask_mod, query.shape[0], None, query.shape[2], key.shape[2], device="cpu")
    grouped = others["enable_gqa"]
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, mask, scale=scale, enable_gqa=grouped
    ), None


def _divided_later(modules: FSDPModule, factor: float) -> None:
    _set_factor(modules, factor)
    modules.set_force_sum_reduction_for_comms(True)


_set_factor = FSDPModule.set_gradient_divide_factor


def main() -> None:
    """Run the trainer with the arguments of this command."""
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # its LLVM collides with the one of triton
    torch._utils._get_available_device_type = lambda: "cpu"
    for name, made in {
        "get_device_name": lambda *_: "CPU",
        "current_device": lambda: 0,
        "get_device_properties": lambda *_: types.SimpleNamespace(total_memory=1 << 34, name="CPU"),
        "memory_stats": lambda *_: {},
        "reset_peak_memory_stats": lambda *_: None,
        "empty_cache": lambda *_: None,
    }.items():
        setattr(torch.cpu, name, made)
    FSDPModule.set_gradient_divide_factor = _divided_later  # type: ignore[method-assign]
    if not hasattr(dist, "set_timeout"):
        dist.set_timeout = lambda *_: None
    from torchtitan.models.common.attention import FlexAttention

    FlexAttention._compiled_flex_attn = staticmethod(_attention)
    runpy.run_module("torchtitan.train", run_name="__main__")


if __name__ == "__main__":
    main()
