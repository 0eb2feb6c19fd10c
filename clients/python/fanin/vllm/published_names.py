"""Names of published files, which vLLM reads. They are those that transformers writes for a model class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from fanin.file.layout import FileLayout
from fanin.torch.generated import Generated


class _Part(Generated):
    """A tensor without memory whose parts stay so: transformers makes each part contiguous, which would generate it."""

    def contiguous(self, *_: Any, **__: Any) -> _Part:
        return self


def published(model: Any, layout: FileLayout, backend: str | None) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a recipe, without memory, under the names of the published files.

    A model class of transformers may have other names than the published files, and one tensor for all experts of a
    layer. transformers has rules that revert this when it saves a model, which are used here. An architecture that
    transformers does not have keeps its names.

    Args:
        model: The `ModelConfig` of vLLM.
        layout: The layout of the recipe.
        backend: The backend that generates the elements.
    """
    import transformers
    from transformers.core_model_loading import revert_weight_conversion

    tensors: dict[str, torch.Tensor] = {name: _Part.of(layout, name, backend) for name in layout.recipe.tensors}
    for architecture in model.hf_config.architectures or []:
        if kind := getattr(transformers, architecture, None):
            # Read again: vLLM changes its own copy, such as DeepSeek's type of positions.
            source = model.hf_config_path or model.model
            configuration = transformers.AutoConfig.from_pretrained(source, revision=model.revision)
            with torch.device("meta"):
                tensors = revert_weight_conversion(kind(configuration), tensors)
            break
    yield from tensors.items()
