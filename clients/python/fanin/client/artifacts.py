"""Artifacts that a service writes: requested, waited for, cancelled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

from fanin.client.runtime import run
from fanin.client.service import Service
from fanin.errors import ArtifactError, ServiceError
from fanin.file.disk import byte_bar
from fanin.recipe import RecipeLike, as_recipe

FIRST_SECONDS, MOST_SECONDS = 0.25, 10.0
"""Seconds before the second look at an artifact, and most seconds between two."""
_FINAL = ("cancelled", "failed", "spoiled")
"""States from which waiting does not help."""


@dataclass(frozen=True, slots=True)
class ArtifactStatus:
    """The state of an artifact, from its destination. Bytes are those of tensors, without headers."""

    id: str
    """SHA-256 of the request: equal requests have one artifact."""
    destination: str
    """Alias of the destination."""
    url: str
    """Directory, or URL of the bucket and prefix, that has the files."""
    state: str
    """`writing`, `complete`, `cancelled`, `stopped`, `failed` or `spoiled`."""
    recipe: str
    """Digest of the recipe."""
    format: str
    shard_size: int | None
    items: int
    """Files of weights."""
    items_done: int
    bytes: int
    bytes_done: int
    problem: str | None
    """Why it was stopped, or has failed: last part of a problem's type."""
    detail: str | None

    @property
    def is_complete(self) -> bool:
        """True if all files are there."""
        return self.state == "complete"

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Return the status in a response of the service.

        Raises:
            ServiceError: the response is not a status.
        """
        found: dict[str, Any] = {}
        for field in fields(cls):
            value = document.get(field.name)
            allowed = _TYPES[str(field.type)]
            if not isinstance(value, allowed) or isinstance(value, bool):
                raise ServiceError(f"the service sent {field.name} {value!r:.80} of an artifact")
            found[field.name] = value
        return cls(**found)

    @property
    def path(self) -> str:
        """Path of the artifact below the root of the service."""
        return f"v1/artifacts/{self.destination}/{self.id}"


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "str | None": (str, type(None)),
    "int | None": (int, type(None)),
}


def request_of(
    recipe: RecipeLike | None, destination: str, model: str | None, revision: str | None, format: str, shard_size: Any
) -> bytes:
    """Return the body of the request for an artifact.

    Raises:
        ValueError: not exactly one of `recipe` and `model` is given.
        RecipeError: the recipe is wrong.
    """
    if (recipe is None) == (model is None):
        raise ValueError("an artifact needs either recipe or model")
    optional = {"model": model, "revision": revision, "shard_size": shard_size}
    asked = {"destination": destination, "format": format}
    asked |= {name: value for name, value in optional.items() if value is not None}
    text = json.dumps(asked).encode()
    return text if recipe is None else b'%s, "recipe": %s}' % (text[:-1], as_recipe(recipe).canonical)


class Following:
    """One artifact of a service, as coroutines over the runtime of a client."""

    def __init__(self, service: Service, request: bytes, status: ArtifactStatus) -> None:
        self._service, self._request = service, request
        self.latest = status
        """The newest known status."""

    @classmethod
    async def begin(cls, service: Service, request: bytes) -> Self:
        """Request an artifact."""
        return cls(service, request, ArtifactStatus.read(await service.post_artifact(request)))

    async def status(self) -> ArtifactStatus:
        self.latest = ArtifactStatus.read(await self._service.get_artifact(self.latest.path))
        return self.latest

    async def cancel(self) -> ArtifactStatus:
        self.latest = ArtifactStatus.read(await self._service.delete_artifact(self.latest.path))
        return self.latest

    async def wait(self, progress: bool | None, now: Callable[[], float] = time.monotonic) -> ArtifactStatus:
        """Wait until the artifact is complete. Request it again if nothing happens: its server may have ended."""
        policy, runtime = self._service.retries, self._service.connection.runtime
        seconds, since, requests = FIRST_SECONDS, now(), 0
        status, done = self.latest, 0
        with byte_bar(status.bytes, "artifact", progress) as bar:
            while True:
                if status.bytes_done > done:
                    since, requests = now(), 0
                    bar.update(status.bytes_done - done)
                    done = status.bytes_done
                if status.is_complete:
                    return status
                if status.state in _FINAL:
                    raise ArtifactError(f"artifact {status.id} is {status.state}: {status.detail or status.problem}")
                await runtime.sleep(seconds)
                seconds = min(seconds * 1.5, MOST_SECONDS)
                is_stopped = status.state == "stopped"
                if is_stopped or now() - since > policy.patience:
                    requests += is_stopped
                    if requests > policy.attempts:
                        raise ArtifactError(
                            f"artifact {status.id} does not advance, after {policy.attempts} further requests:"
                            f" {status.detail or status.state}"
                        )
                    # A server that responds with `writing` does write: a file may take longer than the patience.
                    since = now()
                    status = self.latest = ArtifactStatus.read(await self._service.post_artifact(self._request))
                else:
                    status = await self.status()


class RemoteArtifact:
    """An artifact that a service writes. The service does not need this object: nothing needs to be closed."""

    def __init__(self, following: Following) -> None:
        """Use `Client.artifact`."""
        self._following = following

    @property
    def id(self) -> str:
        """SHA-256 of the request: equal requests have one artifact."""
        return self._following.latest.id

    @property
    def url(self) -> str:
        """Directory, or URL of the bucket and prefix, that has the files."""
        return self._following.latest.url

    def status(self) -> ArtifactStatus:
        """Return its state now.

        Raises:
            ServiceError: the request failed.
        """
        return run(self._following.status())

    def wait(self, progress: bool | None = None) -> ArtifactStatus:
        """Wait until it is complete. If the server that writes it ends, request it again.

        Args:
            progress: Whether to show a progress bar in bytes; by default on a terminal only.

        Raises:
            ArtifactError: it was cancelled, it failed, or it does not advance.
            ServiceError: a request failed.
        """
        return run(self._following.wait(progress))

    def cancel(self) -> ArtifactStatus:
        """Cancel it; return its state. Its files remain, and the same request resumes from there.

        Raises:
            RefusedError: it is complete.
            ServiceError: the request failed.
        """
        return run(self._following.cancel())


class AsyncRemoteArtifact:
    """As `RemoteArtifact`, with coroutines."""

    def __init__(self, following: Following) -> None:
        """Use `AsyncClient.artifact`."""
        self._following = following

    @property
    def id(self) -> str:
        """As `RemoteArtifact.id`."""
        return self._following.latest.id

    @property
    def url(self) -> str:
        """As `RemoteArtifact.url`."""
        return self._following.latest.url

    async def status(self) -> ArtifactStatus:
        """As `RemoteArtifact.status`."""
        return await self._following.status()

    async def wait(self, progress: bool | None = None) -> ArtifactStatus:
        """As `RemoteArtifact.wait`."""
        return await self._following.wait(progress)

    async def cancel(self) -> ArtifactStatus:
        """As `RemoteArtifact.cancel`."""
        return await self._following.cancel()
