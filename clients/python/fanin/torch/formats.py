"""Formats of checkpoints."""

from typing import Literal

Format = Literal["dcp", "safetensors"]
"""Format of torch.distributed.checkpoint, or a directory of safetensors files with an index."""
SHARD_BYTES = 5 * 10**9
"""Maximum bytes of tensors in one safetensors file, unless one tensor is larger."""
