"""JSON web tokens (RFC 7519) of an OpenID Connect provider. PyJWT verifies them with the provider's keys."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args

import jwt
from jwt.types import Options

from fanin_service.access.errors import TokenUncheckedError, UnauthenticatedError
from fanin_service.access.jwks import fetch
from fanin_service.access.principal import Principal
from fanin_service.settings.types import Algorithm

FRESH_SECONDS = 300.0
"""Age in seconds at which the provider's keys are fetched again. The current keys remain in use meanwhile."""
STALE_SECONDS = 3600.0
"""Age in seconds from which keys are not used. The provider may have withdrawn one while it was unreachable."""
COOLDOWN_SECONDS = 10.0
"""Minimum time between two fetches, in seconds: anybody can send tokens of unknown keys."""
TIMEOUT_SECONDS = 5.0
"""Maximum duration of a fetch in seconds, from the look-up of the host's name to the last byte."""
MAX_TOKEN_CHARACTERS = 8192
MAX_KEYS_BYTES = 1 << 20
MAX_SUBJECT_CHARACTERS = 255
"""Limit of OpenID Connect Core section 2. Counts and logs contain the subject."""

_ALGORITHMS: tuple[str, ...] = get_args(Algorithm)
_OF_RSA = tuple(each for each in _ALGORITHMS if each.startswith(("RS", "PS")))

Keys = dict[str, dict[str, jwt.PyJWK]]
"""A provider's keys, by key id and by the algorithm that they verify."""

_log = logging.getLogger("uvicorn.error")


class ProviderKeys:
    """The public keys at a JWKS URL (RFC 7517), fetched in the background and cached.

    PyJWT's own client blocks the event loop, and it repeats a failed fetch at once. Only its parser is used.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: Keys = {}
        self._fetched = self._tried = -math.inf
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def get(self, identifier: str) -> Mapping[str, jwt.PyJWK] | None:
        """Return the key with this id, by each algorithm that it verifies; None if the provider has no such key.

        Raises:
            TokenUncheckedError: the provider is unreachable.
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
        """Return the seconds until the next fetch is allowed."""
        return self._tried + COOLDOWN_SECONDS - time.monotonic()

    def _start_fetch(self) -> asyncio.Task[None] | None:
        """Return the fetch that waiting requests share; None if the last one ended within `COOLDOWN_SECONDS`."""
        if self._fetching is None and self._cooling() <= 0:
            self._fetching = asyncio.create_task(self._refresh())
        return self._fetching

    async def _fetch(self) -> None:
        fetching = self._start_fetch()
        if fetching is not None:
            # Without the shield, a client that disconnects would cancel the fetch for all others.
            await asyncio.shield(fetching)

    async def _refresh(self) -> None:
        try:
            text = await fetch(self._url, seconds=TIMEOUT_SECONDS, max_bytes=MAX_KEYS_BYTES)
            self._keys = await asyncio.to_thread(_parse, text)
            self._fetched, self._failed = time.monotonic(), False
        except (OSError, jwt.PyJWTError, ValueError, RecursionError) as error:
            self._failed = True
            _log.error("the keys of %s are unavailable: %s", self._url, error)
        finally:
            self._tried, self._fetching = time.monotonic(), None


def _parse(text: bytes) -> Keys:
    """Return the keys of a JWK set that can verify tokens. Takes milliseconds for a large set.

    Raises:
        ValueError: the text is not a JWK set, or no key in it can verify tokens.
    """
    document = json.loads(text)
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("it is not a JSON object with a list of keys")
    found: Keys = {}
    for member in members:
        # Keys may share an id if they are of different types (RFC 7517 section 4.5).
        for key in _usable(member) if isinstance(member, dict) else ():
            found.setdefault(member["kid"], {})[key.algorithm_name] = key
    if not found:
        raise ValueError("no key in it can verify tokens")
    return found


