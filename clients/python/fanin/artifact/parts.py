"""Parts: which items one of several independent processes writes. The processes never talk to each other."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

_TEXT = re.compile(r"(\d+|auto)(?:/(\d+))?")
_ALLOWED = "I/N with I from 0 to N - 1, auto/N, or auto"


@dataclass(frozen=True, slots=True)
class Part:
    """Every `count`-th item, from the item `index` on."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"part {self.index}/{self.count}: a part is {_ALLOWED}")

    def items(self, total: int) -> range:
        """Return the numbers of the items of this part, of an artifact with `total` items."""
        return range(self.index, total, self.count)

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] | None = None) -> Part:
        """Return the part that a text such as 3/10 names.

        `auto` takes the index from the environment of a Kubernetes Indexed Job (JOB_COMPLETION_INDEX), a Slurm array
        (SLURM_ARRAY_TASK_ID) or a rank of torchrun (RANK), in this order; without /N, the count too.

        Args:
            text: I/N, auto/N or auto.
            environment: Environment variables; by default those of this process.

        Raises:
            ValueError: the text is not a part, or the environment does not have what it needs.
        """
        found = _TEXT.fullmatch(text)
        if found is None or (found[1] != "auto" and found[2] is None):
            raise ValueError(f"part {text!r}: a part is {_ALLOWED}")
        count = int(found[2]) if found[2] else None
        if found[1] != "auto":
            return cls(int(found[1]), int(found[2]))
        return _from_environment(os.environ if environment is None else environment, count)


def _from_environment(environment: Mapping[str, str], count: int | None) -> Part:
    def number(name: str) -> int:
        value = environment.get(name, "")
        if not (value.isascii() and value.isdecimal()):
            raise ValueError(f"part auto: the environment variable {name} is {value!r}, not a number")
        return int(value)

    if "JOB_COMPLETION_INDEX" in environment:
        if count is None:
            raise ValueError("part auto: a Kubernetes Job does not tell the number of its indexes: use auto/N")
        return Part(number("JOB_COMPLETION_INDEX"), count)
    if "SLURM_ARRAY_TASK_ID" in environment:
        index = number("SLURM_ARRAY_TASK_ID")
        if count is not None:
            return Part(index, count)
        first, last, tasks = map(number, ("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_COUNT"))
        if first not in (0, 1) or last - first + 1 != tasks:
            # Such as an array of the tasks that failed before: their count is not the number of parts.
            raise ValueError(
                f"part auto: the Slurm array has {tasks} tasks from {first} to {last}; without auto/N, an array is"
                " 0-M or 1-M without gaps"
            )
        return Part(index - first, tasks)
    if "RANK" in environment:
        return Part(number("RANK"), number("WORLD_SIZE") if count is None else count)
    raise ValueError(
        "part auto: none of the environment variables JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID and RANK is set"
    )
