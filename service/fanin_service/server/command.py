"""The command `fanin serve`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from fanin import BackendError, backends
from fanin.backends import Backend
from fanin.signals import handle
from fanin_service.access.authenticator import authenticator
from fanin_service.app import check_root_path, create_admin_app, create_app
from fanin_service.artifacts.opening import open_cluster, open_destinations
from fanin_service.backend.guard import choose
from fanin_service.models.loading import open_store
from fanin_service.server import lifecycle, second_port, tls
from fanin_service.server.protocol import BoundedProtocol, Pace
from fanin_service.settings import Settings, SettingsError, variable
from fanin_service.settings.reading import SECRETS, default_text, meaning, option, read
from fanin_service.settings.types import is_loopback
from fanin_service.telemetry import logs, metrics

HELP = "Serve weights over HTTP. Every option may also be given as an environment variable."
_WRONG_USAGE = 2
_FAILED = 3
_BACKLOG = 2048
_OPEN_FILES = 65536
_HEALTHCHECK_SECONDS = 60
"""Seconds after which a worker that does not respond to its supervisor is replaced. Starting may take several."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one option for every setting. Options of secrets exist only to be refused with a reason."""
    for name in Settings.model_fields:
        default = default_text(name)
        known = f"default {default}, " if default else "only by its variable, " if name in SECRETS else ""
        text = f"{meaning(name)} ({known}{variable(name)})"
        # `--catalogue` alone means true.
        flag: dict[str, Any] = {"nargs": "?", "const": "true"} if Settings.model_fields[name].annotation is bool else {}
        parser.add_argument(option(name), dest=name, metavar=name.rpartition("_")[2].upper(), help=text, **flag)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal stops the process. Return its exit status."""
    given = {name: value for name in Settings.model_fields if (value := getattr(options, name)) is not None}
    try:
        settings = read(given)
        backend = choose(settings)
        # Check these before there are workers, which could only exit with the same error.
        tls.options(settings)
        authenticator(settings)
        check_root_path(settings)
        open_store(settings)
        open_destinations(settings)
        open_cluster(settings)
    except SettingsError as error:
        return _refuse(str(error))
    except BackendError as error:
        return _refuse(f"{option('backend') if 'backend' in given else variable('backend')}: {error}")

    raise_file_limit()
    beside = None
    try:
        listener = listen(settings.host, settings.port)
        if settings.admin_port is not None:
            beside = listen(settings.admin_host, settings.admin_port)
    except OSError as error:
        return _fail(str(error))
    announce = partial(_announce, settings, backend, listener, beside)
    try:
        with _stored(settings) as settings:
            if settings.workers == 1:
                return _serve(settings, backend, listener, beside, announce)
            return _serve_by_workers(settings, listener, beside, announce)
    except OSError as error:
        return _fail(f"cannot use the recipe store: {error}")


def _serve(
    settings: Settings,
    backend: Backend,
    listener: socket.socket,
    beside: socket.socket | None,
    announce: Callable[[], None],
) -> int:
    """Serve in this process. If there is a second port, serve health and metrics from the socket `beside`."""
    server = uvicorn.Server(configure(_app(settings, backend, beside), settings))
    # Uvicorn raises signals again after an orderly end. They are not failures.
    with suppress(KeyboardInterrupt):
        handle(signal.SIGTERM, signal.default_int_handler)
        announce()
        server.run(sockets=[listener])
    return 0


def _serve_by_workers(
    settings: Settings,
    listener: socket.socket,
    beside: socket.socket | None,
    announce: Callable[[], None],
) -> int:
    """Serve in worker processes, which accept from one socket and are replaced when they exit.

    They share one socket instead of one each (SO_REUSEPORT): if a worker exits, others accept the connections that
    wait.
    """
    config = configure(
        partial(_worker, settings, beside),
        settings,
        factory=True,
        workers=settings.workers,
        timeout_worker_healthcheck=_HEALTHCHECK_SECONDS,
    )
    supervisor = lifecycle.Supervisor(config, [listener])
    announce()
    # Workers share their counts: prometheus_client finds the directory of its files here when workers import it.
    with TemporaryDirectory(prefix="fanin-metrics-") as directory:
        os.environ[metrics.DIRECTORY] = directory
        supervisor.run()
    return _FAILED if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes) else 0


def _worker(settings: Settings, beside: socket.socket | None) -> FastAPI:
    """Return the application of one worker. The worker ends when its supervisor has ended."""

    def follow() -> None:
        supervisor = multiprocessing.parent_process()
        assert supervisor
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, name="fanin-follow", daemon=True).start()
    return _app(settings, None, beside)


def _app(settings: Settings, backend: Backend | None, beside: socket.socket | None) -> FastAPI:
    app = create_app(settings, backend)
    if beside is not None:
        # A program that checks the health has no client certificate.
        options = {"lifespan": "off", "log_config": None, "ssl_cert_reqs": ssl.CERT_NONE}
        second_port.attach(app, configure(create_admin_app(app), settings, **options), beside)
    lifecycle.attach(app, settings.drain_seconds, supervised=settings.workers > 1)
    # Exclude all current objects from garbage collection: scanning them repeatedly would stop the event loop for 30 ms.
    gc.collect()
    gc.freeze()
    return app


@contextmanager
def _stored(settings: Settings) -> Iterator[Settings]:
    """Provide the settings with a recipe store and a model store if there are several workers, which share both.

    Without stores, a recipe that one worker has registered would be unknown to the others.

    Raises:
        OSError: a directory cannot be created.
    """
    if settings.recipe_store:
        settings.recipe_store.mkdir(parents=True, exist_ok=True)
    if settings.workers == 1:
        yield settings
        return
    with TemporaryDirectory(prefix="fanin-") as directory:
        recipes = settings.recipe_store or Path(directory, "recipes")
        recipes.mkdir(exist_ok=True)
        models = settings.model_store or str(Path(directory, "models"))
        yield settings.model_copy(update={"recipe_store": recipes, "model_store": models})


def raise_file_limit() -> None:
    """Raise the limit of open files to the service's need, or to the system's maximum. Each connection is one file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS has a second, lower limit, and refuses values above it.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _announce(settings: Settings, backend: Backend, listener: socket.socket, beside: socket.socket | None) -> None:
    scheme = "https" if settings.tls_cert else "http"
    _log.info("Fanin on %s://%s with the %s backend", scheme, _address(listener), backend.name)
    if beside is not None:
        _log.info("Health and metrics on %s://%s", scheme, _address(beside))
    if backend.name == "reference" and settings.backend != "reference":
        _log.warning("Slow: %s", backends.SLOW)
    if settings.access == "open" and settings.tls_client_ca is None:
        _log.warning("Access is open to everyone who can reach this address")
    if settings.workers > 1 and settings.limits_url is None and settings.counts_clients:
        _log.warning("Each of %d workers counts clients separately: see %s", settings.workers, variable("limits_url"))
    if settings.model_store is None and settings.model_uploads and not is_loopback(settings.host):
        _log.warning(
            "Only this server stores its named models, and they are lost when it ends. If there are several replicas,"
            " or models must last, set %s to a store that all replicas share",
            variable("model_store"),
        )


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family is socket.AF_INET6 else f"{host}:{port}"


def configure(app: FastAPI | Callable[[], FastAPI], settings: Settings, **options: Any) -> uvicorn.Config:
    """Return the configuration of uvicorn for the service. With `factory=True`, `app` is a function that returns it."""
    pace = Pace(settings.head_seconds, settings.body_rate, settings.stall_seconds)
    return uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], partial(BoundedProtocol, pace)),
        ws="none",
        server_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        access_log=False,
        forwarded_allow_ips=list(settings.trusted_proxies),
        **{
            "lifespan": "on",
            "log_config": logs.config(settings.log_format, settings.log_level),
            **tls.options(settings),
            **options,
        },
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket.

    Raises:
        OSError: the address is invalid or in use.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(f"cannot listen on {host} port {port}: {error}") from None
    if sys.platform == "linux" and ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback:
        # BBR paces its output, which costs a third of the speed on the loopback interface, where no packet is ever
        # lost.
        with suppress(OSError):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    return listener


def _refuse(reason: str) -> int:
    sys.stderr.write(f"fanin serve: {reason}\n")
    return _WRONG_USAGE


def _fail(reason: str) -> int:
    sys.stderr.write(f"fanin serve: {reason}\n")
    return _FAILED
