"""A directory of Hugging Face: files of safetensors, and an index, which completes the artifact."""

from __future__ import annotations

from collections.abc import Callable

from fanin.artifact.formats.safetensors_files import SafetensorsFiles, sizes_in
from fanin.file import shards


class Files(SafetensorsFiles):
    """Numbered files with an index; or one file alone, which the manifest completes."""

    NAME = "hf"

    @property
    def commit_path(self) -> str | None:
        return None if self._is_whole else self.files.index

    def commit(self, read: Callable[[str], bytes]) -> bytes:
        places = {tensor: self.name(number) for number in range(len(self)) for tensor in self.tensors(number)}
        literals: dict[str, int] = {}
        if self.literals_path is not None:
            literals = sizes_in(read(self.literals_path))
            places |= dict.fromkeys(literals, self.literals_path)
        return shards.index_of(self.total() + sum(literals.values()), places)
