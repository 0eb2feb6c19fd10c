"""JSON web tokens (RFC 7519) of an OpenID Connect provider, checked by PyJWT against the provider's keys."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

import jwt
from jwt.types import Options

from fanin_service.jwks import fetch
from fanin_service.principal import Principal
from fanin_service.problems import TokenUncheckedError, UnauthenticatedError

FRESH_SECONDS = 300.0
"""Age at which the provider's keys are fetched again, while those at hand go on being used ..."""
STALE_SECONDS = 3600.0
"""... until they are so old: if the provider was away for so long, it may have withdrawn one."""
COOLDOWN_SECONDS = 10.0
"""Least time between two fetches: anybody can send tokens of unknown keys."""
TIMEOUT_SECONDS = 5.0
"""The longest that a fetch takes, from the look-up of the host's name to the last byte."""
MAX_TOKEN_CHARACTERS = 8192
MAX_KEYS_BYTES = 1 << 20
MAX_SUBJECT_CHARACTERS = 255
"""By OpenID Connect Core section 2; counts and logs have it."""

_log = logging.getLogger("uvicorn.error")


class ProviderKeys:
    """The public keys at a JWKS URL (RFC 7517), fetched in the background and kept.

    PyJWT's own client blocks, and does not hold back after a failure; its parser is used.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._tried = -math.inf
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, identifier: str) -> jwt.PyJWK | None:
        """The key of this id, or None if the provider has none.

        Raises:
            TokenUncheckedError: the provider cannot be asked.
        """
        age = time.monotonic() - self._fetched
        known = self._keys.get(identifier) if age < STALE_SECONDS else None
        if known is None:
            await self._fetch()
            known = self._keys.get(identifier)
        elif age > FRESH_SECONDS:
            self._start_fetch()
        if self._failed and (known is None or time.monotonic() - self._fetched >= STALE_SECONDS):
            raise TokenUncheckedError(self._cooling())
        return known

    def _cooling(self) -> float:
        """Seconds until the provider may be asked again."""
        return self._tried + COOLDOWN_SECONDS - time.monotonic()

    def _start_fetch(self) -> asyncio.Task[None] | None:
        """One fetch for all who wait; none soon after the last."""
        if self._fetching is None and self._cooling() <= 0:
            self._fetching = asyncio.create_task(self._refresh())
        return self._fetching

    async def _fetch(self) -> None:
        fetching = self._start_fetch()
        if fetching is not None:
            # A client that leaves does not end it for the others.
            await asyncio.shield(fetching)

    async def _refresh(self) -> None:
        try:
            text = await fetch(self._url, seconds=TIMEOUT_SECONDS, max_bytes=MAX_KEYS_BYTES)
            self._keys = await asyncio.to_thread(_parse, text)
            self._fetched, self._failed = time.monotonic(), False
        except (OSError, jwt.PyJWTError, ValueError, RecursionError) as error:
            self._failed = True
            _log.error("the keys of %s cannot be had: %s", self._url, error)
        finally:
            self._tried, self._fetching = time.monotonic(), None


def _parse(text: bytes) -> dict[str, jwt.PyJWK]:
    """The keys of a JWK set by their ids. Takes milliseconds for a large set."""
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    found = jwt.PyJWKSet.from_dict(document)
    return {key.key_id: key for key in found if key.key_id and key.public_key_use in (None, "sig")}


class TokenChecker:
    """Finds out whose a token is."""

    def __init__(
        self, keys: ProviderKeys, *, issuer: str, audience: str, algorithms: Sequence[str], leeway_seconds: int
    ) -> None:
        """`algorithms` are those a token may be signed with; none may be symmetric."""
        self._keys = keys
        self._issuer, self._audience, self._leeway = issuer, audience, leeway_seconds
        self._algorithms = list(algorithms)
        self._options: Options = {
            "require": ["exp", "iss", "aud", "sub"],
            "strict_aud": False,
            "enforce_minimum_key_length": True,
        }

    async def principal(self, token: str) -> Principal:
        """Whose token this is; its scopes are those of the claims `scope` (RFC 8693) or `scp`.

        Raises:
            UnauthenticatedError: it is not good here.
            TokenUncheckedError: the keys that it must be checked with cannot be had.
        """
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise UnauthenticatedError(f"a token has at most {MAX_TOKEN_CHARACTERS} characters", "invalid_token")
        try:
            header = jwt.get_unverified_header(token)
            algorithm, identifier = header.get("alg"), header.get("kid")
            # Before its key is looked for: nobody is made to fetch anything by a token that cannot be good.
            if algorithm not in self._algorithms:
                raise jwt.InvalidAlgorithmError(f"tokens are signed with {', '.join(self._algorithms)} here")
            if not identifier:
                raise jwt.InvalidTokenError("it names no key (kid)")
            key = await self._keys.get(identifier)
            if key is None:
                raise jwt.InvalidKeyError("its key (kid) is not among the provider's")
            claims = jwt.decode(
                token,
                key,
                self._algorithms,
                self._options,
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
            )
            subject = claims["sub"]
            if not subject.strip():
                # All such clients would be one.
                raise jwt.InvalidTokenError("its subject is empty")
            if len(subject) > MAX_SUBJECT_CHARACTERS:
                raise jwt.InvalidTokenError(f"its subject has more than {MAX_SUBJECT_CHARACTERS} characters")
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise UnauthenticatedError(f"this token is not good here: {error}", "invalid_token") from None
        name = "".join(letter if letter.isprintable() else "?" for letter in subject)
        return Principal(f"jwt:{subject}", name, _scopes(claims), None, "jwt")


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Words of a string, or members of a list; anything else allows nothing."""
    scopes = claims.get("scope", claims.get("scp", ()))
    if isinstance(scopes, str):
        return frozenset(scopes.split())
    return frozenset(each for each in scopes if isinstance(each, str)) if isinstance(scopes, list) else frozenset()
