"""API keys: made, kept as hashes in a file, looked up.

A key is `fanin_<id>_<secret>`; the secret is 256 random bits. The file keeps SHA-256 of the whole key. A password hash
would be no safer: it slows down guessing, and nobody guesses 256 random bits; it would cost each request its time.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from fanin.atomic import replacing
from fanin_service.access.errors import UnauthenticatedError
from fanin_service.access.principal import Principal
from fanin_service.access.scopes import check_scope

PREFIX = "fanin_"
RELOAD_SECONDS = 1.0
"""How long a change of the file may go unnoticed."""
_FORM = re.compile(r"fanin_([0-9a-f]{12})_[0-9a-f]{64}", re.ASCII)
_NO_HASH = "0" * 64

_log = logging.getLogger("uvicorn.error")


class KeyFileError(Exception):
    """The key file cannot be used; says what to do."""


class UnknownKeyError(ValueError):
    """No key of this id, or of this name, is in the file."""


class KeyRecord(BaseModel):
    """What is kept of a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$")]
    scopes: tuple[Annotated[str, AfterValidator(check_scope)], ...]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", repr=False)]
    created: AwareDatetime
    expires: AwareDatetime | None
    bytes_per_day: Annotated[int, Field(ge=0)] | None
    revoked: AwareDatetime | None = None

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class _KeyFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: tuple[KeyRecord, ...] = ()


def read(path: Path) -> tuple[KeyRecord, ...]:
    """The keys in the file.

    Raises:
        KeyFileError: it cannot be read, is damaged, or others may write to it.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}; `fanin keys create` makes it") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyFileError(f"{path} can be written by others, who could add keys: chmod go-w it")
    try:
        return _KeyFile.model_validate_json(text).keys
    except ValidationError as error:
        # Without the input: it may be anything, a key too.
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise KeyFileError(f"{path} is not a key file: {where}: {first['msg']}") from None


def create(
    path: Path,
    name: str,
    scopes: Sequence[str],
    *,
    expires: datetime | None = None,
    bytes_per_day: int | None = None,
) -> tuple[str, KeyRecord]:
    """Add a key to the file, which is made if there is none. Returns the key itself, which is kept nowhere.

    Raises:
        KeyFileError: the file is damaged, or others may write to it.
        ValueError: the name or a scope is not one.
        OSError: the file cannot be written.
    """
    identifier = secrets.token_hex(6)
    key = f"{PREFIX}{identifier}_{secrets.token_hex(32)}"
    now = datetime.now(UTC).replace(microsecond=0)
    record = KeyRecord(
        id=identifier,
        name=name,
        scopes=tuple(scopes),
        sha256=_hash(key),
        created=now,
        expires=expires,
        bytes_per_day=bytes_per_day,
    )
    with _locked(path):
        _write(path, (*(read(path) if path.exists() else ()), record))
    return key, record


def revoke(path: Path, which: str) -> list[KeyRecord]:
    """Revoke the key of this id, or every key of this name; returns them. They stay in the file, to be told of.

    Raises:
        UnknownKeyError: there is none that is not yet revoked.
        KeyFileError: the file cannot be read, is damaged, or others may write to it.
        OSError: the file cannot be written.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    with _locked(path):
        records = read(path)
        meant = [record for record in records if which in (record.id, record.name) and record.revoked is None]
        if not meant:
            raise UnknownKeyError(f"no key has the id or the name {which!r} and is not yet revoked")
        _write(path, tuple(each.model_copy(update={"revoked": now}) if each in meant else each for each in records))
    return meant


class KeyRing:
    """The keys of a file, as it is now: changes are seen within `RELOAD_SECONDS`."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            KeyFileError: the file cannot be used.
        """
        self._path = path
        self._version = _version(path)
        self._records = _by_id(read(path))
        self._looked = time.monotonic()

    def principal(self, token: str) -> Principal:
        """Whose key this is.

        Raises:
            UnauthenticatedError: nobody's, or one that is not good any more.
        """
        self._refresh()
        found = _FORM.fullmatch(token)
        if found is None:
            raise UnauthenticatedError("this is not a key: it has the form fanin_<id>_<secret>", "invalid_token")
        record = self._records.get(found[1])
        # The same work whether or not the id is known.
        is_right = hmac.compare_digest(_hash(token), record.sha256 if record else _NO_HASH)
        if record is None or not is_right:
            raise UnauthenticatedError("this key is unknown", "invalid_token")
        state = record.state(datetime.now(UTC))
        if state != "active":
            raise UnauthenticatedError(f"this key is {state}", "invalid_token")
        return Principal(f"key:{record.id}", record.name, frozenset(record.scopes), record.bytes_per_day, "key")

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._looked < RELOAD_SECONDS:
            return
        self._looked = now
        version = _version(self._path)
        if version == self._version:
            return
        # A damaged file is told of once, not at every look.
        self._version = version
        try:
            self._records = _by_id(read(self._path))
        except KeyFileError as error:
            _log.error("the keys stay as they were: %s", error)
        else:
            _log.info("%d keys read", len(self._records))


def _by_id(records: tuple[KeyRecord, ...]) -> dict[str, KeyRecord]:
    return {record.id: record for record in records}


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _version(path: Path) -> tuple[int, ...] | None:
    """Changes when the file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among those who change the file. The lock is a file beside it: the file itself is replaced."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, records: tuple[KeyRecord, ...]) -> None:
    """All or nothing, for the owner only."""
    path = path.resolve()  # a link stays one
    text = _KeyFile(keys=records).model_dump_json(indent=2) + "\n"
    with replacing(path, private=True) as file:
        file.write(text.encode())
