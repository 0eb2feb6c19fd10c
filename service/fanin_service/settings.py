"""Settings: everything an operator may choose, each with a safe default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fanin.tensor import MAX_RANK
from fanin_service.setting_types import (
    Algorithm,
    CommaSeparated,
    Count,
    Network,
    Origin,
    Place,
    Port,
    ProviderUrl,
    RedisUrl,
    Size,
    StorePlace,
    Text,
    Traces,
    is_loopback,
)

PREFIX = "FANIN_"
_MIB = 1 << 20


class SettingsError(Exception):
    """Settings that the service cannot start with; says of each its name and what is allowed."""

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("; ".join(complaints))


def variable(name: str) -> str:
    """The environment variable for a setting."""
    return PREFIX + name.upper()


class Settings(BaseSettings):
    """Read from environment variables FANIN_<NAME>; `fanin serve --<name>` wins over them.

    The docstrings below are what `fanin serve --help` and docs/configuration.md say.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    # Where it listens.
    host: Text = "127.0.0.1"
    """Address to listen on; 0.0.0.0 or :: for every one."""
    port: Port = 8000
    """TCP port; 0 takes any free one."""
    workers: Annotated[int, Field(ge=1, le=1024)] = 1
    """Processes that serve, each with its own event loop and threads."""

    # Who may use it.
    access: Literal["open", "keys", "jwt", "keys+jwt"] | None = None
    """Who may use the service: open (whoever reaches it), keys, jwt, or keys+jwt. Without it, open on a loopback
    address; any other needs a decision."""
    keys_file: Place | None = None
    """File of API keys, made by fanin keys; changes are seen within a second or two."""
    jwt_issuer: Text | None = None
    """What the claim iss of a token must be."""
    jwt_audience: Text | None = None
    """What the claim aud must be, or have."""
    jwt_jwks_url: ProviderUrl | None = None
    """Where the identity provider has its public keys: its JWKS URL, with https://."""
    jwt_algorithms: Annotated[CommaSeparated[Algorithm], Field(min_length=1)] = ("RS256", "ES256", "EdDSA")
    """How tokens may be signed, separated by commas; none of them symmetric."""
    jwt_leeway_seconds: Annotated[int, Field(ge=0, le=600)] = 30
    """How far the clocks of provider and service may differ."""
    failed_logins_per_minute: Count = 60
    """Requests of one address in a minute whose key or token is not good, before they are answered 429; good ones are
    let in all the same."""
    cors_origins: CommaSeparated[Origin] = ()
    """Origins whose pages may call the service from a browser, separated by commas; * for all."""
    tls_cert: Place | None = None
    """Certificate in PEM, with its chain: serves HTTPS only. Needs a key."""
    tls_key: Place | None = None
    """The certificate's private key in PEM, not encrypted."""
    tls_client_ca: Place | None = None
    """Authorities in PEM: every client must have a certificate by one of them."""
    admin_host: Text = "127.0.0.1"
    """Address of the second port; access is decided as for the first."""
    admin_port: Port | None = None
    """Second TCP port, for health and metrics, which answers while the service ends; metrics are then there alone. No
    client certificate is asked for."""

    # What generates.
    backend: str | None = None
    """What generates: its name, or none for the fastest usable, a GPU included."""
    backend_fallback: bool = False
    """Use another backend where the named one does not work, rather than refuse to start."""
    check_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    """How often the backend has to pass its known-answer test."""

    # What it takes.
    max_recipe_bytes: Size = ByteSize(8 * _MIB)
    """Largest recipe, as it is sent and written out."""
    max_held_bytes: Size = ByteSize(256 * _MIB)
    """Memory of one process for request bodies and recipes until they are read, and descriptions of recipes until they
    are sent; a quarter of it at most for one client, or its largest recipe."""
    max_tensors: Count = 100_000
    """Most tensors in a recipe."""
    max_laws: Count = 10_000
    """Most different tensors, by shape and parameters, in a recipe. Each block of a tensor, and each 4 values of a
    table, count as one."""
    max_rank: Annotated[int, Field(ge=0, le=MAX_RANK)] = 8
    """Most axes of a tensor."""
    max_file_bytes: Size = ByteSize(1 << 50)
    """Largest file; costs no memory, since files are generated while they are sent."""
    max_matrix_elements: Count = 1 << 24
    """Most elements of an orthogonal tensor, which is made whole for any part of it. A shorter side below 64 counts
    as 64."""
    matrix_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(256 * _MIB)
    """Memory for orthogonal tensors that were made; the newest always stays."""
    max_digest_bytes: Size = ByteSize(64 << 30)
    """Largest file whose digests are computed: they cost as much as sending it."""

    # What it remembers.
    registry_recipes: Count = 10_000
    """Recipes remembered by digest; of the client that has most, the least recently used go first."""
    registry_bytes: Size = ByteSize(256 * _MIB)
    """Memory that remembered recipes may take; the newest always stays."""
    recipe_store: Place | None = None
    """Directory of registered recipes, for the workers and other servers that share it."""
    recipe_store_recipes: Count = 100_000
    """Recipes kept in the store; those not registered for the longest time go first."""
    recipe_store_bytes: Size = ByteSize(1024 * _MIB)
    """Bytes of recipes kept in the store."""
    model_store: StorePlace | None = None
    """Where named models are kept, by several servers if need be: a directory, or s3://bucket/prefix, which needs
    fanin[s3]. Without it they go when the service ends."""
    model_store_bytes: Size = ByteSize(10 << 30)
    """Bytes of models kept in the store."""
    models: Place | None = None
    """Directory of models that are put when the service starts: namespace/name/recipe.json, and other files beside
    it."""
    model_uploads: bool = True
    """Take models from clients and delete them on request. Without it the models are those of FANIN_MODELS alone, and
    replicas need no shared store."""
    max_model_bytes: Size = ByteSize(64 * _MIB)
    """Largest model, with all its files."""
    max_model_files: Annotated[int, Field(ge=0, le=1000)] = 100
    """Most files of a model beside its recipe."""

    # Limits of clients.
    trusted_proxies: CommaSeparated[Network] = ("127.0.0.1", "::1")
    """Addresses or networks of proxies whose X-Forwarded-For and -Proto are believed, separated by commas; * for every
    one."""
    client_requests_per_minute: Count | None = None
    """Requests of one client in a minute; a client is a key, or an address."""
    client_bytes_per_day: Size | None = None
    """Bytes of weights for one client in a UTC day, unless its key says."""
    client_streams: Count | None = None
    """Answers with weights under way to one client, in one process."""
    client_in_flight_bytes: Size | None = None
    """Bytes still to be sent in those to one client, in one process."""
    max_streams: Count = 1024
    """Answers with weights under way in one process; each takes up to 5 MiB."""
    max_in_flight_bytes: Size | None = None
    """Bytes still to be sent in all answers of one process."""
    max_answer_bytes: Size | None = None
    """Bytes of weights in one answer; larger files come in ranges."""
    limits_url: RedisUrl | None = None
    """Redis where requests and bytes a day are counted for all processes together,
    redis://[[user]:password@]host[:port][/db] or rediss://; needs fanin[redis]."""
    limits_fallback: Literal["local", "refuse"] = "local"
    """While that Redis is away: count in each process, or refuse requests with 503."""

    # Slow clients, and the end.
    stall_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    """A client that takes no byte for this long is cut off."""
    head_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """A request whose head takes longer is refused with 408."""
    body_rate: Size = ByteSize(1024)
    """A request body of fewer bytes a second, over 10 seconds, is refused with 408."""
    keep_alive_seconds: Annotated[int, Field(ge=1, le=86_400)] = 75
    """How long an idle connection stays open; a proxy should close its own sooner."""
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """How long a stopping server, not ready any more, still takes new requests."""
    shutdown_seconds: Annotated[int, Field(ge=0, le=86_400)] = 30
    """How long after that it lets running answers go on."""

    # What it tells.
    log_format: Literal["console", "json"] = "console"
    """Log lines: text for people, or one JSON object each."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged."""
    traces: Traces = False
    """Send OpenTelemetry traces, as the standard variables OTEL_* say; needs fanin[otel]."""

    @property
    def uses_keys(self) -> bool:
        return self.access in ("keys", "keys+jwt")

    @property
    def uses_jwt(self) -> bool:
        return self.access in ("jwt", "keys+jwt")

    @property
    def counts_clients(self) -> bool:
        """A limit may hold for what a client does over time; where access is not open, one does for failed logins."""
        limits = (self.client_requests_per_minute, self.client_bytes_per_day)
        return self.uses_keys or self.uses_jwt or any(limit is not None for limit in limits)

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
