"""The end of a process, in steps that let requests finish.

    SIGTERM ──── FANIN_DRAIN_SECONDS ────► listener closes ──── FANIN_SHUTDOWN_SECONDS at most ────► exit
        not ready, but serving                     until the last response has ended

Load balancers need the first step to remove the process before it refuses connections. Uvicorn has only the second one.
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
    """Let a signal end the process of `app` in steps.

    A second signal ends it at once, unless it is `supervised`. A supervised process ignores further signals: its
    supervisor may repeat a signal, and it receives Ctrl-C itself.
    """
    lifespan = app.router.lifespan_context
    # Uvicorn's handlers replace those that the process was started with. So a signal that was ignored, as by nohup,
    # must be ignored again here.
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
    # Uvicorn has already installed its handlers: it does so before the lifespan of the application starts.
    uvicorns = {number: signal.getsignal(number) for number in SIGNALS}
    stop = uvicorns[signal.SIGTERM]
    assert callable(stop)

    def drain() -> None:
        service.drain()
        loop.call_later(drain_seconds, stop, signal.SIGTERM, None)

    def on_signal(_number: int, frame: FrameType | None) -> None:
        if not service.is_draining:
            # A signal handler runs between any two instructions. Work is left to the event loop, whose state is
            # consistent then.
            loop.call_soon_threadsafe(drain)
        elif not supervised:
            service.artifacts.halt()
            # The first call starts uvicorn's shutdown, and SIGINT then makes it stop waiting for responses.
            stop(signal.SIGTERM, frame)
            stop(signal.SIGINT, frame)

    for number in SIGNALS:
        signal.signal(number, on_signal if number in handled else signal.SIG_IGN)
    if supervised:
        # The terminal sends Ctrl-C to all processes of the group. Only the supervisor may act on it: it then signals
        # its workers.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in uvicorns.items():
            signal.signal(number, handler)


class Supervisor(Multiprocess):
    """Uvicorn's supervisor, which forwards the first signal to its workers at once and kills them at the second."""

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
                # Signal the workers here. Uvicorn's loop reads its queue only between checks of the workers, and a
                # check waits for a minute if a worker hangs.
                os.kill(process.pid, signal.SIGKILL if self._was_told else signal.SIGTERM)
        if not self._was_told:
            self._was_told = True
            self.signal_queue.append(number)

    def init_processes(self) -> None:
        with interrupts_left_to_parent():
            resource_tracker.ensure_running()  # when Python 3.11 starts this process, it unblocks SIGINT
            super().init_processes()

    def keep_subprocess_alive(self) -> None:
        # Close the supervisor's copy of each worker's end of the pipe. While it is open, a worker that has died is
        # indistinguishable from one that hangs, and would be awaited for as long.
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        super().terminate_all()
        # The workers still have the listeners. When the last worker has closed them, clients must be refused instead of
        # waiting in a queue that nobody serves.
        for listener in self.sockets:
            listener.close()
