"""The transport of `Client`: urllib3 without retries."""

from __future__ import annotations

import os
import ssl

import urllib3

from fanin.client.messages import Request, Response
from fanin.errors import ConnectionLostError, ServiceError, UnreachableError

CONNECTIONS = 16
"""Maximum number of idle connections that stay open for the threads that share a client."""
CHUNK = 1 << 20
"""Maximum number of bytes of a body that one read returns."""

StrPath = str | os.PathLike[str]

_UNREACHABLE = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
    urllib3.exceptions.SSLError,
)


class Urllib3Transport:
    """HTTP by urllib3. Safe to share among threads."""

    def __init__(self, *, timeout: float, ssl_context: ssl.SSLContext | None = None) -> None:
        """`timeout` limits connecting and each wait for bytes, in seconds."""
        self._pool = urllib3.PoolManager(timeout=timeout, maxsize=CONNECTIONS, ssl_context=ssl_context)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def send(self, request: Request) -> Response:
        """As `messages.Transport.send`."""
        where = f"{request.method} {request.url}"
        try:
            response = self._pool.request(
                request.method,
                request.url,
                body=request.body,
                headers=dict(request.headers),
                preload_content=False,
                decode_content=False,
                redirect=False,
                retries=False,
            )
        except _UNREACHABLE as error:
            raise UnreachableError(f"{where}: {error}") from error
        except (ValueError, OverflowError) as error:
            # LocationValueError is an HTTPError too: the request cannot be sent, now or later.
            raise ServiceError(f"{where}: {error}") from error
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionLostError(f"{where}: {error}") from error

        def read() -> bytes:
            try:
                # read1 returns the bytes that have arrived. A longer read would lose them together with the connection.
                return response.read1(CHUNK)
            except urllib3.exceptions.HTTPError as error:
                raise ConnectionLostError(f"{where}: {error}") from error

        def close() -> None:
            # A body that was not read to its end cannot share its connection.
            response.close()
            response.release_conn()

        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status, headers, read, close, response.reason or "")


def ssl_context(ca_certs: StrPath | None, client_cert: tuple[StrPath, StrPath] | None) -> ssl.SSLContext | None:
    """Return how certificates are checked and shown; None for the default.

    Raises:
        ValueError: a file cannot be used.
    """
    if ca_certs is None and client_cert is None:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_certs)
        if client_cert is not None:
            context.load_cert_chain(*client_cert)
    except OSError as error:
        raise ValueError(f"ca_certs={ca_certs!r}, client_cert={client_cert!r}: cannot be used: {error}") from None
    return context
