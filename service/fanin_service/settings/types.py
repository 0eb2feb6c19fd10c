"""Types of settings: the values of each, and how texts express them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr
from pydantic_settings import NoDecode

_OF_TRACES = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.exporter.otlp.proto.http")
"""Packages that traces need. Each contains the next, so they are looked up in this order."""

_ALIAS = re.compile("[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_BUCKETS = ("s3", "gs", "az")
"""Schemes of the URLs of buckets that artifacts can be written to."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to this host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _origin(text: str) -> str:
    if text != "*" and not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:.]+\](:[0-9]+)?", text):
        raise ValueError("an origin is like https://example.org, in lower case, without a path; or * for all")
    return text


def _root_path(text: str) -> str:
    names = text.split("/")[1:]
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text) or {".", ".."} & set(names):
        raise ValueError("a root path is like /team/weights: slashes, each before a name of A-Z a-z 0-9 . _ ~ -")
    return text


def _network(text: str) -> str:
    if text != "*":
        ip_network(text, strict=False)
    return text


def _parts(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        ValueError: the text is not a URL.
    """
    parts = urlsplit(url)
    _ = parts.port
    return parts


def _provider_url(text: str) -> str:
    parts = _parts(text)
    # Keys that arrive over plain HTTP could be anybody's.
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname))):
        raise ValueError("the URL must begin with https://, or be of this machine")
    if parts.username is not None:
        raise ValueError("the URL must not have a user or a password, because it is public")
    return text


def _redis_url(secret: SecretStr) -> SecretStr:
    try:
        parts = _parts(secret.get_secret_value())
        int(parts.path.strip("/") or 0)
    except ValueError:
        raise ValueError("port and database must be numbers") from None
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("the URL must begin with redis:// or rediss:// and name a host")
    for package in ("limits", "redis"):
        if find_spec(package) is None:
            raise ValueError(
                f"this needs the package {package}: in a checkout of Fanin, pip install '.[service,redis]'"
            )
    return secret


def _place(text: str | Path) -> Path:
    # An empty path is the current directory. A variable that is set to nothing must not choose that.
    if not str(text).strip():
        raise ValueError("a path must not be empty")
    return Path(text)


def _store_place(text: str) -> str:
    scheme, separator, _ = text.partition("://")
    if separator and scheme != "s3":
        raise ValueError("must be a directory, or a URL that begins with s3://")
    if separator and not urlsplit(text).hostname:
        raise ValueError("the URL names no bucket")
    if separator and find_spec("obstore") is None:
        raise ValueError("this needs the package obstore: in a checkout of Fanin, pip install '.[service,s3]'")
    return text


def _aliases(value: object) -> object:
    """Return the value of a JSON object, as the environment and the command line express it."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object of directories or URLs by alias")
    return found


def is_alias(text: str) -> bool:
    """Return whether a destination of artifacts can have this alias."""
    return _ALIAS.fullmatch(text) is not None


def _alias(text: str) -> str:
    if not is_alias(text):
        raise ValueError(f"the alias {text!r} must have 1 to 63 of a-z, 0-9, . _ - and begin with a letter or a digit")
    return text


def _destination(place: str) -> str:
    """Return the place of artifacts unchanged.

    Raises:
        ValueError: it is neither a directory nor the URL of a bucket, or has more than a bucket and a prefix.
    """
    scheme, separator, _ = place.partition("://")
    if not separator:
        return str(_place(place))
    if scheme not in _BUCKETS:
        raise ValueError(
            f"must be a directory, or a URL that begins with {', '.join(f'{each}://' for each in _BUCKETS)}"
        )
    parts = _parts(place)
    if not parts.hostname:
        raise ValueError("the URL names no bucket")
    if parts.username is not None or parts.query or parts.fragment:
        # Clients see the URL, and so does the log.
        raise ValueError("the URL must have a bucket and a prefix only; credentials belong in the environment")
    package = "boto3" if scheme == "s3" else "obstore"
    if find_spec(package) is None:
        raise ValueError(f"this needs the package {package}: in a checkout of Fanin, pip install '.[service,bucket]'")
    return place


def _engine(name: str) -> str:
    if name == "ray" and find_spec("ray") is None:
        raise ValueError("this needs the package ray: in a checkout of Fanin, pip install '.[service,ray]'")
    return name


def _can_be_sent(traces: bool) -> bool:
    if traces and (package := next((name for name in _OF_TRACES if find_spec(name) is None), None)):
        raise ValueError(f"traces need the package {package}: in a checkout of Fanin, pip install '.[service,otel]'")
    return traces


T = TypeVar("T")

Place = Annotated[Path, BeforeValidator(_place)]
"""The path of a file or a directory."""
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[ByteSize, Field(ge=1)]
"""A size in bytes, with or without a unit: `8MiB`, `1TB`."""
Port = Annotated[int, Field(ge=0, le=65535)]
CommaSeparated = Annotated[tuple[T, ...], NoDecode, BeforeValidator(_split)]
Origin = Annotated[str, AfterValidator(_origin)]
"""An origin (RFC 6454 section 6.2), or `*` for all."""
RootPath = Annotated[str, AfterValidator(_root_path)]
"""A path that is written as clients see it: percent encoding would have several spellings."""
Network = Annotated[str, AfterValidator(_network)]
"""A peer whose forwarded headers uvicorn trusts: an address, a network, or `*` for all."""
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signature algorithms of tokens. All use a private key, so that a verifier cannot sign tokens (RFC 7518 section 3.1).
"""
ProviderUrl = Annotated[str, AfterValidator(_provider_url)]
StorePlace = Annotated[str, Field(min_length=1), AfterValidator(_store_place)]
"""A directory, or the URL of a bucket."""
Alias = Annotated[str, AfterValidator(_alias)]
"""The name of a destination of artifacts, as clients write it."""
Destinations = Annotated[
    Mapping[Alias, Annotated[str, Field(min_length=1), AfterValidator(_destination)]],
    NoDecode,
    BeforeValidator(_aliases),
]
"""Directories, and URLs of buckets, by alias."""
Engine = Annotated[Literal["threads", "ray"], AfterValidator(_engine)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Traces = Annotated[bool, AfterValidator(_can_be_sent)]
