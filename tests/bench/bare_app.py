"""The smallest ASGI application: it sends the same bytes to every request, in the uvicorn of the service.

python -m tests.bench.bare_app SIZE
"""

from __future__ import annotations

import os
import sys

import uvicorn
from starlette.types import Receive, Scope, Send

from fanin_service.server.command import configure, listen
from fanin_service.settings import Settings


def main(size: int) -> None:
    body = os.urandom(size)
    headers = [(b"content-length", str(size).encode()), (b"content-type", b"application/octet-stream")]

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = listen("127.0.0.1", 0)
    sys.stderr.write(f"http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stderr.flush()
    config = configure(app, Settings(), lifespan="off")  # type: ignore[arg-type]  # it needs no FastAPI
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
