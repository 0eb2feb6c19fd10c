"""Follow every operation of a model's construction, and compute only small results.

Tensors are created on the meta device, where they have shapes and no memory. A `Memory` stores the distributions of
their elements. Small tensors that do not depend on random numbers are computed by the operation itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

from fanin.errors import RecordError
from fanin.recording.distributions import (
    Circular,
    Constant,
    Distribution,
    Factor,
    Normal,
    Triangle,
    Uniform,
    Unknown,
    Unset,
    Values,
)
from fanin.torch.recorder.moves import moved
from fanin.torch.recorder.operation import Call, line, tensors
from fanin.torch.recorder.pieces import MOST_VALUES, Piece, recast, values
from fanin.torch.recorder.rules import Rules
from fanin.torch.recorder.shadow_memory import Memory, peculiar
from fanin.torch.recorder.tensor_methods import pretending
from fanin.torch.recorder.threads import noticing

JOINS = {"cat", "stack", "block_diag"}


@contextmanager
def following(memory: Memory) -> Iterator[None]:
    """Record in `memory` all operations of the block on tensors."""
    with memory.kept(), noticing(), pretending(memory), _Operations(memory):
        yield


class _Operations(TorchDispatchMode):
    """Handles every primitive operation, below autograd and after torch's decompositions."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memory, self._rules = memory, Rules(memory)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunction():
            try:
                return self._called(func, args, kwargs or {})
            except Exception as error:
                self._memory.failure = error
                raise

    def _called(self, func: Any, args: Any, kwargs: Any) -> Any:
        call = Call.of(func, args, kwargs)
        if call.name == "set" and _is_elsewhere(call.given.get("source")):
            raise RecordError.of(f"{line() or 'the construction'}: {call.operation} moves a tensor to other memory")
        if call.is_view:
            return func(*args, **kwargs)
        if any(map(peculiar, call.inputs)):
            known = self._known(call)
            return self._unknown(call) if known is None else self._computed(call, known)
        content = self._rules.distribution(call)
        if content is not None:
            return self._put(call, content)
        known = self._known(call)
        if known is not None:
            return self._computed(call, known)
        if (pieces := moved(call, self._memory)) is not None:
            return self._put(call, pieces)
        if call.name == "linalg_qr" and (factors := self._factors(call)):
            return factors
        return self._join(call) if call.name in JOINS else self._unknown(call)

    def _factors(self, call: Call) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return Q and R of a matrix of independent normals; `None` for other matrices."""
        shape = call.given["A"].shape
        match self._memory.read(call.given["A"]):
            case [(_, Normal(0, _, low, high) as dist)] if math.isinf(low) and math.isinf(high):
                if len(shape) == 2 and shape[0] >= shape[1] and call.given["mode"] == "reduced":
                    q, r = call.on_meta()
                    self._memory.write(q, [(q.numel(), Factor(*q.shape, draw=dist.draw))])
                    self._memory.write(r, [(r.numel(), Triangle(*r.shape, draw=dist.draw))])
                    return q, r
        return None

    def _put(self, call: Call, content: Distribution | list[Piece]) -> torch.Tensor:
        target: torch.Tensor = call.target if call.target is not None else call.on_meta()
        if target.dtype.is_complex and isinstance(content, Normal | Uniform):
            content = Circular(content.std) if isinstance(content, Normal) and not content.mean else Unknown(call.cause)
        self._memory.write(target, content if isinstance(content, list) else [(target.numel(), content)])
        return target

    def _join(self, call: Call) -> torch.Tensor:
        joined, dim = call.given["tensors"], call.given.get("dim", 0)
        result: torch.Tensor = call.on_meta()
        if call.name == "stack":
            places = result.unbind(dim)
        elif call.name == "block_diag":
            joined = [torch.atleast_2d(tensor) for tensor in joined]
            ends = itertools.accumulate(
                (tensor.shape for tensor in joined), lambda at, size: (at[0] + size[0], at[1] + size[1]), initial=(0, 0)
            )
            places = tuple(
                result[row : row + len(tensor), column : column + tensor.shape[1]]
                for (row, column), tensor in zip(ends, joined, strict=False)
            )
            self._memory.write(result, [(result.numel(), Constant(0))])
        else:
            joined = [tensor for tensor in joined if tensor.shape != (0,)]
            places = result.split([tensor.shape[dim] for tensor in joined], dim)
        for place, tensor in zip(places, joined, strict=True):
            self._memory.write(place, recast(self._memory.read(tensor), tensor.dtype, result.dtype))
        return result

    # ---- without a rule ---------------------------------------------------------------------------------------------

    def _known(self, call: Call) -> dict[int, torch.Tensor] | None:
        """Return the values of the tensors that it reads, by id; `None` if one is unknown or too large to compute."""
        if call.is_random:
            return None
        known: dict[int, torch.Tensor] = {}
        for tensor in call.inputs:
            if peculiar(tensor):
                if tensor.is_meta:
                    return None
                continue
            flat = values(self._memory.read(tensor), tensor.dtype)
            if flat is None:
                return None
            known[id(tensor)] = flat.clone().view(tensor.shape)
        try:
            shapes = tensors(call.on_meta())
        except (NotImplementedError, RuntimeError):
            shapes = []  # the shapes depend on values; a real error is raised again later
        return known if sum(shape.numel() for shape in shapes) <= MOST_VALUES else None

    def _computed(self, call: Call, known: dict[int, torch.Tensor]) -> Any:
        """Compute and return the result, and store its values."""
        for tensor in call.written:
            known.setdefault(id(tensor), torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu"))
        result = call.on_cpu(known)
        originals = {id(known[id(tensor)]): tensor for tensor in call.written}
        for tensor in call.written:
            self._memory.write(tensor, [(tensor.numel(), self._table(known[id(tensor)]))])

        def kept(leaf: Any) -> Any:
            if not isinstance(leaf, torch.Tensor):
                return leaf
            if id(leaf) in originals:
                return originals[id(leaf)]
            if peculiar(leaf):
                return leaf
            twin = torch.empty_like(leaf, device="meta")
            self._memory.write(twin, [(leaf.numel(), self._table(leaf))])
            return twin

        return tree_map(kept, result)

    def _table(self, computed: torch.Tensor) -> Values:
        return Values(self._memory.shared(computed.reshape(-1)))

    def _unknown(self, call: Call) -> Any:
        """Return a result of unknown elements.

        Raises:
            RecordError: the shape depends on random values.
        """
        read = [] if call.is_random else call.inputs
        dists = [dist for tensor in read for _, dist in self._memory.read(tensor)]
        blame = next((dist for dist in dists if isinstance(dist, Unset | Unknown)), Unknown(call.cause))
        try:
            result = call.on_meta()
        except (NotImplementedError, RuntimeError):
            raise self._dependent(call) from None
        for leaf in [*call.written, *tree_iter(result)]:
            if not isinstance(leaf, torch.Tensor):
                raise self._dependent(call)
            self._memory.write(leaf, [(leaf.numel(), blame)])
        return call.target if call.target is not None else result

    @staticmethod
    def _dependent(call: Call) -> RecordError:
        return RecordError.of(
            f"{line() or 'the construction'}: the result of {call.operation} depends on random values"
        )


def _is_elsewhere(source: Any) -> bool:
    """Return whether the source has real memory. Only tensors on the meta device are followed."""
    return isinstance(source, torch.Tensor | torch.UntypedStorage) and source.device.type != "meta"
