"""Losses of a training on several ranks, as its worker prints them and its test reads them."""

from __future__ import annotations

import json
import re

import torch


def mean_of_ranks(loss: torch.Tensor) -> float:
    """Return the mean of the losses of all ranks. Every rank calls it."""
    total = loss.detach().clone()
    torch.distributed.all_reduce(total)
    return float(total) / torch.distributed.get_world_size()


def report(losses: list[float]) -> None:
    """Print the losses as JSON on rank 0, in a separate line, because trainers print their log too."""
    if torch.distributed.get_rank() == 0:
        print(f"losses {json.dumps(losses)}")


def reported(output: str) -> list[float]:
    """Return the losses that `report` printed."""
    (text,) = re.findall(r"^losses (\[.*\])$", output, re.MULTILINE)
    losses: list[float] = json.loads(text)
    return losses
