"""URLs that the client accepts."""

from __future__ import annotations

import urllib3


def parsed(url: str) -> urllib3.util.Url:
    """Return the parts of an HTTP URL.

    Raises:
        ValueError: it is not an HTTP URL, or has a user or a password.
    """
    try:
        parts = urllib3.util.parse_url(url)
    except urllib3.exceptions.LocationParseError as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parts.auth is not None:
        # The client would not send them, and every error would show them.
        raise ValueError("the URL has a user or a password, which the client does not send: give a token instead")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ValueError(f"{url!r} is not the URL of a service: it begins with http:// or https://")
    return parts


def origin(url: str) -> tuple[str | None, str | None, int | None]:
    """Return scheme, host and port (RFC 6454 section 4)."""
    parts = urllib3.util.parse_url(url)
    return parts.scheme, parts.host, parts.port or {"http": 80, "https": 443}.get(parts.scheme or "")
