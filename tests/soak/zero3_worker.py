"""One rank of a DeepSpeed ZeRO-3 run on the CPU that starts from the parameters of `fanin.torch.init_zero3_`.

    DS_ACCELERATOR=cpu torchrun --nproc_per_node 2 -m tests.soak.zero3_worker

Rank 0 prints the losses as JSON, in a line that begins with `losses`, because DeepSpeed prints its log too.
"""

from __future__ import annotations

import deepspeed
import torch
from torch import nn

import fanin
import fanin.torch
from tests.soak.losses import mean_of_ranks, report

CONFIG = {
    "train_batch_size": 4,
    "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 0},
    "zero_allow_untested_optimizer": True,
}


def build() -> nn.Module:
    """Return a model with sizes that two ranks do not divide."""
    return nn.Sequential(nn.Linear(7, 33), nn.LayerNorm(33), nn.ReLU(), nn.Linear(33, 5), nn.Linear(5, 1, bias=False))


def main() -> None:
    """Fill the parts of this rank, compare the gathered parameters with the recipe, and train."""
    deepspeed.init_distributed(dist_backend="gloo")
    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    recording = fanin.torch.record(build, seed=3)
    with deepspeed.zero.Init(config_dict_or_path=CONFIG):
        model = build()
    fanin.torch.init_zero3_(model, recording)
    full = fanin.materialize(recording.recipe)
    with deepspeed.zero.GatheredParameters(list(model.parameters())):
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter.detach(), torch.from_numpy(full[name])), name
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=CONFIG)
    x = torch.linspace(-1, 1, 28).reshape(4, 7)[rank::ranks]
    losses = []
    for _ in range(4):
        loss = (engine(x).squeeze(-1) - x.sum(-1)).square().mean()
        engine.backward(loss)
        engine.step()
        losses.append(mean_of_ranks(loss))
    report(losses)


if __name__ == "__main__":
    main()
