"""The command `fanin serve`."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import ByteSize, ValidationError
from pydantic_core import ErrorDetails
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from fanin import BackendError
from fanin.backends import Backend
from fanin_service import logs, metrics
from fanin_service.app import create_app
from fanin_service.guard import choose
from fanin_service.protocol import BoundedProtocol
from fanin_service.settings import Settings

HELP = "Serve weights over HTTP. Every option may also be given as an environment variable."
_WRONG_USAGE = 2
_FAILED = 3
_BACKLOG = 2048
_HEALTHCHECK_SECONDS = 60
"""A worker that answers its supervisor nothing for so long is replaced. Starting may take several."""

_log = logging.getLogger(__name__)


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
        backend = choose(settings)
    except ValidationError as error:
        return _refuse("; ".join(_complaint(details, given) for details in error.errors()))
    except BackendError as error:
        return _refuse(f"{_option('backend') if 'backend' in given else _variable('backend')}: {error}")

    try:
        listener = listen(settings.host, settings.port, settings.stall_seconds)
    except OSError as error:
        return _fail(f"cannot listen on {settings.host} port {settings.port}: {error}")
    try:
        with _stored(settings) as settings:
            serve = _serve if settings.workers == 1 else _serve_by_workers
            return serve(settings, backend, listener)
    except OSError as error:
        return _fail(f"cannot use the recipe store: {error}")


def _serve(settings: Settings, backend: Backend, listener: socket.socket) -> int:
    """Serve in this process."""
    server = uvicorn.Server(configure(create_app(settings, backend), settings))
    _announce(listener, backend)
    # Raised again by uvicorn after an orderly end.
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0 if server.started else _FAILED


def _serve_by_workers(settings: Settings, backend: Backend, listener: socket.socket) -> int:
    """Serve in processes of their own, which accept from one socket and are replaced when they die.

    One socket and not one each (SO_REUSEPORT): connections that wait for a worker that dies are taken by another.
    """
    config = configure(
        partial(_worker, settings),
        settings,
        factory=True,
        workers=settings.workers,
        timeout_worker_healthcheck=_HEALTHCHECK_SECONDS,
    )
    _announce(listener, backend)
    supervisor = Multiprocess(config, [listener])
    # Workers count together: prometheus_client, when they import it, finds its files there.
    with TemporaryDirectory(prefix="fanin-metrics-") as directory:
        os.environ[metrics.DIRECTORY] = directory
        supervisor.run()
    return _FAILED if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


def _worker(settings: Settings) -> FastAPI:
    """The application of one worker, which ends when its supervisor is gone."""

    def follow() -> None:
        supervisor = multiprocessing.parent_process()
        assert supervisor
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, name="fanin-follow", daemon=True).start()
    return create_app(settings)


@contextmanager
def _stored(settings: Settings) -> Iterator[Settings]:
    """The settings with a recipe store where one is needed: what one worker is told, the others must know.

    Raises:
        OSError: the directory cannot be made.
    """
    if settings.recipe_store:
        settings.recipe_store.mkdir(parents=True, exist_ok=True)
        yield settings
    elif settings.workers == 1:
        yield settings
    else:
        with TemporaryDirectory(prefix="fanin-") as directory:
            yield settings.model_copy(update={"recipe_store": Path(directory)})


def _announce(listener: socket.socket, backend: Backend) -> None:
    host, port = listener.getsockname()[:2]
    address = f"[{host}]:{port}" if listener.family is socket.AF_INET6 else f"{host}:{port}"
    _log.info("Fanin on http://%s with the %s backend", address, backend.name)


def configure(app: FastAPI | Callable[[], FastAPI], settings: Settings, **options: Any) -> uvicorn.Config:
    """How uvicorn runs the service, or with `factory=True` what makes it."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        access_log=False,
        **{"log_config": logs.config(settings), **options},
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


def _fail(reason: str) -> int:
    sys.stderr.write(f"fanin serve: {reason}\n")
    return _FAILED


def _complaint(details: ErrorDetails, given: dict[str, str]) -> str:
    name = str(details["loc"][0])
    where = _option(name) if name in given else _variable(name)
    return f"{where}: {details['msg'][0].lower()}{details['msg'][1:]}, not {details['input']!r}"


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _variable(name: str) -> str:
    return f"FANIN_{name.upper()}"
