"""The application: routes, problems and one `Service`, put together from settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send, StatelessLifespan

from fanin.backends import Backend
from fanin_service.access import middleware
from fanin_service.access.middleware import Authentication, Authenticator, Authorization
from fanin_service.admission.middleware import Gate
from fanin_service.backend.guard import GuardedBackend, choose
from fanin_service.http import problems
from fanin_service.models.loading import open_models
from fanin_service.recipes.disk import RecipeStore
from fanin_service.recipes.memory import Registry
from fanin_service.routes import (
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
from fanin_service.server.lifecycle import Draining
from fanin_service.service import Service
from fanin_service.settings import Settings
from fanin_service.surfaces.hub import surface as hub_surface
from fanin_service.surfaces.s3 import surface as s3_surface
from fanin_service.telemetry.middleware import Observation

_ROUTERS = (
    weights.router,
    recipes.router,
    digests.router,
    models.router,
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
_METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
_SENT = (
    *("Authorization", "Content-Type", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range"),
    *("If-Unmodified-Since", "Range"),
)
_EXPOSED = (
    *("Accept-Ranges", "Content-Digest", "Content-Disposition", "Content-Length", "Content-Location", "Content-Range"),
    *("ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Repr-Digest", "Retry-After", "WWW-Authenticate"),
    *("X-Amz-Request-Id", "X-Error-Code", "X-Error-Message", "X-Linked-ETag", "X-Linked-Size", "X-Repo-Commit"),
)
"""Headers that pages of other origins may send, and read."""


def create_app(settings: Settings, backend: Backend | None = None) -> FastAPI:
    """The service with these settings; `backend` generates instead of the one that they name.

    Raises:
        BackendError: the backend that the settings name is unknown, cannot be used here or makes wrong bits.
        SettingsError: the key file or the directory of models cannot be used, or a package is missing.
        RuntimeError: a route has no access rule.
    """
    guarded = GuardedBackend(backend or choose(settings), settings.check_seconds)
    registry = Registry[str](max_recipes=settings.registry_recipes, max_bytes=settings.registry_bytes)
    service = Service(settings, guarded, registry, open_models(settings), _store(settings))
    routers = _ROUTERS if settings.admin_port is not None else (*_ROUTERS, metrics.router)
    app = _assemble(service, routers, middleware.authenticator(settings), _lifespan)
    if settings.cors_origins:
        # Around the access rules: a preflight has no key, and a page may read why it was refused.
        app.add_middleware(
            CrossOrigin,
            allow_origins=settings.cors_origins,
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_EXPOSED,
        )
    return app


def create_admin_app(app: FastAPI) -> FastAPI:
    """What the second port answers: the same service, as an operator sees it."""
    return _assemble(app.state.service, _ADMIN_ROUTERS, app.state.authenticator)


def _assemble(
    service: Service,
    routers: tuple[APIRouter, ...],
    authenticator: Authenticator | None,
    lifespan: StatelessLifespan[FastAPI] | None = None,
) -> FastAPI:
    app = _Application(
        title="Fanin",
        summary="Initial weights for neural networks from a recipe and a seed: the same bits on every machine.",
        version=version("fanin"),
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # FastAPI's own routes have no access rules
        responses={"default": problems.RESPONSE},
    )
    app.state.service, app.state.authenticator = service, authenticator
    for router in routers:
        app.include_router(router)
    app.state.routes = [route for router in routers for route in router.routes]
    problems.install(app)
    rules = middleware.rules(app.state.routes)
    # The last is the outermost. Between finding out who it is and what they may, a request is counted.
    if authenticator:
        app.add_middleware(Authorization)
    app.add_middleware(Gate, admission=service.admission)
    if authenticator:
        app.add_middleware(Authentication, rules=rules, authenticator=authenticator, admission=service.admission)
    app.add_middleware(Draining, service=service)
    return app


def _store(settings: Settings) -> RecipeStore | None:
    if settings.recipe_store is None:
        return None
    limits = {"max_recipes": settings.recipe_store_recipes, "max_bytes": settings.recipe_store_bytes}
    return RecipeStore(settings.recipe_store, **limits)


class CrossOrigin(CORSMiddleware):
    """CORS, whose every answer tells caches that it varies: Starlette's do where a request has an allowed origin, but a
    page must not be given what was cached for one without any.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_varying(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "origin" not in headers.get("Vary", "").lower():
                    headers.add_vary_header("Origin")
            await send(message)

        await super().__call__(scope, receive, send_varying)


class _Application(DescribedAPI):
    """Observed from outside: also where it answers to an error of its own."""

    def build_middleware_stack(self) -> ASGIApp:
        service: Service = self.state.service
        app = hub_surface(
            s3_surface(super().build_middleware_stack(), asks_for_keys=self.state.authenticator is not None)
        )
        return Observation(app, service.metrics, service.tracing)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    with service.threads():
        await service.check_backend()
        await service.admission.open()
        watch = asyncio.create_task(service.watch_backend())
        try:
            yield
        finally:
            watch.cancel()
            # Requests that the server has just cancelled take some turns of the event loop to end, and be told of.
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            await service.admission.close()
            service.tracing.close()
