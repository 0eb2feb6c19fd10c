"""Buckets: objects in a bucket of S3, or of a store with its protocol."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotSupportedError, PreconditionError
from obstore.store import from_url

from fanin_service.models.objects import ObjectsError

if TYPE_CHECKING:
    from obstore import PutMode

_NOT_IMPLEMENTED = "501 Not Implemented"
"""Part of obstore's message if a store has no conditional writes."""
_CONNECT, _ANSWER, _RETRY = timedelta(seconds=5), timedelta(seconds=30), timedelta(seconds=10)


class BucketObjects:
    """Objects below a prefix of a bucket. The environment variables AWS_* give the region, endpoint and credentials."""

    def __init__(self, url: str) -> None:
        """`url` is s3://bucket or s3://bucket/prefix.

        Raises:
            ObjectsError: the environment variables are invalid.
        """
        try:
            self._store = from_url(
                url,
                # A private endpoint may be http://; AWS's never is.
                client_options={"connect_timeout": _CONNECT, "timeout": _ANSWER, "allow_http": True},
                retry_config={"max_retries": 3, "retry_timeout": _RETRY},
            )
        except BaseError as error:
            raise _failure(error) from error

    def get(self, key: str) -> bytes | None:
        try:
            return obstore.get(self._store, key).bytes().to_bytes()
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _failure(error) from error

    def put(self, key: str, content: bytes) -> None:
        try:
            # Upload in one request: readers then never see a part of the object.
            obstore.put(self._store, key, content, use_multipart=False)
        except (BaseError, OSError) as error:
            raise _failure(error) from error

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        try:
            mode: PutMode = "create"
            if old is not None:
                found = obstore.get(self._store, key)
                mode = {"e_tag": found.meta["e_tag"]}
                if found.bytes().to_bytes() != old:
                    return False
            obstore.put(self._store, key, new, use_multipart=False, mode=mode)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            return False
        except (BaseError, OSError) as error:
            if not (isinstance(error, NotSupportedError) or _NOT_IMPLEMENTED in str(error)):
                raise _failure(error) from error
            # A store without conditional writes. Two processes can then both succeed.
            if self.get(key) != old:
                return False
            self.put(key, new)
        return True

    def delete(self, key: str) -> None:
        try:
            obstore.delete(self._store, key)
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise _failure(error) from error

    def modified(self, key: str) -> float | None:
        try:
            return obstore.head(self._store, key)["last_modified"].timestamp()
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise _failure(error) from error

    def sizes(self, group: str | None = None) -> dict[str, int]:
        try:
            pages = obstore.list(self._store, prefix=group)
            return {found["path"]: found["size"] for page in pages for found in page}
        except (BaseError, OSError) as error:
            raise _failure(error) from error

    def groups(self, name: str) -> list[str]:
        return [group for group, _, found in map(_parts, self.sizes()) if found == name]


def _parts(key: str) -> tuple[str, str, str]:
    return key.partition("/")


def _failure(error: Exception) -> ObjectsError:
    """Return an error with the first line of obstore's message; the other lines are internal details."""
    return ObjectsError(str(error).partition("\n")[0])
