"""The application: routes, problems and one `Service`, put together from settings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp

from fanin.backends import Backend
from fanin_service import problems
from fanin_service.guard import GuardedBackend, choose
from fanin_service.observation import Observation
from fanin_service.openapi import DescribedAPI
from fanin_service.registry import Registry
from fanin_service.routes import digests, health, metrics, recipes, schemes, weights
from fanin_service.service import Service
from fanin_service.settings import Settings
from fanin_service.store import RecipeStore

_ROUTERS = (weights.router, recipes.router, digests.router, schemes.router, health.router, metrics.router)

_TURNS = 100


def create_app(settings: Settings, backend: Backend | None = None) -> FastAPI:
    """The service with these settings; `backend` generates instead of the one that they name.

    Raises:
        BackendError: the backend that the settings name is unknown, cannot be used here or makes wrong bits.
    """
    guarded = GuardedBackend(backend or choose(settings), settings.check_seconds)
    registry = Registry(max_recipes=settings.registry_recipes, max_bytes=settings.registry_bytes)
    service = Service(settings, guarded, registry, _store(settings))
    app = _Application(
        title="Fanin",
        summary="Initial weights for neural networks from a recipe and a seed: the same bits on every machine.",
        version=version("fanin"),
        lifespan=_lifespan,
        redirect_slashes=False,
        redoc_url=None,
        responses={"default": problems.RESPONSE},
    )
    app.state.service = service
    for router in _ROUTERS:
        app.include_router(router)
    app.state.routes = [*app.routes, *(route for router in _ROUTERS for route in router.routes)]
    problems.install(app)
    return app


def _store(settings: Settings) -> RecipeStore | None:
    if settings.recipe_store is None:
        return None
    limits = {"max_recipes": settings.recipe_store_recipes, "max_bytes": settings.recipe_store_bytes}
    return RecipeStore(settings.recipe_store, **limits)


class _Application(DescribedAPI):
    """Observed from outside: also where it answers to an error of its own."""

    def build_middleware_stack(self) -> ASGIApp:
        service: Service = self.state.service
        return Observation(super().build_middleware_stack(), service.metrics, service.tracing)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    with service.threads():
        await service.check_backend()
        watch = asyncio.create_task(service.watch_backend())
        try:
            yield
        finally:
            watch.cancel()
            # Requests that the server has just cancelled take some turns of the event loop to end, and be told of.
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            service.tracing.close()
