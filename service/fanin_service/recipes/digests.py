"""Manifests: the digests of files. Each is computed once, in the background, and cached."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fanin import BackendError, FileLayout
from fanin.backends import Backend
from fanin.file.digests import Digester
from fanin_service.fair_executor import FairExecutor
from fanin_service.recipes.errors import DigestsPendingError
from fanin_service.shared_cache import Kept

PATIENCE_SECONDS = 10.0
"""Maximum seconds that a request waits for digests before the client must retry."""
RETRY_SECONDS = 2
_RETRY = {"Retry-After": str(RETRY_SECONDS)}
MAX_PENDING = 64
"""Maximum number of files whose digests are being computed, a block of each in turn. Each costs as much as sending it.
"""
MAX_PENDING_EACH = 2
"""Maximum number of those for one client, which must not block all others."""
MAX_BYTES = 64 << 20
"""Maximum bytes of cached manifests."""
_PER_MANIFEST = 600

Charge = Callable[[int], Awaitable[None]]
"""Charges bytes that are generated and not sent."""


@dataclass(frozen=True, slots=True)
class Known:
    """The digests of a file."""

    file: bytes
    """SHA-256 of the complete file."""
    text: bytes
    """The manifest as JSON."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """Digests that are being computed."""

    digester: Digester
    task: asyncio.Task[Known]
    client: str


class Manifests:
    """Manifests by recipe digest, in bounded memory. Only the event loop's thread uses it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: Kept[str, Known] = Kept(max_bytes=MAX_BYTES)
        self._pending: dict[str, _Pending] = {}
        self._turn, self._beginning = asyncio.Lock(), asyncio.Lock()
        self._forgotten = 0
        """Number of times that all digests were discarded."""

    def known(self, layout: FileLayout) -> Known | None:
        """Return the digests of this layout's file; None if they are not cached."""
        return self._known.get(layout.recipe.digest)

    def sha256_of(self, digest: str) -> str | None:
        """Return the SHA-256, in hexadecimal, of the file of the recipe with this digest; None if it is not cached."""
        known = self._known.get(digest)
        return None if known is None else known.file.hex()

    def forget(self) -> None:
        """Discard all digests, now and when those in progress are done: they may be those of wrong bits."""
        self._known = Kept(max_bytes=MAX_BYTES)
        self._forgotten += 1

    async def get(self, layout: FileLayout, executor: FairExecutor, client: str, charge: Charge) -> Known:
        """Return the digests of this layout's file. If they are not cached, compute them in `executor` and charge the
        client.

        A client that disconnects does not end the computation: it will repeat the request.

        Raises:
            QuotaExceededError: with these bytes the client would exceed its bytes of the day.
            LimitsUnavailableError: the shared counters are unreachable.
            DigestsPendingError: the computation takes longer than a request waits, or too many files wait for theirs.
            BackendError: the backend failed meanwhile.
        """
        if known := self.known(layout):
            return known
        digest = layout.recipe.digest
        # The charge may wait for the shared counters. Other requests must see what this one begins. Otherwise they are
        # charged for the same file too, or exceed the bounds.
        async with self._beginning:
            if known := self.known(layout):
                return known
            if digest not in self._pending:
                own = sum(pending.client == client for pending in self._pending.values())
                if len(self._pending) >= MAX_PENDING or own >= MAX_PENDING_EACH:
                    raise DigestsPendingError("the digests of other files are being computed", _RETRY)
                await charge(layout.size + layout.source_bytes(0, layout.size))
                digester = Digester(layout, self._backend)
                task = asyncio.create_task(self._compute(layout, digester, executor, client))
                self._pending[digest] = _Pending(digester, task, client)
        digester, task = self._pending[digest].digester, self._pending[digest].task
        done, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        if not done:
            raise DigestsPendingError(f"{digester.done} of {layout.size} bytes are digested", _RETRY)
        return task.result()

    async def _compute(self, layout: FileLayout, digester: Digester, executor: FairExecutor, client: str) -> Known:
        digest, forgotten = layout.recipe.digest, self._forgotten
        try:
            # One block at a time, of each file in turn: the lock serves its waiters in order. So neither a large file
            # nor many files keep a thread from streams, and a small file gets its digests soon.
            more = True
            while more:
                async with self._turn:
                    more = await executor.run(client, digester.step)
            known = await executor.run(client, _known, layout, digester)
            if forgotten != self._forgotten:
                raise BackendError("the backend failed its known-answer test while these digests were computed")
            self._known.add(digest, known, len(known.text) + _PER_MANIFEST, client)
            return known
        finally:
            del self._pending[digest]


def _known(layout: FileLayout, digester: Digester) -> Known:
    """Return the cached form of a completed digest. The time grows with the number of tensors."""
    manifest = digester.manifest()
    document = {"digest": layout.recipe.digest, "size": layout.size, **manifest.document()}
    return Known(bytes.fromhex(manifest.file), json.dumps(document, ensure_ascii=False).encode())
