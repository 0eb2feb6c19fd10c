"""The second port: health and metrics of the same service, separate from the port that clients use."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI


class _AdminServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handlers: signals belong to the server of the first port."""
        yield


def attach(app: FastAPI, config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve `config` from `listener` while `app` runs: from before it is ready until its last response has ended."""
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def longer(app: FastAPI) -> AsyncIterator[None]:
        server = _AdminServer(config)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            async with lifespan(app):
                yield
        finally:
            server.should_exit = True
            await serving

    app.router.lifespan_context = longer
