"""Write the first weights of a MaxText model as a checkpoint of parameters. Each device generates its shards.

    python docs/examples/maxtext_step_0.py DIRECTORY SEED CONFIG.yml [NAME=VALUE ...]

The arguments after SEED are those of `python -m maxtext.trainers.pre_train.train`, which then takes
`load_parameters_path=DIRECTORY` too.
"""

from __future__ import annotations

import sys
from typing import Any

from flax import nnx
from flax.linen import logical_axis_rules
from maxtext.common.checkpointing import save_params_to_path
from maxtext.configs import pyconfig
from maxtext.utils.maxtext_utils import get_mesh_from_config
from maxtext.utils.model_creation_utils import create_nnx_abstract_model

import fanin.jax


def recorded(seed: str, arguments: list[str]) -> tuple[nnx.State[Any, Any], fanin.jax.Recording]:
    """Return the parameters of the model without memory, with their shardings, and their recording."""
    config = pyconfig.initialize(["maxtext", *arguments])
    with logical_axis_rules(config.logical_axis_rules):
        create, abstract = create_nnx_abstract_model(config, get_mesh_from_config(config))
        recording = fanin.jax.record(lambda: nnx.state(create(), nnx.Param), seed=seed)
    return nnx.state(abstract, nnx.Param), recording


def main(directory: str, seed: str, *arguments: str) -> None:
    """Write the checkpoint."""
    shapes, recording = recorded(seed, list(arguments))
    parameters = fanin.jax.init(shapes, recording)
    save_params_to_path(directory, {"params": parameters.to_pure_dict()})


if __name__ == "__main__":
    main(*sys.argv[1:])
