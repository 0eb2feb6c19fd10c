"""Credentials of Amazon S3's clients: signed requests and presigned URLs.

The access key id is the Fanin key. Signatures are not checked. That would need the secret itself, and this service
stores only hashes of keys. A key alone is as good as a password.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.exceptions import HTTPException

PARAMETERS = frozenset(
    {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"}
    | {"X-Amz-Security-Token", "X-Amz-Content-Sha256", "AWSAccessKeyId", "Signature", "Expires"}
)
"""Query parameters of a presigned URL, in signature versions 4 and 2."""
MAX_SECONDS = 7 * 24 * 3600
"""Maximum validity of a URL of version 4, in seconds."""
_SKEW_SECONDS = 15 * 60
"""Maximum seconds by which the clock of the signing client may be ahead."""
_SECONDS = re.compile(r"[0-9]{1,12}")
_WITH_KEY = (
    "this service requires keys, so it refuses presigned URLs: the access key id in the URL is the complete key."
    " Everyone who has seen this URL can use it, so revoke the key"
)


def as_bearer(authorization: str) -> str:
    """Return the Authorization header with the access key id of a signed request as its bearer token."""
    key = _access_key(authorization)
    return f"Bearer {key}" if key else authorization


def _access_key(authorization: str) -> str:
    """Return the access key id in a signature of version 4 or 2; an empty text if there is none.

    The time is linear in the length of the header. Anybody can send it, so no regular expression searches it.
    """
    scheme, *words = authorization.replace(",", " ").split() or [""]
    if scheme == "AWS4-HMAC-SHA256":
        credentials = (word.removeprefix("Credential=") for word in words if word.startswith("Credential="))
        return next((text.partition("/")[0] for text in credentials if "/" in text), "")
    if scheme == "AWS" and words and ":" in words[0]:
        return words[0].partition(":")[0]
    return ""


def check_presigned(query: Mapping[str, str], *, requires_keys: bool) -> None:
    """Refuse a presigned URL that has expired, and every presigned URL if keys are required.

    Raises:
        HTTPException: the URL is refused.
    """
    if is_presigned(query) and (refusal := (403, _WITH_KEY) if requires_keys else fault(query)):
        raise HTTPException(*refusal)


def is_presigned(query: Mapping[str, str]) -> bool:
    """Return whether a request with this query uses a presigned URL."""
    return "X-Amz-Signature" in query or {"AWSAccessKeyId", "Signature"} <= query.keys()


def fault(query: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the status and the reason with which a presigned URL is refused; None while it is valid.

    Its signature is not checked.
    """
    now = time.time()
    if "X-Amz-Signature" not in query:
        if not _SECONDS.fullmatch(expires := query.get("Expires", "")):
            return 400, f"Expires {expires[:80]!a}: must be seconds since 1970"
        return (403, "Request has expired") if int(expires) < now else None
    try:
        begins = datetime.strptime(query.get("X-Amz-Date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 400, f"X-Amz-Date {query.get('X-Amz-Date', '')[:80]!a}: must have the form YYYYMMDDTHHMMSSZ"
    seconds = query.get("X-Amz-Expires", "")
    if not (_SECONDS.fullmatch(seconds) and 1 <= int(seconds) <= MAX_SECONDS):
        return 400, f"X-Amz-Expires {seconds[:80]!a}: must be a number of seconds from 1 to {MAX_SECONDS}"
    if begins > now + _SKEW_SECONDS:
        return 403, "Request is not valid yet"
    return (403, "Request has expired") if begins + int(seconds) < now else None
