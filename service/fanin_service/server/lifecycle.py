"""The end of a process, in steps, so that nobody is cut who need not be.

    SIGTERM ──── FANIN_DRAIN_SECONDS ────► listener closes ──── FANIN_SHUTDOWN_SECONDS at most ────► exit
            not ready, yet serving                        until the last answer has ended

Uvicorn knows the second step alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import resource_tracker
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS as UVICORN_SIGNALS

from fanin.signals import interrupts_left_to_parent, is_ignored
from fanin_service.service import Service

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def attach(app: FastAPI, drain_seconds: int, *, supervised: bool) -> None:
    """Let `app`, while it runs, end its process in steps when that is told to by a signal.

    A second signal ends it at once; unless it is `supervised`: then the supervisor decides, who may say the same
    thing twice and hears of Ctrl-C by itself.
    """
    lifespan = app.router.lifespan_context
    # Uvicorn's own handlers replace what the process was started with.
    handled = [number for number in SIGNALS if supervised or not is_ignored(number)]

    @asynccontextmanager
    async def steps(app: FastAPI) -> AsyncIterator[None]:
        with _signals(app.state.service, drain_seconds, supervised, handled):
            async with lifespan(app):
                yield

    app.router.lifespan_context = steps


@contextmanager
def _signals(service: Service, drain_seconds: int, supervised: bool, handled: list[signal.Signals]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    uvicorns = {number: signal.getsignal(number) for number in SIGNALS}
    stop = uvicorns[signal.SIGTERM]
    assert callable(stop)

    def drain() -> None:
        service.drain()
        loop.call_later(drain_seconds, stop, signal.SIGTERM, None)

    def on_signal(_number: int, frame: FrameType | None) -> None:
        if not service.is_draining:
            loop.call_soon_threadsafe(drain)
        elif not supervised:
            # What makes uvicorn wait no longer.
            stop(signal.SIGTERM, frame)
            stop(signal.SIGINT, frame)

    for number in SIGNALS:
        signal.signal(number, on_signal if number in handled else signal.SIG_IGN)
    if supervised:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in uvicorns.items():
            signal.signal(number, handler)


class Supervisor(Multiprocess):
    """Uvicorn's, which passes a signal on at once, and at the second one waits for nobody."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        ignored = [number for number in UVICORN_SIGNALS if is_ignored(number)]
        super().__init__(config, sockets)
        self._was_told = False
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        for process in self.processes:
            if process.exitcode is None and process.pid:
                os.kill(process.pid, signal.SIGKILL if self._was_told else signal.SIGTERM)
        if not self._was_told:
            self._was_told = True
            self.signal_queue.append(number)

    def init_processes(self) -> None:
        with interrupts_left_to_parent():
            resource_tracker.ensure_running()  # as it starts this process, Python 3.11 unblocks SIGINT
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        # With its end of the pipe open here, a worker that dies would be waited for as long as one that hangs.
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        super().terminate_all()
        # The workers have it still; when the last of them has closed it, clients must be refused, not left to wait.
        for listener in self.sockets:
            listener.close()
