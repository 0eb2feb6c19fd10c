"""Settings: everything an operator may choose, each with a safe default."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fanin.tensor import MAX_RANK
from fanin_service import tracing

PREFIX = "FANIN_"
OF_THE_LIBRARY = frozenset({"FANIN_SIMD", "FANIN_TOKEN"})
"""Variables that begin as settings do and are read by the library."""
_SECRETS = frozenset({"limits_url"})
"""Settings that may have a password in them."""
_MIB = 1 << 20

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""How tokens may be signed: by a private key, so that what checks them cannot make them (RFC 7518 section 3.1)."""


class SettingsError(Exception):
    """Settings that the service cannot start with; says of each its name and what is allowed."""

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("; ".join(complaints))


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _origin(text: str) -> str:
    """An origin (RFC 6454 section 6.2), or `*` for all."""
    if text != "*" and not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:.]+\](:[0-9]+)?", text):
        raise ValueError("an origin is such as https://example.org, in lower case, without a path; or * for all")
    return text


def _provider_url(text: str) -> str:
    """Keys that come over plain HTTP could be anybody's."""
    parts = urlsplit(text)
    if not parts.hostname or (parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname))):
        raise ValueError("the URL begins with https://, or is of this machine")
    return text


def _network(text: str) -> str:
    """What uvicorn believes forwarded headers of."""
    if text != "*":
        ip_network(text, strict=False)
    return text


def _redis_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("the URL begins with redis:// or rediss:// and names a host")
    try:
        _ = parts.port
        int(parts.path.strip("/") or 0)
    except ValueError:
        raise ValueError("port and database are numbers") from None
    for package in ("limits", "redis"):
        if find_spec(package) is None:
            raise ValueError(f"this needs the package {package}: pip install 'fanin[redis]'")
    return text


