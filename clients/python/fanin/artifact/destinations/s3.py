"""A prefix of a bucket of Amazon S3, or of another store with its API, as the destination of an artifact.

boto3 makes the requests, because obstore has no conditional multipart upload: it sends an object that must not exist
in one request, from memory.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
)

from fanin.artifact.destinations.base import Destination
from fanin.artifact.destinations.budget import Budget
from fanin.artifact.destinations.pieces import part_bytes, pieces
from fanin.errors import ArtifactError, DestinationError
from fanin.file.disk import CHUNK

MOST_PARTS = 10_000
BUDGET = 12 * CHUNK
"""Bytes of parts that all uploads of a destination have in memory."""
_SENDERS = 12
"""Parts that are sent at the same time."""
_CONNECT, _READ, _ATTEMPTS = 10, 60, 6
"""Seconds to wait for a connection, and for a response; attempts for a request that fails with 5xx or a broken
connection.
"""
_MAY_PASS = (ConnectionError, CredentialRetrievalError, HTTPClientError, MetadataRetrievalError)
_one_at_a_time = threading.Lock()
"""boto3's default session cannot make two clients at once."""
_EXISTS, _RACE = "PreconditionFailed", "ConditionalRequestConflict"


class S3(Destination):
    """Objects below a prefix of a bucket. boto3 finds region and credentials: environment, files, roles of a machine.

    AWS_ENDPOINT_URL names another store than Amazon's, with the bucket in the path of its URLs.
    """

    def __init__(self, url: str) -> None:
        """`url` is s3://bucket or s3://bucket/prefix.

        Raises:
            ValueError: the URL has no bucket.
            DestinationError: the configuration of boto3 is wrong.
        """
        self._bucket, _, prefix = url.removeprefix("s3://").rstrip("/").partition("/")
        if not self._bucket:
            raise ValueError(f"destination {url!r} names no bucket: use s3://bucket/prefix")
        self.url = f"s3://{self._bucket}/{prefix}".rstrip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        with self._errors("configuration"), _one_at_a_time:
            self._client = boto3.client("s3", region_name=os.environ.get("AWS_REGION"), config=_config())
        self._budget = Budget(BUDGET)
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="fanin-upload")

    def create(
        self, key: str, chunks: Iterable[memoryview], size: int, metadata: Mapping[str, str] | None = None
    ) -> bool:
        given = {**self._at(key), "Metadata": dict(metadata or {})}
        parts = pieces(chunks, part_bytes(size, MOST_PARTS))
        if size <= CHUNK:
            content = next(parts, bytearray())
            _end(parts)
            return self._only_once("PutObject", lambda: self._client.put_object(**given, Body=content, IfNoneMatch="*"))
        with self._errors("CreateMultipartUpload", key):
            upload = self._client.create_multipart_upload(**given)["UploadId"]
        try:
            tags = self._send_all(key, upload, parts, size)
            _end(parts)
            numbered = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
            created = self._only_once(
                "CompleteMultipartUpload",
                lambda: self._client.complete_multipart_upload(
                    **self._at(key), UploadId=upload, MultipartUpload={"Parts": numbered}, IfNoneMatch="*"
                ),
            )
        except BaseException as error:
            self._abort(key, upload)
            # Another driver has created the object, and swept this upload.
            if _code(error.__cause__) == "NoSuchUpload":
                return False
            raise
        if not created:
            self._abort(key, upload)
        return created

    def read(self, key: str, most: int | None = None) -> bytes | None:
        try:
            return self._get(key, most)
        except FileNotFoundError:
            return None

    def range(self, key: str, start: int, stop: int) -> bytes:
        return self._get(key, None, Range=f"bytes={start}-{stop - 1}") if start < stop else b""

    def size(self, key: str) -> int | None:
        try:
            with self._errors("HeadObject", key):
                size: int = self._client.head_object(**self._at(key))["ContentLength"]
                return size
        except DestinationError as error:
            if _status(error.__cause__) == 404:
                return None
            raise

    def objects(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        pages = self._client.get_paginator("list_objects_v2")
        with self._errors("ListObjectsV2"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix + prefix):
                for found in page.get("Contents", ()):
                    # Consoles create an empty object that stands for the prefix itself.
                    if found["Key"] != self._prefix:
                        yield found["Key"][len(self._prefix) :], found["Size"]

    def sweep(self, keys: Iterable[str]) -> None:
        # An upload of a key that exists can never be completed.
        wanted = {self._prefix + key for key in keys}
        pages = self._client.get_paginator("list_multipart_uploads")
        # Not every store can list uploads; a lifecycle rule removes them too.
        with suppress(DestinationError), self._errors("ListMultipartUploads"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Key"] in wanted:
                        self._abort(upload["Key"][len(self._prefix) :], upload["UploadId"])

    def _send_all(self, key: str, upload: str, parts: Iterator[bytearray], size: int) -> list[str]:
        """Send the parts of an object, several at a time, and return their ETags."""
        sent: list[Future[str]] = []
        tags: list[str] = []  # ETags of the first parts, which are complete
        most = part_bytes(size, MOST_PARTS)
        try:
            for start in range(0, size, most):
                length = min(most, size - start)
                # Before the part is generated: it counts from then on.
                with self._budget.held(length) as hold:
                    part = self._senders.submit(self._send, key, upload, len(sent) + 1, [next(parts)])
                    hold.until(part)
                    sent.append(part)
                while len(tags) < len(sent) and sent[len(tags)].done():
                    tags.append(sent[len(tags)].result())
            return [*tags, *(part.result() for part in sent[len(tags) :])]
        except BaseException:
            for each in sent:
                each.cancel()
            for each in sent:
                if not each.cancelled():
                    each.exception()
            raise

    def _send(self, key: str, upload: str, number: int, content: list[bytearray]) -> str:
        """Send the part in `content`, and return its ETag. Taken out, it does not outlive this call in the executor."""
        part = content.pop()
        with self._errors("UploadPart", key):
            tag: str = self._client.upload_part(**self._at(key), UploadId=upload, PartNumber=number, Body=part)["ETag"]
            return tag

    def _only_once(self, operation: str, request: Any) -> bool:
        """Send a conditional request; return whether the object was created by it."""
        try:
            with self._errors(operation):
                request()
        except DestinationError as error:
            # NoSuchUpload: the first attempt of this request created the object, or another process swept the upload.
            if _code(error.__cause__) in (_EXISTS, _RACE, "NoSuchUpload") or _status(error.__cause__) == 412:
                return False
            if _status(error.__cause__) == 501:
                raise ArtifactError(
                    f"{self.url}: this store has no conditional writes (If-None-Match), which an artifact needs"
                ) from error
            raise
        return True

    def _abort(self, key: str, upload: str) -> None:
        with suppress(DestinationError), self._errors("AbortMultipartUpload", key):
            self._client.abort_multipart_upload(**self._at(key), UploadId=upload)

    def _get(self, key: str, most: int | None, **options: str) -> bytes:
        """Return the bytes of an object, or of a range of it.

        Raises:
            FileNotFoundError: it does not exist.
            ArtifactError: it has more than `most` bytes.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._errors("GetObject", key):
                    found = self._client.get_object(**self._at(key), **options)
                    with closing(found["Body"]) as body:
                        self.check_size(key, found["ContentLength"], most)
                        content: bytes = body.read()
                        return content
            except DestinationError as error:
                match _code(error.__cause__):
                    case "InvalidRange":
                        return b""
                    # The second one if the body of the response was cut.
                    case "NoSuchKey" | "404":
                        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), f"{self.url}/{key}") from None
                # boto3 requests again, but does not read again a body that was cut.
                if attempt == _ATTEMPTS or not isinstance(error.__cause__, HTTPClientError):
                    raise
        raise AssertionError

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    @contextmanager
    def _errors(self, operation: str, key: str = "") -> Iterator[None]:
        """Raise errors of boto3 as DestinationError, in one line."""
        where = f"{self.url}/{key}" if key else self.url
        try:
            yield
        except ClientError as error:
            said = error.response.get("Error", {})
            text = f"{said.get('Code', '')}: {said.get('Message', '')} ({_status(error)})"
            status = _status(error)
            raise DestinationError(
                f"{where}: {operation}: {text}", may_pass=status is None or status >= 500 or status in (408, 409, 429)
            ) from error
        except BotoCoreError as error:
            text = " ".join(str(error).split())
            raise DestinationError(f"{where}: {operation}: {text}", may_pass=isinstance(error, _MAY_PASS)) from error


def _config() -> Config:
    options: dict[str, Any] = {}
    is_virtual = os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in ("1", "true")
    if ({"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} & os.environ.keys()) and not is_virtual:
        options["s3"] = {"addressing_style": "path"}
    return Config(
        connect_timeout=_CONNECT,
        read_timeout=_READ,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=2 * _SENDERS,
        # Older stores refuse the checksums that boto3 adds otherwise.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        **options,
    )


def _end(parts: Iterator[bytearray]) -> None:
    """Take the end of an iterator: a digest of all bytes is computed there."""
    if next(parts, None) is not None:
        raise AssertionError("there are more bytes than the size says")


def _code(error: BaseException | None) -> str:
    return str(error.response.get("Error", {}).get("Code")) if isinstance(error, ClientError) else ""


def _status(error: BaseException | None) -> int | None:
    if not isinstance(error, ClientError):
        return None
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status
