"""Other threads that a model's builder uses. `record` does not follow them, and refuses models that they change."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from multiprocessing.pool import ThreadPool
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from fanin.recording.patching import Function, Replaced
from fanin.torch.recorder.operation import line
from fanin.torch.recorder.shadow_memory import Memory, current

_beside: ContextVar[weakref.ref[Memory] | None] = ContextVar("fanin_beside", default=None)
"""In a thread that works for a builder: the builder's memory. A pool outlives the recording and must not keep it."""


@contextmanager
def noticing() -> Iterator[None]:
    """Record in the current memory the first operation of each thread that works for the block.

    These are threads that the block starts, and threads of a pool that exists already.
    """
    with ExitStack() as stack:
        for owner, replaced in _REPLACED.items():
            stack.enter_context(replaced.within(owner))
        yield


class _Stray(TorchDispatchMode):
    """Observes the operations of a thread that works for a builder."""

    def __init__(self, memory: weakref.ref[Memory]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        memory = self._memory()
        if memory is not None and not memory.stray:
            memory.stray = f"{line() or 'the construction'}: {func.name().replace('::', '.')}"
        return func(*args, **(kwargs or {}))


def _observed(work: Function) -> Function:
    """Return a function that another thread calls in place of this one; the same function outside a builder."""
    memory = current()
    reference = _beside.get() if memory is None else weakref.ref(memory)
    if reference is None:
        return work

    @functools.wraps(work)
    def observed(*args: Any, **kwargs: Any) -> Any:
        token = _beside.set(reference)
        try:
            with _Stray(reference):
                return work(*args, **kwargs)
        finally:
            _beside.reset(token)

    return observed


def _started(start: Function) -> Function:
    @functools.wraps(start)
    def either(thread: threading.Thread) -> None:
        run = thread.run
        # Set on the thread itself, because its class can override `run`. Never set to what it is already: a bound
        # method refers to its thread, which would then stay until the garbage collector runs.
        if (observed := _observed(run)) is not run:
            thread.run = observed  # type: ignore[method-assign]
        start(thread)

    return either


def _submitted(submit: Function) -> Function:
    @functools.wraps(submit)
    def either(pool: Any, func: Function, /, *args: Any, **kwargs: Any) -> Any:
        return submit(pool, _observed(func), *args, **kwargs)

    return either


_REPLACED: dict[type, Replaced] = {
    threading.Thread: Replaced({"start": _started}),
    ThreadPoolExecutor: Replaced({"submit": _submitted}),
    ThreadPool: Replaced(dict.fromkeys(("apply_async", "_map_async", "imap", "imap_unordered"), _submitted)),
}
"""Methods through which a thread gets work, of each class. The other methods of these classes call them."""