def is_loopback(host: str) -> bool:
    """Only this machine reaches it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Settings(BaseSettings):
    """Read from environment variables FANIN_<NAME>; `fanin serve --<name>` wins over them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    host: Annotated[str, Field(min_length=1, description="Address to listen on; 0.0.0.0 or :: for every one.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Field(ge=0, le=65535, description="TCP port; 0 takes any free one.")] = 8000
    workers: Annotated[
        int, Field(ge=1, le=1024, description="Processes that serve, each with its own event loop and threads.")
    ] = 1
    access: Annotated[
        Literal["open", "keys", "jwt", "keys+jwt"] | None,
        Field(
            description="Who may use the service: open (whoever reaches it), keys, jwt, or keys+jwt."
            " Without it, open on a loopback address; any other needs a decision."
        ),
    ] = None
    keys_file: Annotated[
        Path | None, Field(description="File of API keys, made by fanin keys; changes are seen within a second or two.")
    ] = None
    jwt_issuer: Annotated[str | None, Field(min_length=1, description="What the claim iss of a token must be.")] = None
    jwt_audience: Annotated[str | None, Field(min_length=1, description="What the claim aud must be, or have.")] = None
    jwt_jwks_url: Annotated[
        Annotated[str, AfterValidator(_provider_url)] | None,
        Field(description="Where the identity provider has its public keys: its JWKS URL, with https://."),
    ] = None
    jwt_algorithms: Annotated[
        tuple[Algorithm, ...],
        NoDecode,
        BeforeValidator(_split),
        Field(min_length=1, description="How tokens may be signed, separated by commas; none of them symmetric."),
    ] = ("RS256", "ES256", "EdDSA")
    jwt_leeway_seconds: Annotated[
        int, Field(ge=0, le=600, description="How far the clocks of provider and service may differ.")
    ] = 30
    cors_origins: Annotated[
        tuple[Annotated[str, AfterValidator(_origin)], ...],
        NoDecode,
        BeforeValidator(_split),
        Field(description="Origins whose pages may call the service from a browser, separated by commas; * for all."),
    ] = ()
    tls_cert: Annotated[
        Path | None, Field(description="Certificate in PEM, with its chain: serves HTTPS only. Needs a key.")
    ] = None
    tls_key: Annotated[Path | None, Field(description="The certificate's private key in PEM, not encrypted.")] = None
    tls_client_ca: Annotated[
        Path | None, Field(description="Authorities in PEM: every client must have a certificate by one of them.")
    ] = None
    admin_host: Annotated[
        str, Field(min_length=1, description="Address of the second port; access is decided as for the first.")
    ] = "127.0.0.1"
    admin_port: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            description="Second TCP port, for health and metrics, which answers while the service ends;"
            " metrics are then there alone. No client certificate is asked for.",
        ),
    ] = None
    backend: Annotated[
        str | None, Field(description="What generates: its name, or none for the fastest usable, a GPU included.")
    ] = None
    backend_fallback: Annotated[
        bool, Field(description="Use another backend where the named one does not work, rather than refuse to start.")
    ] = False
    check_seconds: Annotated[
        int, Field(ge=1, le=86_400, description="How often the backend has to pass its known-answer test.")
    ] = 60
    max_recipe_bytes: Annotated[
        ByteSize, Field(ge=1, description="Largest request body, and largest recipe written out.")
    ] = ByteSize(8 * _MIB)
    max_tensors: Annotated[int, Field(ge=1, description="Most tensors in a recipe.")] = 100_000
    max_laws: Annotated[
        int, Field(ge=1, description="Most different tensors, by shape and parameters, in a recipe.")
    ] = 10_000
    max_rank: Annotated[int, Field(ge=0, le=MAX_RANK, description="Most axes of a tensor.")] = 8
    max_file_bytes: Annotated[
        ByteSize,
        Field(ge=1, description="Largest file; costs no memory, since files are generated while they are sent."),
    ] = ByteSize(1 << 50)
    max_matrix_elements: Annotated[
        int, Field(ge=1, description="Most elements of an orthogonal tensor, which is made whole for any part of it.")
    ] = 1 << 24
    matrix_bytes: Annotated[
        ByteSize, Field(ge=0, description="Memory for orthogonal tensors that were made; the newest always stays.")
    ] = ByteSize(256 * _MIB)
    max_digest_bytes: Annotated[
        ByteSize, Field(ge=1, description="Largest file whose digests are computed: they cost as much as sending it.")
    ] = ByteSize(64 << 30)
    registry_recipes: Annotated[
        int, Field(ge=1, description="Recipes remembered by digest; the least recently used go first.")
    ] = 10_000
    registry_bytes: Annotated[
        ByteSize, Field(ge=1, description="Memory that remembered recipes may take, roughly; the newest always stays.")
    ] = ByteSize(256 * _MIB)
    recipe_store: Annotated[
        Path | None,
        Field(description="Directory of registered recipes, for the workers and other servers that share it."),
    ] = None
    recipe_store_recipes: Annotated[
        int, Field(ge=1, description="Recipes kept in the store; those not registered for the longest time go first.")
    ] = 100_000
    recipe_store_bytes: Annotated[ByteSize, Field(ge=1, description="Bytes of recipes kept in the store.")] = ByteSize(
        1024 * _MIB
    )
    trusted_proxies: Annotated[
        tuple[Annotated[str, AfterValidator(_network)], ...],
        NoDecode,
        BeforeValidator(_split),
        Field(
            description="Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed,"
            " separated by commas; * for every one."
        ),
    ] = ("127.0.0.1", "::1")
    client_requests_per_minute: Annotated[
        int | None, Field(ge=1, description="Requests of one client in a minute; a client is a key, or an address.")
    ] = None
    client_bytes_per_day: Annotated[
        ByteSize | None, Field(ge=1, description="Bytes of weights for one client in a UTC day, unless its key says.")
    ] = None
    client_streams: Annotated[
        int | None, Field(ge=1, description="Answers with weights under way to one client, in one process.")
    ] = None
    client_in_flight_bytes: Annotated[
        ByteSize | None, Field(ge=1, description="Bytes still to be sent in those to one client, in one process.")
    ] = None
    max_streams: Annotated[
        int, Field(ge=1, description="Answers with weights under way in one process; each takes up to 5 MiB.")
    ] = 1024
    max_in_flight_bytes: Annotated[
        ByteSize | None, Field(ge=1, description="Bytes still to be sent in all answers of one process.")
    ] = None
    max_answer_bytes: Annotated[
        ByteSize | None, Field(ge=1, description="Bytes of weights in one answer; larger files come in ranges.")
    ] = None
    limits_url: Annotated[
        Annotated[str, AfterValidator(_redis_url)] | None,
        Field(
            description="Redis where requests and bytes a day are counted for all processes together,"
            " redis://[[user]:password@]host[:port][/db] or rediss://; needs fanin[redis]."
        ),
    ] = None
    limits_fallback: Annotated[
        Literal["local", "refuse"],
        Field(description="While that Redis is away: count in each process, or refuse requests with 503."),
    ] = "local"
    stall_seconds: Annotated[
        int, Field(ge=1, le=86_400, description="A client that takes no byte for this long is cut off.")
    ] = 60
    head_seconds: Annotated[
        int, Field(ge=1, le=3600, description="A request whose head takes longer is refused with 408.")
    ] = 10
    body_rate: Annotated[
        ByteSize,
        Field(ge=1, description="A request body of fewer bytes a second, over 10 seconds, is refused with 408."),
    ] = ByteSize(1024)
    keep_alive_seconds: Annotated[
        int,
        Field(
            ge=1, le=86_400, description="How long an idle connection stays open; a proxy should close its own sooner."
        ),
    ] = 75
    drain_seconds: Annotated[
        int,
        Field(ge=0, le=3600, description="How long a stopping server, not ready any more, still takes new requests."),
    ] = 0
    shutdown_seconds: Annotated[
        int, Field(ge=0, le=86_400, description="How long after that it lets running answers go on.")
    ] = 30
    log_format: Annotated[
        Literal["console", "json"], Field(description="Log lines: text for people, or one JSON object each.")
    ] = "console"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level that is logged.")
    ] = "info"
    traces: Annotated[
        bool, Field(description="Send OpenTelemetry traces, as the standard variables OTEL_* say; needs fanin[otel].")
    ] = False

    @field_validator("traces")
    @classmethod
    def _can_be_sent(cls, value: bool) -> bool:
        if value and (package := tracing.missing()):
            raise ValueError(f"traces need the package {package}: pip install 'fanin[otel]'")
        return value

    @property
    def uses_keys(self) -> bool:
        return self.access in ("keys", "keys+jwt")

    @property
    def uses_jwt(self) -> bool:
        return self.access in ("jwt", "keys+jwt")

    @property
    def counts_clients(self) -> bool:
        """A limit may hold for what a client does over time; keys may have one of their own."""
        limits = (self.client_requests_per_minute, self.client_bytes_per_day)
        return self.uses_keys or any(limit is not None for limit in limits)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        complaints = [*self._undecided(), *self._unused(), *self._unpaired()]
        if complaints:
            raise ValueError("; ".join(complaints))
        return self

    def _undecided(self) -> Iterator[str]:
        hosts = {"host": self.host} | ({} if self.admin_port is None else {"admin_host": self.admin_host})
        for name, host in hosts.items():
            if self.access is None and not is_loopback(host):
                yield (
                    f"{variable('access')}: say who may use the service, since others can reach it by"
                    f" {variable(name)}={host}: keys, jwt, keys+jwt, or open for whoever does"
                )

    def _unused(self) -> Iterator[str]:
        """A setting without effect is a wish that is not met, and this one may be for protection."""
        needed = {"keys_file": self.uses_keys} | dict.fromkeys(
            ("jwt_issuer", "jwt_audience", "jwt_jwks_url"), self.uses_jwt
        )
        for name, is_needed in needed.items():
            is_given = getattr(self, name) is not None
            if is_given != is_needed:
                state = f"is needed with {self.access}" if is_needed else f"has no effect with {self.access or 'none'}"
                yield f"{variable(name)}: {state} as {variable('access')}"

    def _unpaired(self) -> Iterator[str]:
        if (self.tls_cert is None) != (self.tls_key is None):
            yield f"{variable('tls_cert')}, {variable('tls_key')}: the one needs the other"
        if self.tls_client_ca is not None and self.tls_cert is None:
            yield f"{variable('tls_client_ca')}: needs {variable('tls_cert')}"
        if "admin_host" in self.model_fields_set and self.admin_port is None:
            yield f"{variable('admin_host')}: needs {variable('admin_port')}"
        if self.admin_port and self.admin_port == self.port:
            yield f"{variable('admin_port')}: must differ from {variable('port')}"


