"""Settings: everything an operator may choose, each with a safe default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ByteSize, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fanin.tensor import MAX_RANK
from fanin_service import tracing

_MIB = 1 << 20


class Settings(BaseSettings):
    """Read from environment variables FANIN_<NAME>; `fanin serve --<name>` wins over them."""

    model_config = SettingsConfigDict(env_prefix="FANIN_", env_ignore_empty=True, frozen=True, extra="forbid")

    host: Annotated[str, Field(min_length=1, description="Address to listen on; 0.0.0.0 or :: for every one.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Field(ge=0, le=65535, description="TCP port; 0 takes any free one.")] = 8000
    workers: Annotated[
        int, Field(ge=1, le=1024, description="Processes that serve, each with its own event loop and threads.")
    ] = 1
    backend: Annotated[
        str | None, Field(description="What generates: its name, or none for the fastest usable, a GPU included.")
    ] = None
    backend_fallback: Annotated[
        bool, Field(description="Use another backend where the named one does not work, rather than refuse to start.")
    ] = False
    check_seconds: Annotated[
        int, Field(ge=1, le=86_400, description="How often the backend has to pass its known-answer test.")
    ] = 60
    max_recipe_bytes: Annotated[ByteSize, Field(ge=1, description="Largest request body.")] = ByteSize(8 * _MIB)
    max_tensors: Annotated[int, Field(ge=1, description="Most tensors in a recipe.")] = 100_000
    max_laws: Annotated[
        int, Field(ge=1, description="Most different tensors, by shape and parameters, in a recipe.")
    ] = 10_000
    max_rank: Annotated[int, Field(ge=0, le=MAX_RANK, description="Most axes of a tensor.")] = 8
    max_file_bytes: Annotated[
        ByteSize,
        Field(ge=1, description="Largest file; costs no memory, since files are generated while they are sent."),
    ] = ByteSize(1 << 50)
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
    stall_seconds: Annotated[
        int, Field(ge=1, le=86_400, description="A client that takes no byte for this long is cut off (Linux only).")
    ] = 60
    shutdown_seconds: Annotated[
        int, Field(ge=0, le=86_400, description="How long a stopping server lets running answers go on.")
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
