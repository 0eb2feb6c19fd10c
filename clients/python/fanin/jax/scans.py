"""Loops of a known number of steps in a traced program, as the functions that stack layers make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from fanin.jax.keys import Draws, Keys
from fanin.recording.distributions import Constant, Matrix, Random, Unknown

MOST_STEPS = 1024
"""Largest number of steps that are followed."""


def scanned(
    params: Mapping[str, Any], given: Sequence[Any], run: Callable[[list[Any]], list[Any]], drawn: Draws
) -> list[Any] | None:
    """Return the outputs of a `scan`; `None` if its steps are not followed.

    Args:
        params: The parameters of the operation.
        given: Its operands: those of all steps, those of the first step, and arrays with a part for each step.
        run: Returns the outputs of one step for its operands.
        drawn: The draws of the program.
    """
    length, (constants, carried) = params["length"], _numbers(params)
    lists = given[constants + carried :]
    if not 0 < length <= MOST_STEPS or not all(isinstance(each, Keys | np.ndarray | Constant) for each in lists):
        return None
    state = list(given[constants : constants + carried])
    steps = []
    for step in reversed(range(length)) if params["reverse"] else range(length):
        made = run([*given[:constants], *state, *(_part(each, step) for each in lists)])
        state = made[:carried]
        steps.append(made[carried:])
    if params["reverse"]:
        steps.reverse()
    return [*state, *(_stacked(parts, drawn) for parts in zip(*steps, strict=True))]


def _numbers(params: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many operands are those of all steps, and how many those of the first step."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    constants, carried, _ = params["ft_in"].unpack()  # since JAX 0.11
    return len(constants), len(carried)


def _part(value: Any, step: int) -> Any:
    """Return the operand of one step."""
    if isinstance(value, Keys):
        return Keys(value.array[step])
    return np.asarray(value[step]) if isinstance(value, np.ndarray) else value


def _stacked(parts: Sequence[Any], drawn: Draws) -> Any:
    """Return the array of the results of all steps, on a new first axis."""
    first = parts[0]
    if all(isinstance(each, Keys) for each in parts):
        return Keys(jnp.stack([each.array for each in parts]))
    if all(isinstance(each, np.ndarray) for each in parts):
        # Integers stay an array, since a later operation may create keys from them.
        is_one = first.size and first.dtype.kind not in "biu" and all((each == first.flat[0]).all() for each in parts)
        return Constant(first.flat[0].item()) if is_one else np.stack(parts)
    if isinstance(first, Constant) and all(each == first for each in parts):
        return first
    if all(isinstance(each, Random) and not isinstance(each, Matrix) for each in parts):
        return drawn.joined(parts) or Unknown("scan")
    return next((each for each in parts if isinstance(each, Unknown)), Unknown("scan"))
