"""One safetensors file. The manifest completes the artifact."""

from __future__ import annotations

from dataclasses import replace

from fanin.artifact.formats.base import Given
from fanin.artifact.formats.safetensors_files import SafetensorsFiles


class Files(SafetensorsFiles):
    """All tensors in `model.safetensors`."""

    NAME = "safetensors"

    def __init__(self, given: Given) -> None:
        if given.has_literals:
            raise ValueError("format 'safetensors' has one file, which cannot have literals too; use 'hf'")
        super().__init__(replace(given, shard_bytes=2**63))
