"""The loader of the load format `fanin`. It imports vLLM."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader

from fanin.vllm.options import Options
from fanin.vllm.published_names import published


class FaninModelLoader(DefaultModelLoader):  # type: ignore[misc]
    """Gives a model of vLLM the tensors of a recipe, under the names of its checkpoint.

    The tensors have no memory. A parameter of vLLM copies its part of a tensor, for example the shard of its rank, and
    only this part is generated, in the memory of the parameter.
    """

    def __init__(self, load_config: Any) -> None:
        self._options, others = Options.split(load_config.model_loader_extra_config)
        super().__init__(replace(load_config, model_loader_extra_config=others))

    def download_model(self, model_config: Any) -> None:
        """Do nothing: no file of weights is read."""

    def get_all_weights(
        self,
        model_config: Any,
        model: torch.nn.Module,  # noqa: ARG002 (vLLM's)
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the tensors of the recipe by name.

        Raises:
            ValueError: no recipe is found, or an option is wrong.
        """
        layout = self._options.layout(model_config.model)
        self.counter_before_loading_weights = time.perf_counter()  # vLLM logs the time since then
        yield from published(model_config, layout, self._options.backend)
