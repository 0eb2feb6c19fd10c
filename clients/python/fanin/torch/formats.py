"""Formats of checkpoints."""

from typing import Literal

Format = Literal["dcp", "safetensors"]
"""Of torch.distributed.checkpoint, or a directory of safetensors files with an index."""
SHARD_BYTES = 5 * 10**9
"""Bytes of tensors in one safetensors file at most, if no single one is larger."""
