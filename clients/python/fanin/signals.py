"""Signals: a process keeps ignoring those that it was started to ignore, and workers leave Ctrl-C to their parent."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

Handler = Callable[[int, FrameType | None], object]

_INTERRUPT = {signal.SIGINT}


def is_ignored(number: int) -> bool:
    """Return whether this process ignores the signal, as `nohup` and a shell's background jobs ask for."""
    return signal.getsignal(number) is signal.SIG_IGN


def handle(number: int, handler: Handler) -> None:
    """Install a handler, unless the process was started with the signal ignored."""
    if not is_ignored(number):
        signal.signal(number, handler)


def block_interrupts() -> None:
    """Keep SIGINT pending in this thread until `allow_interrupts`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)


def allow_interrupts() -> None:
    """Let SIGINT raise KeyboardInterrupt again; one that is pending does so here."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)


class _Printed:
    """`sys.excepthook` that prints nothing after an interrupt."""

    def __init__(self) -> None:
        self.is_interrupted = False
        self._print = sys.excepthook

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.is_interrupted |= issubclass(kind, KeyboardInterrupt)
        if not self.is_interrupted:
            self._print(kind, error, trace)


def keep_interrupts() -> None:
    """Let `is_interrupt` know the interrupts that extension modules catch.

    While such a module is imported, the C API of NumPy prints an interrupt and raises an ImportError in its place.
    """
    sys.excepthook = _Printed()


def is_interrupt(error: BaseException) -> bool:
    """Return whether an error followed from an interrupt, after `keep_interrupts`."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, KeyboardInterrupt):
        found = found.__cause__ or found.__context__
    return found is not None or (isinstance(sys.excepthook, _Printed) and sys.excepthook.is_interrupted)


@contextmanager
def interrupts_left_to_parent() -> Iterator[None]:
    """Start processes that never receive SIGINT: they inherit the mask of this block.

    A terminal sends Ctrl-C to every process of its group. A worker that dies before its parent receives the signal
    looks like a crash, and one that is still importing prints a traceback. The parent
    must terminate its workers itself.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
