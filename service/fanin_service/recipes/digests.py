"""Manifests: the digests of files, each computed once, in the background, and remembered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fanin import BackendError, FileLayout
from fanin.backends import Backend
from fanin.digests import Digester
from fanin_service.fair_executor import FairExecutor
from fanin_service.recipes.errors import DigestsPendingError
from fanin_service.shared_cache import Kept

PATIENCE_SECONDS = 10.0
"""How long a request waits for digests before it is told to come again."""
RETRY_SECONDS = 2
_RETRY = {"Retry-After": str(RETRY_SECONDS)}
MAX_PENDING = 64
"""Files that are digested, a block of each in turn: each costs as much as sending it."""
MAX_PENDING_EACH = 2
"""Of those, for one party: it must not keep all others from theirs."""
MAX_BYTES = 64 << 20
"""Of remembered manifests."""
_PER_MANIFEST = 600

Charge = Callable[[int], Awaitable[None]]
"""Charges bytes that are made and not sent."""


@dataclass(frozen=True, slots=True)
class Known:
    """Digests that are computed."""

    file: bytes
    """SHA-256 of the whole file."""
    text: bytes
    """The manifest as JSON."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """Digests that are being computed."""

    digester: Digester
    task: asyncio.Task[Known]
    party: str


class Manifests:
    """Manifests by recipe digest, bounded in memory. Used by the event loop's thread alone."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: Kept[str, Known] = Kept(max_bytes=MAX_BYTES)
        self._pending: dict[str, _Pending] = {}
        self._turn = asyncio.Lock()
        self._forgotten = 0
        """How often all digests were forgotten."""

    def known(self, layout: FileLayout) -> Known | None:
        """The digests of this layout's file, if they are remembered."""
        return self._known.get(layout.recipe.digest)

    def sha256_of(self, digest: str) -> str | None:
        """SHA-256, in hexadecimal, of the file of the recipe with this digest, if it is remembered."""
        known = self._known.get(digest)
        return None if known is None else known.file.hex()

    def forget(self) -> None:
        """Discard all digests, and those in the making when they are done: they may be of wrong bits."""
        self._known = Kept(max_bytes=MAX_BYTES)
        self._forgotten += 1

    async def get(self, layout: FileLayout, executor: FairExecutor, party: str, charge: Charge) -> Known:
        """The digests of this layout's file, computed in `executor` for `party` if need be, which is then charged.

        A request that goes away does not end the computation: it will come again.

        Raises:
            QuotaExceededError: `charge` says that the party has had too much today.
            DigestsPendingError: they take longer than a request waits; or so many files wait for theirs already, of
                this party or in all.
            BackendError: the backend failed meanwhile.
        """
        if known := self.known(layout):
            return known
        digest = layout.recipe.digest
        if digest not in self._pending:
            own = sum(pending.party == party for pending in self._pending.values())
            if len(self._pending) >= MAX_PENDING or own >= MAX_PENDING_EACH:
                raise DigestsPendingError("the digests of other files are being computed", _RETRY)
            await charge(layout.size)
        if digest not in self._pending:
            digester = Digester(layout, self._backend)
            task = asyncio.create_task(self._compute(layout, digester, executor, party))
            self._pending[digest] = _Pending(digester, task, party)
        digester, task = self._pending[digest].digester, self._pending[digest].task
        done, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
        if not done:
            raise DigestsPendingError(f"{digester.done} of {layout.size} bytes are digested", _RETRY)
        return task.result()

    async def _compute(self, layout: FileLayout, digester: Digester, executor: FairExecutor, party: str) -> Known:
        digest, forgotten = layout.recipe.digest, self._forgotten
        try:
            # One block at a time, of each file in its turn (the lock is first come, first served): neither a large file
            # nor many of them keep a thread from streams, or a small file from its digests.
            more = True
            while more:
                async with self._turn:
                    more = await executor.run(party, digester.step)
            known = await executor.run(party, _known, layout, digester)
            if forgotten != self._forgotten:
                raise BackendError("the backend failed its known-answer test while these digests were computed")
            self._known.add(digest, known, len(known.text) + _PER_MANIFEST, party)
            return known
        finally:
            del self._pending[digest]


def _known(layout: FileLayout, digester: Digester) -> Known:
    """What is remembered of a file that is digested. Takes time for every tensor."""
    manifest = digester.manifest()
    document = {"digest": layout.recipe.digest, "size": layout.size, **manifest.document()}
    return Known(bytes.fromhex(manifest.file), json.dumps(document, ensure_ascii=False).encode())
