"""Settings of the service, each with a safe default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import ByteSize, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fanin.schemes.base import MAX_RANK
from fanin_service.settings.types import (
    Algorithm,
    CommaSeparated,
    Count,
    Destinations,
    Engine,
    Network,
    Origin,
    Place,
    Port,
    ProviderUrl,
    RedisUrl,
    RootPath,
    Size,
    StorePlace,
    Text,
    Traces,
    is_loopback,
)

PREFIX = "FANIN_"
_MIB = 1 << 20


class SettingsError(Exception):
    """The service cannot start with these settings. The message names each setting and what it allows."""

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("; ".join(complaints))


def variable(name: str) -> str:
    """Return the name of the environment variable of a setting."""
    return PREFIX + name.upper()


class Settings(BaseSettings):
    """Settings from environment variables FANIN_<NAME>; an option `fanin serve --<name>` takes precedence.

    The docstrings below are the meanings in `fanin serve --help` and docs/configuration.md.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    # Addresses and processes.
    host: Text = "127.0.0.1"
    """Address to listen on. 0.0.0.0 or :: listens on all addresses."""
    port: Port = 8000
    """TCP port to listen on. 0 uses any free port."""
    workers: Annotated[int, Field(ge=1, le=1024)] = 1
    """Number of server processes, each with its own event loop and threads."""

    # Access.
    access: Literal["open", "keys", "jwt", "keys+jwt"] | None = None
    """Clients that may use the service: open (all that reach the address), keys, jwt, or keys+jwt. Default on a
    loopback address: open. Required on any other address."""
    keys_file: Place | None = None
    """File of API keys, written by fanin keys. The service reads a changed file within two seconds."""
    jwt_issuer: Text | None = None
    """Required value of a token's claim iss."""
    jwt_audience: Text | None = None
    """Required value, or member, of a token's claim aud."""
    jwt_jwks_url: ProviderUrl | None = None
    """JWKS URL of the identity provider's public keys, with https://."""
    jwt_algorithms: Annotated[CommaSeparated[Algorithm], Field(min_length=1)] = ("RS256", "ES256", "EdDSA")
    """Accepted signature algorithms of tokens, separated by commas. All are asymmetric."""
    jwt_leeway_seconds: Annotated[int, Field(ge=0, le=600)] = 30
    """Allowed difference in seconds between the clocks of the provider and the service."""
    failed_logins_per_minute: Count = 60
    """Requests with an invalid key or token that an address may send per minute. More get 429. Valid keys and tokens
    are always accepted."""
    cors_origins: CommaSeparated[Origin] = ()
    """Origins whose pages may call the service from a browser, separated by commas. * allows all."""
    root_path: RootPath | None = None
    """Path below which a proxy has the service, such as /team/weights, whether the proxy removes it or forwards it. It
    is in the Location of responses and in the OpenAPI document."""
    tls_cert: Place | None = None
    """Certificate in PEM, with its chain. The service then speaks only HTTPS. Requires FANIN_TLS_KEY."""
    tls_key: Place | None = None
    """Private key of the certificate in PEM, not encrypted."""
    tls_client_ca: Place | None = None
    """Certificate authorities in PEM. Every client must then present a certificate that one of them signed."""
    admin_host: Text = "127.0.0.1"
    """Address of the second port. FANIN_ACCESS applies as to the first port."""
    admin_port: Port | None = None
    """Second TCP port, for health and metrics. It responds until the service has stopped, and metrics are then
    available only there. It requires no client certificate."""

    # Backend.
    backend: str | None = None
    """Name of the backend that generates. Default: the fastest usable one, GPUs included."""
    backend_fallback: bool = False
    """Use another backend if the named one does not work. By default the service refuses to start."""
    check_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    """Seconds between known-answer tests of the backend."""

    # Limits of requests.
    max_recipe_bytes: Size = ByteSize(8 * _MIB)
    """Maximum size of a recipe, both as it is sent and after ranges in names are expanded."""
    max_held_bytes: Size = ByteSize(256 * _MIB)
    """Maximum memory of one process for request bodies, for recipes while they are parsed, and for descriptions while
    they are sent. One client gets at most a quarter, or one largest recipe or model."""
    max_tensors: Count = 100_000
    """Maximum number of tensors in a recipe."""
    max_distributions: Count = 10_000
    """Maximum number of different tensors in a recipe, by shape and parameters. Each block of a tensor, and each 4
    values of a table, count as one."""
    max_rank: Annotated[int, Field(ge=0, le=MAX_RANK)] = 8
    """Maximum number of axes of a tensor."""
    max_file_bytes: Size = ByteSize(1 << 50)
    """Maximum size of a file. A large file costs no memory, because it is generated while it is sent."""
    max_matrix_elements: Count = 1 << 24
    """Maximum number of elements of an orthogonal tensor. A part of one needs memory for all of it. A shorter side
    below 64 counts as 64."""
    matrix_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(256 * _MIB)
    """Maximum memory for generated orthogonal tensors. The newest one always stays."""
    max_digest_bytes: Size = ByteSize(64 << 30)
    """Maximum size of a file whose digests are computed. Digests cost as much as sending the file."""

    # Caches and stores.
    registry_recipes: Count = 10_000
    """Maximum number of recipes cached in memory. The client with the most loses its least recently used one first."""
    registry_bytes: Size = ByteSize(256 * _MIB)
    """Maximum memory for cached recipes. The newest one always stays."""
    recipe_store: Place | None = None
    """Directory of registered recipes, shared by workers, and by other servers that use the same directory."""
    recipe_store_recipes: Count = 100_000
    """Maximum number of recipes in the recipe store. The one not registered for the longest time is deleted first."""
    recipe_store_bytes: Size = ByteSize(1024 * _MIB)
    """Maximum size of the recipe store."""
    model_store: StorePlace | None = None
    """Place of named models: a directory, or s3://bucket/prefix, which requires fanin[s3]. Several servers can share
    it. Default: a temporary directory, deleted when the service stops."""
    model_store_bytes: Size = ByteSize(10 << 30)
    """Maximum size of the model store."""
    models: Place | None = None
    """Directory of models to load at the start: namespace/name/recipe.json, with the model's other files beside it."""
    model_uploads: bool = True
    """Allow clients to upload and delete models. With false, the only models are those of FANIN_MODELS, and replicas
    need no shared store."""
    catalogue: bool = False
    """Serve the models of the library's catalogue as catalogue/NAME. They are read-only, take no space in the model
    store, and hide stored models with such names. The limits of recipes do not apply to them."""
    max_model_bytes: Size = ByteSize(64 * _MIB)
    """Maximum size of a model with all its files."""
    max_model_files: Annotated[int, Field(ge=0, le=1000)] = 100
    """Maximum number of files of a model, besides its recipe."""

    # Artifacts.
    artifact_destinations: Destinations = {}
    """Places where clients may have artifacts written, as a JSON object by alias: {"weights": "s3://bucket/prefix"}. A
    place is a directory, or the URL of a bucket: s3://, gs:// or az://, which requires fanin[bucket]. Several servers
    can share it. Default: none."""
    artifact_engine: Engine = "threads"
    """Writers of the files of artifacts: threads of this process, or a Ray cluster, which requires fanin[ray]."""
    artifact_ray_address: Text | None = None
    """Address of the Ray cluster, such as ray://head:10001 or auto. Default: a local Ray in this process."""
    artifact_threads: Count = 1
    """Threads of one process that write artifacts. Each takes a CPU. For each bucket, parts in flight take up to 100
    MB of memory."""
    client_artifacts: Count = 4
    """Maximum artifacts that one process writes at a time for one client."""
    max_artifacts: Count = 32
    """Maximum artifacts that one process writes at a time."""

    # Limits of clients.
    trusted_proxies: CommaSeparated[Network] = ("127.0.0.1", "::1")
    """Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted, separated by commas. *
    trusts all."""
    client_requests_per_minute: Count | None = None
    """Maximum requests of one client per minute. A client is a key, a token's subject, or an address."""
    client_bytes_per_day: Size | None = None
    """Maximum bytes of weights for one client per UTC day. The quota of a key takes precedence."""
    client_streams: Count | None = None
    """Maximum responses with weights in flight to one client, in one process."""
    client_in_flight_bytes: Size | None = None
    """Maximum unsent bytes of the responses in flight to one client, in one process."""
    max_streams: Count = 1024
    """Maximum responses with weights in flight in one process. Each takes up to 5 MiB of memory."""
    max_in_flight_bytes: Size | None = None
    """Maximum unsent bytes of all responses in flight in one process."""
    max_answer_bytes: Size | None = None
    """Maximum bytes of weights in one response. Larger files must be requested in ranges."""
    limits_url: RedisUrl | None = None
    """Redis that counts requests, invalid keys and bytes per day for all processes together:
    redis://[[user]:password@]host[:port][/db] or rediss://. Requires fanin[redis]."""
    limits_fallback: Literal["local", "refuse"] = "local"
    """While Redis is unreachable: local counts in each process, refuse responds 503."""

    # Slow clients and shutdown.
    stall_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    """Seconds after which a client that reads nothing is disconnected."""
    head_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    """Maximum seconds to receive the head of a request. A slower request gets 408."""
    body_rate: Size = ByteSize(1024)
    """Minimum bytes per second of a request body, averaged over 10 seconds. A slower request gets 408."""
    keep_alive_seconds: Annotated[int, Field(ge=1, le=86_400)] = 75
    """Seconds that an idle connection stays open. A proxy in front must close its connections sooner."""
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Seconds during which a stopping service is not ready but still accepts requests."""
    shutdown_seconds: Annotated[int, Field(ge=0, le=86_400)] = 30
    """Maximum seconds after that for responses in flight to end."""

    # Logs and traces.
    log_format: Literal["console", "json"] = "console"
    """Format of log lines: console is text for people, json is one JSON object a line."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""
    traces: Traces = False
    """Export OpenTelemetry traces, configured by the standard variables OTEL_*. Requires fanin[otel]."""

    @property
    def uses_keys(self) -> bool:
        return self.access in ("keys", "keys+jwt")

    @property
    def uses_jwt(self) -> bool:
        return self.access in ("jwt", "keys+jwt")

    @property
    def counts_clients(self) -> bool:
        """True if requests are counted per client or address: always where keys or tokens are required."""
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
                    f"{variable('access')}: choose who may use the service, because others can reach it at"
                    f" {variable(name)}={host}: keys, jwt, keys+jwt, or open for everyone"
                )

    def _unused(self) -> Iterator[str]:
        """Yield settings that are missing, and settings without effect: the operator may rely on their protection."""
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
            yield f"{variable('tls_cert')}, {variable('tls_key')}: each needs the other"
        if self.tls_client_ca is not None and self.tls_cert is None:
            yield f"{variable('tls_client_ca')}: needs {variable('tls_cert')}"
        if self.artifact_ray_address is not None and self.artifact_engine != "ray":
            yield f"{variable('artifact_ray_address')}: needs {variable('artifact_engine')}=ray"
        if "admin_host" in self.model_fields_set and self.admin_port is None:
            yield f"{variable('admin_host')}: needs {variable('admin_port')}"
        if self.admin_port and self.admin_port == self.port:
            yield f"{variable('admin_port')}: must differ from {variable('port')}"
