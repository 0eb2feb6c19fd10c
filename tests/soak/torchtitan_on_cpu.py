"""Run `torchtitan.train`, release 0.3.0, on CPUs.

It selects "cuda" where torch finds no accelerator, and torch has no backward of FlexAttention on a CPU. Both are
replaced here. Checkpoints, sharding and the loop of training are those of the release.
"""

from __future__ import annotations

import runpy
import sys
import types
from typing import Any

import torch
import torch._utils
from torch.nn.attention.flex_attention import create_mask


def _attention(query: Any, key: Any, value: Any, *, score_mod: Any, block_mask: Any, scale: Any, **others: Any) -> Any:
    """Return attention with the full mask, and no log-sum-exp."""
    assert score_mod is None
    mask = create_mask(block_mask.mask_mod, query.shape[0], None, query.shape[2], key.shape[2], device="cpu")
    grouped = others["enable_gqa"]
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, mask, scale=scale, enable_gqa=grouped
    ), None


def main() -> None:
    """Run the trainer with the arguments of this command."""
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # its LLVM collides with the one of triton
    torch._utils._get_available_device_type = lambda: "cpu"
    for name, made in {
        "get_device_name": lambda *_: "CPU",
        "get_device_properties": lambda *_: types.SimpleNamespace(total_memory=1 << 34, name="CPU"),
        "memory_stats": lambda *_: {},
        "reset_peak_memory_stats": lambda *_: None,
        "empty_cache": lambda *_: None,
    }.items():
        setattr(torch.cpu, name, made)
    from torchtitan.models.common.attention import FlexAttention

    FlexAttention._compiled_flex_attn = staticmethod(_attention)
    runpy.run_module("torchtitan.train", run_name="__main__")


if __name__ == "__main__":
    main()