def read(given: Mapping[str, Any]) -> Settings:
    """The settings of the environment, and of `given`, options of the command line, which win.

    Raises:
        SettingsError: one is wrong, or there is none of this name.
    """
    known = OF_THE_LIBRARY | {variable(name) for name in Settings.model_fields}
    unknown = [name for name in os.environ if name.startswith(PREFIX) and name not in known]
    if unknown:
        raise SettingsError([_misnomer(name, known) for name in sorted(unknown)])
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError([_complaint(details, given) for details in error.errors()]) from None


def option(name: str) -> str:
    """The command line's option for a setting."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment variable for a setting."""
    return PREFIX + name.upper()


def default_text(name: str) -> str:
    """The default of a setting as one would write it; empty where there is none."""
    default = Settings.model_fields[name].default
    match default:
        case None | ():
            return ""
        case bool():
            return str(default).lower()
        case ByteSize():
            return re.sub(r"\.0(?=\D)", "", default.human_readable())
        case tuple():
            return ",".join(default)
        case _:
            return str(default)


def _misnomer(name: str, known: frozenset[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"{name}: there is no such setting" + (f"; is {close[0]} meant?" if close else "")


def _complaint(details: Any, given: Mapping[str, Any]) -> str:
    message = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        return str(message)
    name = str(details["loc"][0])
    where = option(name) if name in given else variable(name)
    found = "" if name in _SECRETS else f", not {details['input']!r}"
    return f"{where}: {message[0].lower()}{message[1:]}{found}"
