"""The authenticator: identifies the client by its API key or its token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fanin_service.access.errors import UnauthenticatedError
from fanin_service.access.keys import PREFIX, KeyFileError, KeyRing
from fanin_service.access.principal import Principal
from fanin_service.settings import Settings, SettingsError, variable

if TYPE_CHECKING:
    from fanin_service.access.jwt import TokenChecker


class Authenticator:
    """Identifies clients by bearer tokens: API keys, or tokens of an identity provider."""

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            SettingsError: the key file cannot be used, or a package is missing.
        """
        self._keys = _key_ring(settings) if settings.uses_keys else None
        self._tokens = _token_checker(settings) if settings.uses_jwt else None

    async def principal(self, authorization: list[str]) -> Principal:
        """Return the principal that sent a request with these Authorization headers.

        Raises:
            UnauthenticatedError: no valid key or token is given.
            TokenUncheckedError: the token cannot be verified now.
        """
        if not authorization:
            raise UnauthenticatedError("send a key as Authorization: Bearer ...")
        scheme, _, token = authorization[0].partition(" ")
        token = token.strip()
        if len(authorization) > 1 or scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("the Authorization header must be Bearer and one key", "invalid_token")
        if self._keys and (self._tokens is None or token.startswith(PREFIX)):
            return self._keys.principal(token)
        assert self._tokens
        return await self._tokens.principal(token)


def authenticator(settings: Settings) -> Authenticator | None:
    """Return the authenticator that the settings describe; None if access is open.

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
