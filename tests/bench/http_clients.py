"""Clients that `tests.bench.http` runs in a separate process. They drop the bodies."""

from __future__ import annotations

import random
import re
import selectors
import socket
import time
from collections.abc import Iterator

from tests.bench.http_servers import BLOCK, Address, get

HUGE_BYTES, RANGE_BYTES = 100 * 10**9, 10**6
CONNECTIONS = 16


class Exchange:
    """One connection that sends requests and drops the bodies, one after another."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, 60)
        self._buffer = bytearray(BLOCK)
        self.missing = 0

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)
        self.missing = -1

    def receive(self) -> int:
        """Take what has come; how many bytes it was."""
        count = self.socket.recv_into(self._buffer)
        assert count, "the connection was lost"
        if self.missing < 0:
            head, _, rest = bytes(self._buffer[:count]).partition(b"\r\n\r\n")
            assert re.match(rb"HTTP/1.1 20[06]", head), head
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert length, head
            self.missing = int(length[1]) - len(rest)
        else:
            self.missing -= count
        return count

    def whole(self, request: bytes) -> int:
        """Send a request and receive its response. Return the received bytes."""
        self.send(request)
        received = 0
        while self.missing:
            received += self.receive()
        return received

    def close(self) -> None:
        self.socket.close()


def drain(address: Address, path: str) -> float:
    """Bytes a second of one stream."""
    exchange = Exchange(address)
    started = time.perf_counter()
    received = exchange.whole(get(path))
    seconds = time.perf_counter() - started
    exchange.close()
    return received / seconds


def drain_many(address: Address, path: str, count: int) -> tuple[float, list[float]]:
    """Bytes a second of `count` streams at once: together, and of each."""
    with selectors.DefaultSelector() as selector:
        received: dict[Exchange, int] = {}
        rates = []
        started = time.perf_counter()
        for _ in range(count):
            exchange = Exchange(address)
            selector.register(exchange.socket, selectors.EVENT_READ, exchange)
            exchange.send(get(path))
            received[exchange] = 0
        while len(rates) < count:
            for key, _ in selector.select():
                exchange = key.data
                received[exchange] += exchange.receive()
                if not exchange.missing:
                    rates.append(received[exchange] / (time.perf_counter() - started))
                    selector.unregister(exchange.socket)
                    exchange.close()
        return sum(received.values()) / (time.perf_counter() - started), rates


def small_requests(
    address: Address, path: str, seeds: Iterator[int], seconds: float, rate: float | None = None
) -> tuple[float, list[float]]:
    """Return requests per second, and the seconds of each: as many as are completed, or begun at `rate` per second."""
    with selectors.DefaultSelector() as selector:
        idle = [Exchange(address) for _ in range(CONNECTIONS)]
        for exchange in idle:
            selector.register(exchange.socket, selectors.EVENT_READ, exchange)
        begun: dict[Exchange, float] = {}
        took: list[float] = []
        started = now = time.perf_counter()
        due = started
        while now < started + seconds or begun:
            while idle and due <= now < started + seconds:
                exchange = idle.pop()
                exchange.send(get(f"{path}&seed={next(seeds)}"))
                # From when it was to begin: waiting for a free connection counts.
                begun[exchange] = now if rate is None else due
                due = now if rate is None else due + 1 / rate
            for key, _ in selector.select(0.01 if rate is None or not idle else max(0.0, due - now)):
                exchange = key.data
                exchange.receive()
                if not exchange.missing:
                    took.append(time.perf_counter() - begun.pop(exchange))
                    idle.append(exchange)
            now = time.perf_counter()
        return len(took) / (now - started), took


def ranges(address: Address, path: str, keep: bool) -> list[float]:
    """Seconds of each of many random ranges, over one connection or each over its own."""
    order, took = random.Random(0), []
    exchange = Exchange(address)
    for _ in range(100):
        request = get(path, order.randrange(HUGE_BYTES - RANGE_BYTES), RANGE_BYTES)
        started = time.perf_counter()
        if not keep:
            exchange.close()
            exchange = Exchange(address)
        exchange.whole(request)
        took.append(time.perf_counter() - started)
    return took
