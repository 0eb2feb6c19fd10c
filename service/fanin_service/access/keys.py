"""API keys: created, stored as hashes in a file, looked up.

A key is `fanin_<id>_<secret>`; the secret is 256 random bits. The file stores the SHA-256 of the complete key. A
password hash would not be safer: it slows down guessing, and 256 random bits cannot be guessed. It would make every
request slower.
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

from fanin.file.atomic import NO_LOCKS, replacing
from fanin_service.access.errors import UnauthenticatedError
from fanin_service.access.principal import Principal
from fanin_service.access.scopes import check_scope

PREFIX = "fanin_"
RELOAD_SECONDS = 1.0
"""Seconds that a change of the file may remain unnoticed."""
_FORM = re.compile(r"fanin_([0-9a-f]{12})_[0-9a-f]{64}", re.ASCII)
_NO_HASH = "0" * 64

_log = logging.getLogger("uvicorn.error")


class KeyFileError(Exception):
    """The key file cannot be used. The message says what to do."""


class UnknownKeyError(ValueError):
    """The file has no key with this id or name."""


class KeyRecord(BaseModel):
    """The stored record of a key. It has the hash of the key, not the key."""

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
    """Return the keys in the file.

    Raises:
        KeyFileError: the file cannot be read, is damaged, or is writable by others.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except OSError as error:
        raise KeyFileError(f"cannot read {path}: {error.strerror}; `fanin keys create` creates it") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyFileError(f"{path} can be written by others, who could add keys: chmod go-w it")
    try:
        return _KeyFile.model_validate_json(text).keys
    except ValidationError as error:
        # The message must not contain the input, which may be a key.
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
    """Add a key to the file, which is created if it does not exist. Return the key, which is not stored, and its
    record.

    Raises:
        KeyFileError: the file is damaged, or is writable by others.
        ValueError: the name or a scope is invalid.
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
    """Revoke the key with this id, or every key with this name, and return their records.

    They stay in the file, so that clients with such a key get the reason.

    Raises:
        UnknownKeyError: no key has this id or name and is not yet revoked.
        KeyFileError: the file cannot be read, is damaged, or is writable by others.
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
    """The current keys of a file. Changes of the file take effect within `RELOAD_SECONDS`."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            KeyFileError: the file cannot be used.
        """
        self._path = path
        self._version = _version(path)
        self._records = _by_id(read(path))
        self._looked = time.monotonic()
        self._complaint = ""
        """The last error that was logged; empty if the file was read since."""

    def principal(self, token: str) -> Principal:
        """Return the principal of a key.

        Raises:
            UnauthenticatedError: the key is malformed, unknown, expired or revoked.
        """
        self._refresh()
        found = _FORM.fullmatch(token)
        if found is None:
            raise UnauthenticatedError("this is not a key: it has the form fanin_<id>_<secret>", "invalid_token")
        record = self._records.get(found[1])
        # The comparison takes the same time whether or not the id is known, so that timing does not reveal valid ids.
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
        try:
            self._records = _by_id(read(self._path))
        except KeyFileError as error:
            # Read the file again at the next look, although it may not have changed. The cause may be in this process,
            # such as too many open files, and a revoked key must not stay valid. Each error is logged once.
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.error("the keys were not reloaded: %s", error)
        else:
            # The version of before the read: the file may have changed since.
            self._version, self._complaint = version, ""
            _log.info("%d keys read", len(self._records))


def _by_id(records: tuple[KeyRecord, ...]) -> dict[str, KeyRecord]:
    return {record.id: record for record in records}


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _version(path: Path) -> tuple[int, ...] | None:
    """Return a value that differs after any change of the file; None if the file cannot be examined."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock for changes of the key file.

    The lock is a separate file. The key file is replaced at each change, and a lock on it would be lost with the old
    one. On a file system without locks there is none: then the later of two changes at the same time replaces the
    earlier one.
    """
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, records: tuple[KeyRecord, ...]) -> None:
    """Replace the file in one step, with access for its owner only."""
    path = path.resolve()  # replace the target of a symbolic link, not the link
    text = _KeyFile(keys=records).model_dump_json(indent=2) + "\n"
    with replacing(path, private=True) as file:
        file.write(text.encode())
