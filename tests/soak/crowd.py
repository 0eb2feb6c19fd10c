"""Hundreds of clients in one process: fast ones, slow ones, and some that stall. Prints what became of them as JSON.

python -m tests.soak.crowd HOST PORT SECONDS FAST SLOW STALLED
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvloop

from fanin import FileLayout, backends
from fanin.file.plan import read_into
from fanin_service.server.command import raise_file_limit

ELEMENTS = 2_000_000
BODIES = 12
SLOW_BYTES = 100_000
"""A second."""
STALL_SECONDS = 180
"""Longer than a server with little CPU time takes to fill all buffers, and then allows."""
IN_FLIGHT = 32 << 20
"""More than all buffers between a server and a client."""
HUGE = "/v1/weights?shape=1000000,1000000&scheme=normal&std=1"

Address = tuple[str, int]


def path(seed: int) -> str:
    return f"/v1/weights?shape={ELEMENTS}&scheme=normal&std=1&seed={seed}"


def sha256(seed: int) -> bytes:
    """SHA-256 of the complete file, generated here."""
    layout = FileLayout.of({"shape": [ELEMENTS], "scheme": "normal", "std": 1, "seed": seed})
    content = bytearray(layout.size)
    read_into(layout, 0, memoryview(content), backends.get())
    return hashlib.sha256(content).digest()


class Crowd:
    """All clients."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._random = random.Random(1)
        self._wanted = [sha256(seed) for seed in range(BODIES)]
        self.counts = Counter[str]()
        self.received = 0
        """Bytes of finished bodies that fast clients got."""

    async def fast(self) -> None:
        """One body after another, as fast as it can."""
        buffer = bytearray(1 << 18)
        while True:
            async with self._connection(1 << 18) as connection:
                while await self._body(connection, buffer, "fast"):
                    pass

    async def slow(self) -> None:
        buffer = bytearray(SLOW_BYTES // 10)
        while True:
            async with self._connection(1 << 15) as connection:
                while await self._body(connection, buffer, "slow", pause=0.1):
                    pass

    async def stall(self) -> None:
        """Takes a byte and no more, for longer than the server allows; what is on its way by then must have an end."""
        loop, buffer = asyncio.get_running_loop(), bytearray(1 << 16)
        while True:
            async with self._connection(1 << 15) as connection:
                await loop.sock_sendall(connection, f"GET {HUGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert await loop.sock_recv(connection, 1)
                self.counts["stalled"] += 1
                await asyncio.sleep(STALL_SECONDS)
                received = 0
                with suppress(ConnectionResetError):
                    while (count := await loop.sock_recv_into(connection, buffer)) and received < IN_FLIGHT:
                        received += count
                self.counts["stalled, cut" if received < IN_FLIGHT else "stalled, wrongly served"] += 1

    async def _body(self, connection: socket.socket, buffer: bytearray, kind: str, *, pause: float = 0) -> bool:
        """Fetch one body over this connection; whether another may follow."""
        loop, seed = asyncio.get_running_loop(), self._random.randrange(BODIES)
        await loop.sock_sendall(connection, f"GET {path(seed)} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            if not (part := await loop.sock_recv(connection, 4096)):
                self.counts[f"{kind}, lost"] += 1
                return False
            head += part
        head, _, begun = head.partition(b"\r\n\r\n")
        status = int(head[9:12])
        found = re.search(rb"content-length: (\d+)", head)
        assert found
        if status != 200:
            self.counts[f"{kind}, refused with {status}"] += 1
            wait = re.search(rb"retry-after: (\d+)", head)
            await asyncio.sleep(int(wait[1]) if wait else 1)
            return False
        digest, missing = hashlib.sha256(begun), int(found[1]) - len(begun)
        while missing:
            count = await loop.sock_recv_into(connection, memoryview(buffer)[:missing])
            if not count:
                self.counts[f"{kind}, lost"] += 1
                return False
            digest.update(memoryview(buffer)[:count])
            missing -= count
            if pause:
                await asyncio.sleep(pause)
        self.counts[f"{kind}, finished"] += 1
        self.counts[f"{kind}, wrong"] += digest.digest() != self._wanted[seed]
        if kind == "fast":
            self.received += int(found[1])
        return True

    @asynccontextmanager
    async def _connection(self, receive_buffer: int) -> AsyncIterator[socket.socket]:
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            try:
                await asyncio.get_running_loop().sock_connect(connection, self._address)
                yield connection
            except OSError as error:
                self.counts[f"lost: {error.strerror}"] += 1
                await asyncio.sleep(0.1)


async def main(address: Address, seconds: float, fast: int, slow: int, stalled: int) -> None:
    crowd = Crowd(address)
    clients = [crowd.stall() for _ in range(stalled)] + [crowd.slow() for _ in range(slow)]
    clients += [crowd.fast() for _ in range(fast)]
    tasks = []
    for client in clients:
        tasks.append(asyncio.create_task(client))
        await asyncio.sleep(0.002)
    print("all are here", flush=True)
    began, before = time.monotonic(), crowd.received
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    rate = (crowd.received - before) / (time.monotonic() - began)
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    print(json.dumps({"rate": rate, "counts": crowd.counts}), flush=True)


if __name__ == "__main__":
    raise_file_limit()
    host, port, seconds, *counts = sys.argv[1:]
    uvloop.run(main((host, int(port)), float(seconds), *map(int, counts)))
