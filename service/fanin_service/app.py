"""The application: the routes, the pipeline before them and one `Service`, built from settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send, StatelessLifespan

from fanin.backends import Backend
from fanin_service.access.authenticator import Authenticator, authenticator
from fanin_service.http import problems
from fanin_service.http.root_path import below
from fanin_service.http.routing import RouteTable
from fanin_service.pipeline import Pipeline, stages
from fanin_service.routes import (
    artifacts,
    catalogue,
    digests,
    documents,
    health,
    hub,
    hub_api,
    metrics,
    models,
    pages,
    recipes,
    s3,
    schemes,
    weights,
)
from fanin_service.routes.openapi import DescribedAPI
from fanin_service.service import Service
from fanin_service.settings import Settings, SettingsError, variable

_ROUTERS = (
    weights.router,
    recipes.router,
    digests.router,
    models.router,
    catalogue.router,
    artifacts.router,
    schemes.router,
    health.router,
    documents.router,
    pages.front,
    pages.router,
    hub_api.api,
    hub.router,
    s3.router,
)
_ADMIN_ROUTERS = (health.router, metrics.router, documents.router, pages.router)
_TURNS = 100
"""Turns of the event loop that are left to cancelled requests to end."""


def create_app(settings: Settings, backend: Backend | None = None) -> FastAPI:
    """Return the application with these settings. `backend` replaces the one that they name.

    Raises:
        BackendError: the backend of the settings is unknown, unusable here or generates wrong bits.
        SettingsError: the key file or the directory of models cannot be used, a package is missing, or the root path
            begins like a path of the service.
        RuntimeError: a route has no access rule.
    """
    routers = _ROUTERS if settings.admin_port is not None else (*_ROUTERS, metrics.router)
    check_root_path(settings)
    service = Service.start(settings, backend)
    return _assemble(
        service, routers, authenticator(settings), settings.cors_origins, _lifespan, root_path=settings.root_path
    )


def check_root_path(settings: Settings) -> None:
    """Compare the root path with the paths of the service.

    Raises:
        SettingsError: it begins like one of them, so that the two could not be distinguished.
    """
    if settings.root_path is None:
        return
    first = settings.root_path.split("/")[1]
    routes = [route for router in (*_ROUTERS, metrics.router) for route in router.routes]
    if any(route.path.split("/")[1] == first for route in routes if isinstance(route, Route)):
        reason = f"{settings.root_path} begins with /{first}, as paths of the service do"
        raise SettingsError([f"{variable('root_path')}: {reason}"])


def create_admin_app(app: FastAPI) -> FastAPI:
    """Return the application of the second port: health, metrics and documents of the same service, for operators."""
    return _assemble(app.state.service, _ADMIN_ROUTERS, app.state.authenticator)


def _assemble(
    service: Service,
    routers: tuple[APIRouter, ...],
    authenticator: Authenticator | None,
    cors_origins: Sequence[str] = (),
    lifespan: StatelessLifespan[FastAPI] | None = None,
    *,
    root_path: str | None = None,
) -> FastAPI:
    app = _Application(
        title="Fanin",
        summary="Initial weights for neural networks from a recipe and a seed: the same bits on every machine.",
        version=version("fanin"),
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # FastAPI's own routes have no access rules
        servers=None if root_path is None else [{"url": root_path}],
        responses={"default": problems.RESPONSE},
    )
    app.state.service, app.state.authenticator = service, authenticator
    for router in routers:
        app.include_router(router)  # for the OpenAPI document; requests are matched by the table below
    app.state.routes = [route for router in routers for route in router.routes]
    app.pipeline = Pipeline(stages(service, authenticator, cors_origins), RouteTable(app.state.routes))
    app.entry = below(root_path, app.pipeline)
    return app


class _Application(DescribedAPI):
    """FastAPI with the pipeline in place of its middleware and its routing."""

    pipeline: Pipeline
    entry: ASGIApp
    """The pipeline, below the path that clients see."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["app"] = self
            await self.entry(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    with service.threads.running():
        await service.check_backend()
        await service.admission.open()
        watch = asyncio.create_task(service.watch_backend())
        try:
            yield
        finally:
            watch.cancel()
            # Requests that the server has just cancelled need some turns of the event loop to end and to be logged.
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            await service.stop()