def _usable(member: dict[str, Any]) -> Iterator[jwt.PyJWK]:
    """Yield a member of a JWK set, once for each algorithm that it verifies.

    An RSA key that names no algorithm verifies all RSA algorithms (RFC 7517 section 4.4). PyJWT treats it as RS256
    only.
    """
    if not isinstance(member.get("kid"), str) or not member["kid"] or member.get("use") not in (None, "sig"):
        return
    operations = member.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        # This key is for another use, such as encryption (RFC 7517 section 4.3).
        return
    named = member.get("alg")
    if named is not None and named not in _ALGORITHMS:
        return
    for algorithm in _OF_RSA if named is None and member.get("kty") == "RSA" else (named,):
        with suppress(jwt.PyJWTError):
            key = jwt.PyJWK(member, algorithm)
            if key.algorithm_name in _ALGORITHMS:
                yield key


class TokenChecker:
    """Identifies the principal of a token."""

    def __init__(
        self, keys: ProviderKeys, *, issuer: str, audience: str, algorithms: Sequence[str], leeway_seconds: int
    ) -> None:
        """`algorithms` are the signature algorithms that are accepted; none may be symmetric."""
        self._keys = keys
        self._issuer, self._audience, self._leeway = issuer, audience, leeway_seconds
        self._algorithms = list(algorithms)
        self._options: Options = {
            "require": ["exp", "iss", "aud", "sub"],
            "strict_aud": False,
            "enforce_minimum_key_length": True,
        }

    async def principal(self, token: str) -> Principal:
        """Return the principal of a token. Its scopes are those of the claims `scope` (RFC 8693) or `scp`.

        Raises:
            UnauthenticatedError: the token is invalid here.
            TokenUncheckedError: the keys that verify it are unavailable.
        """
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise UnauthenticatedError(f"a token has at most {MAX_TOKEN_CHARACTERS} characters", "invalid_token")
        try:
            header = jwt.get_unverified_header(token)
            algorithm, identifier = header.get("alg"), header.get("kid")
            # Check this before the key is looked up: a token that cannot be valid must not cause a fetch.
            if algorithm not in self._algorithms:
                raise jwt.InvalidAlgorithmError(f"tokens must be signed with {', '.join(self._algorithms)} here")
            if not identifier:
                raise jwt.InvalidTokenError("it names no key (kid)")
            keys = await self._keys.get(identifier)
            if keys is None:
                raise jwt.InvalidKeyError("its key (kid) is not among the provider's")
            if algorithm not in keys:
                raise jwt.InvalidAlgorithmError(f"its key (kid) is for {', '.join(keys)}, not for {algorithm}")
            claims = jwt.decode(
                token,
                keys[algorithm],
                self._algorithms,
                self._options,
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
            )
            subject = claims["sub"]
            if not subject.strip():
                # All clients with an empty subject would share one principal, its limits and its rights.
                raise jwt.InvalidTokenError("its subject is empty")
            if any("\ud800" <= letter <= "\udfff" for letter in subject):
                # JSON can express half of a surrogate pair, which cannot be stored or sent as UTF-8.
                raise jwt.InvalidTokenError("its subject is not Unicode text")
            if len(subject) > MAX_SUBJECT_CHARACTERS:
                raise jwt.InvalidTokenError(f"its subject has more than {MAX_SUBJECT_CHARACTERS} characters")
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise UnauthenticatedError(f"this token is not valid: {error}", "invalid_token") from None
        name = "".join(letter if letter.isprintable() else "?" for letter in subject)
        return Principal(f"jwt:{subject}", name, _scopes(claims), None, "jwt")


def _scopes(claims: dict[str, Any]) -> frozenset[str]:
    """Return the words of a text, or the members of a list. Anything else grants no scope."""
    scopes = claims.get("scope", claims.get("scp", ()))
    if isinstance(scopes, str):
        return frozenset(scopes.split())
    return frozenset(each for each in scopes if isinstance(each, str)) if isinstance(scopes, list) else frozenset()
