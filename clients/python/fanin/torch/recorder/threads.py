"""Threads that a model's builder starts: `record` does not follow them, and must notice what they do."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from fanin.recording.patching import Function, Replaced
from fanin.torch.recorder.operation import line
from fanin.torch.recorder.shadow_memory import Memory, current


@contextmanager
def noticing() -> Iterator[None]:
    """Note in the current memory the first operation of any thread that this one starts."""
    with _REPLACED.within(threading.Thread):
        yield


class _Stray(TorchDispatchMode):
    """Sees the operations of a thread that a builder has started."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # The thread may outlive the recording, as that of a progress bar does.
        self._memory = weakref.ref(memory)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        memory = self._memory()
        if memory is not None and not memory.stray:
            memory.stray = f"{line() or 'the construction'}: {func.name().replace('::', '.')}"
        return func(*args, **(kwargs or {}))


def _noticed(start: Function) -> Function:
    @functools.wraps(start)
    def either(thread: threading.Thread) -> None:
        if (memory := current()) is not None:
            run, stray = thread.run, _Stray(memory)

            def watched() -> None:
                with stray:
                    run()

            thread.run = watched  # type: ignore[method-assign]
        start(thread)

    return either


_REPLACED = Replaced({"start": _noticed})
