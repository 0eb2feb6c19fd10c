"""Access: who may call what. Every route says it where it is defined; what does not, does not start.

Without a good key nothing can be learnt: not even which paths there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from starlette.datastructures import MutableHeaders
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanin_service.access.keys import PREFIX, KeyFileError, KeyRing
from fanin_service.access.principal import KEY, Principal, Right, principal_of, sufficient
from fanin_service.admission.middleware import Admission
from fanin_service.http import problems
from fanin_service.http.problems import ForbiddenError, RequestError, UnauthenticatedError
from fanin_service.settings import Settings, SettingsError, variable
from fanin_service.telemetry.request import current

if TYPE_CHECKING:
    from fanin_service.access.jwt import TokenChecker

Endpoint = TypeVar("Endpoint", bound=Callable[..., object])

_NEEDED = "fanin.needed"
"""Where an ASGI scope has the right that its request needs; None on a public route, empty where there is no route."""
_MODEL = "fanin.model"
"""Where an ASGI scope has the name of the model in its path."""
_NAME = "name"
"""The path parameter that names the model, of every route that needs `models:write`."""
_RULES: dict[object, Right | None] = {}
"""By endpoint: the right that a request needs, or None for a route that is public."""


def requires(right: Right) -> Callable[[Endpoint], Endpoint]:
    """Marks an endpoint that needs a right."""

    def mark(endpoint: Endpoint) -> Endpoint:
        _RULES[endpoint] = right
        return endpoint

    return mark


def public(endpoint: Endpoint) -> Endpoint:
    """Marks an endpoint that anybody may call."""
    _RULES[endpoint] = None
    return endpoint


def right_for(route: BaseRoute) -> Right | None:
    """The right that a route needs, or None if it is public.

    Raises:
        RuntimeError: nobody has said.
    """
    if not isinstance(route, Route) or route.endpoint not in _RULES:
        raise RuntimeError(f"{route} has no access rule: mark its endpoint with @requires(...) or @public")
    return _RULES[route.endpoint]


Rules = Sequence[tuple[BaseRoute, Right | None]]
"""Routes in the order in which they are tried, each with the right that it needs."""


def rules(routes: Iterable[BaseRoute]) -> Rules:
    """The rules of all these routes.

    Raises:
        RuntimeError: one has none.
    """
    return [(route, right_for(route)) for route in routes]


class Authenticator:
    """Finds out whose a bearer token is: an API key's, or one of an identity provider."""

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            SettingsError: the key file cannot be used, or a package is missing.
        """
        self._keys = _key_ring(settings) if settings.uses_keys else None
        self._tokens = _token_checker(settings) if settings.uses_jwt else None

    async def principal(self, authorization: list[str]) -> Principal:
        """Who sent a request with these Authorization headers.

        Raises:
            UnauthenticatedError: that cannot be told.
            TokenUncheckedError: that cannot be told now.
        """
        if not authorization:
            raise UnauthenticatedError("send a key as Authorization: Bearer ...")
        scheme, _, token = authorization[0].partition(" ")
        token = token.strip()
        if len(authorization) > 1 or scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("the Authorization header is not one Bearer and one key", "invalid_token")
        if self._keys and (self._tokens is None or token.startswith(PREFIX)):
            return self._keys.principal(token)
        assert self._tokens
        return await self._tokens.principal(token)


class Authentication:
    """ASGI middleware that finds out who sends a request, or refuses it, before any of its body is read."""

    def __init__(self, app: ASGIApp, rules: Rules, authenticator: Authenticator, admission: Admission) -> None:
        self._app, self._rules, self._authenticator, self._admission = app, rules, authenticator, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = ((right, *route.matches(scope)) for route, right in self._rules)
        matched = ((right, child) for right, match, child in found if match is Match.FULL)
        # A path that matches no route is answered by routing, to a client that is known.
        needed, child = next(matched, ("", {}))
        scope[_NEEDED], scope[_MODEL] = needed, child.get("path_params", {}).get(_NAME)
        if needed is None:
            await self._app(scope, receive, send)
            return
        try:
            principal = scope[KEY] = await self._principal(scope)
        except RequestError as error:
            await problems.answer(error)(scope, receive, send)
            return
        current().client = principal.name
        await self._app(scope, receive, _private(send))

    async def _principal(self, scope: Scope) -> Principal:
        authorization = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        try:
            return await self._authenticator.principal(authorization)
        except UnauthenticatedError:
            if authorization:
                await self._admission.count_failed_login(scope)
            raise


class Authorization:
    """ASGI middleware, behind `Authentication`: refuses what a principal may not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        needed, principal = scope.get(_NEEDED), principal_of(scope)
        if needed and principal.scopes.isdisjoint(allowed := sufficient(needed, scope[_MODEL])):
            scopes = " or ".join(allowed)
            error = ForbiddenError(f"the key of {principal.name} lacks a scope: this needs the scope {scopes}", needed)
            await problems.answer(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _private(send: Send) -> Send:
    """Caches that others share must not answer for us (RFC 9111 section 5.2.2.7)."""

    async def send_private(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if "public" in headers.get("Cache-Control", ""):
                headers["Cache-Control"] = headers["Cache-Control"].replace("public", "private")
        await send(message)

    return send_private


def authenticator(settings: Settings) -> Authenticator | None:
    """What finds out who sends a request; None where anybody may.

    Raises:
        SettingsError: the key file cannot be used, or a package is missing.
    """
    return Authenticator(settings) if settings.uses_keys or settings.uses_jwt else None


def _key_ring(settings: Settings) -> KeyRing:
    assert settings.keys_file
    try:
        return KeyRing(settings.keys_file)
    except KeyFileError as error:
        raise SettingsError([f"{variable('keys_file')}: {error}"]) from None


def _token_checker(settings: Settings) -> TokenChecker:
    try:
        from fanin_service.access.jwt import ProviderKeys, TokenChecker
    except ModuleNotFoundError as error:
        reason = (
            f"jwt needs a package that is not installed: {error}; in a checkout of Fanin, pip install '.[service,jwt]'"
        )
        raise SettingsError([f"{variable('access')}: {reason}"]) from None
    assert settings.jwt_jwks_url
    assert settings.jwt_issuer
    assert settings.jwt_audience
    return TokenChecker(
        ProviderKeys(settings.jwt_jwks_url),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithms=settings.jwt_algorithms,
        leeway_seconds=settings.jwt_leeway_seconds,
    )
