"""Names of published files, for architectures that vLLM reads under those only."""

from __future__ import annotations

from collections.abc import Iterator

import torch


def published(model_type: str, name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a tensor of transformers' model class under the names of the published files.

    Mixtral's published files have three matrices for each expert: w1 and w3 are the halves of `gate_up_proj`, and w2 is
    `down_proj`. The matrices are views, so they generate nothing. Other architectures keep their names.
    """
    if model_type != "mixtral":
        yield name, tensor
        return
    stem, found, last = name.replace(".mlp.", ".block_sparse_moe.").rpartition(".experts.")
    if not found:
        yield last, tensor
    elif last == "gate_up_proj":
        for number, expert in enumerate(tensor):
            for matrix, half in zip(("w1", "w3"), expert.chunk(2)):
                yield f"{stem}.experts.{number}.{matrix}.weight", half
    elif last == "down_proj":
        for number, expert in enumerate(tensor):
            yield f"{stem}.experts.{number}.w2.weight", expert
    else:
        yield f"{stem}.experts.{last}", tensor
