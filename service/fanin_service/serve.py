"""The command `fanin serve`."""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import ByteSize, ValidationError
from pydantic_core import ErrorDetails

from fanin import BackendError
from fanin_service.app import create_app
from fanin_service.protocol import BoundedProtocol
from fanin_service.settings import Settings

HELP = "Serve weights over HTTP. Every option may also be given as an environment variable."
_WRONG_USAGE = 2
_FAILED = 3
_BACKLOG = 2048

_log = logging.getLogger("uvicorn.error")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One option for every setting."""
    for name, field in Settings.model_fields.items():
        default = field.default.human_readable() if isinstance(field.default, ByteSize) else field.default
        known = "" if default is None else f"default {default}, "
        text = f"{field.description} ({known}{_variable(name)})"
        parser.add_argument(_option(name), dest=name, metavar=name.rpartition("_")[2].upper(), help=text)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    given = {name: value for name in Settings.model_fields if (value := getattr(options, name)) is not None}
    try:
        settings = Settings(**given)
        app = create_app(settings)
    except ValidationError as error:
        return _refuse("; ".join(_complaint(details, given) for details in error.errors()))
    except BackendError as error:
        return _refuse(f"{_option('backend') if 'backend' in given else _variable('backend')}: {error}")

    config = configure(app, settings)
    try:
        listener = listen(settings.host, settings.port, settings.stall_seconds)
    except OSError as error:
        sys.stderr.write(f"fanin serve: cannot listen on {settings.host} port {settings.port}: {error}\n")
        return _FAILED
    host, port = listener.getsockname()[:2]
    address = f"[{host}]:{port}" if listener.family is socket.AF_INET6 else f"{host}:{port}"
    _log.info("Fanin on http://%s with the %s backend", address, app.state.service.backend.name)
    server = uvicorn.Server(config)
    # Raised again by uvicorn after an orderly end.
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0 if server.started else _FAILED


def configure(app: FastAPI, settings: Settings, **options: Any) -> uvicorn.Config:
    """How uvicorn runs the service."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        **options,
    )


def listen(host: str, port: int, stall_seconds: int) -> socket.socket:
    """A listening TCP socket whose connections are cut when the client takes nothing for so long.

    Uvicorn has no such limit: a stalled client would keep its connection, and its chunks, for ever.

    Raises:
        OSError: the address is wrong or taken.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    if sys.platform == "linux":
        # Accepted connections inherit it. It counts time without progress, so slow clients live on (RFC 5482).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stall_seconds * 1000)
    return listener


def _refuse(reason: str) -> int:
    sys.stderr.write(f"fanin serve: {reason}\n")
    return _WRONG_USAGE


def _complaint(details: ErrorDetails, given: dict[str, str]) -> str:
    name = str(details["loc"][0])
    where = _option(name) if name in given else _variable(name)
    return f"{where}: {details['msg'][0].lower()}{details['msg'][1:]}, not {details['input']!r}"


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return f"FANIN_{name.upper()}"
