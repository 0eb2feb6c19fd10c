"""A bad network: forwards TCP connections, and damages the server's bytes as a test specifies."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self


@dataclass(frozen=True)
class Fault:
    """A fault of one connection after a number of bytes from the server."""

    kind: Literal["reset", "truncate", "flip", "delay"]
    at: int
    seconds: float = 0
    """Duration of a delay."""


class BadNetwork:
    """Listens for clients of the server at `address`. Each connection takes the next of the `faults`, if any."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.faults: list[Fault] = []
        self.done: list[Fault] = []
        """Faults that have occurred."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        # close() alone does not wake accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            fault = self.faults.pop(0) if self.faults else None
            server = socket.create_connection(self._address)
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._down, args=(server, client, fault), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while part := client.recv(1 << 16):
                server.sendall(part)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _down(self, server: socket.socket, client: socket.socket, fault: Fault | None) -> None:
        position = 0
        with server, client, suppress(OSError):
            while part := bytearray(server.recv(1 << 16)):
                if fault and position <= fault.at < position + len(part):
                    here = fault.at - position
                    self.done.append(fault)
                    if fault.kind == "flip":
                        part[here] ^= 1 << fault.at % 8
                    elif fault.kind == "delay":
                        time.sleep(fault.seconds)
                    else:
                        client.sendall(part[:here])
                        if fault.kind == "reset":
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        # Without this, the thread that reads from the socket keeps it open.
                        client.shutdown(socket.SHUT_RDWR if fault.kind == "truncate" else socket.SHUT_RD)
                        return
                client.sendall(part)
                position += len(part)
