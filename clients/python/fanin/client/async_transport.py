"""The transport of `AsyncClient`: aiohttp, without retries."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import yarl

from fanin.client.messages import AsyncResponse, Request
from fanin.client.transport import CHUNK, CONNECTIONS
from fanin.errors import ConnectionLostError, ServiceError, UnreachableError

_UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorDNSError)


class AiohttpTransport:
    """HTTP by aiohttp. It belongs to the event loop of its first request."""

    def __init__(self, *, timeout: float, ssl_context: ssl.SSLContext | None = None) -> None:
        """`timeout` limits connecting and each wait for bytes, in seconds."""
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)
        self._ssl = ssl_context or True
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        """Close the connections.

        Raises:
            RuntimeError: they belong to another event loop.
        """
        if self._session is not None:
            self._check_loop()
            await self._session.close()
            self._session = None

    async def send(self, request: Request) -> AsyncResponse:
        """As `messages.AsyncTransport.send`.

        Raises:
            RuntimeError: the connections belong to another event loop.
        """
        where = f"{request.method} {request.url}"
        if self._session is None:
            # Not in the constructor: a session needs the event loop that will use it.
            self._loop = asyncio.get_running_loop()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self._ssl),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=CHUNK,
            )
        self._check_loop()
        try:
            response = await self._session.request(
                request.method,
                yarl.URL(request.url, encoded=True),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
            )
        except _UNREACHABLE as error:
            raise UnreachableError(f"{where}: {error}") from error
        except ValueError as error:
            # InvalidURL is a ClientError too: the request cannot be sent, now or later.
            raise ServiceError(f"{where}: {error}") from error
        except (TimeoutError, aiohttp.ClientError) as error:
            raise ConnectionLostError(f"{where}: {error or type(error).__name__}") from error

        async def read() -> bytes:
            try:
                return await response.content.readany()
            except (TimeoutError, aiohttp.ClientError) as error:
                raise ConnectionLostError(f"{where}: {error or type(error).__name__}") from error

        headers = {name.lower(): value for name, value in response.headers.items()}
        return AsyncResponse(response.status, headers, read, response.close, response.reason or "")

    def _check_loop(self) -> None:
        # aiohttp would say "Event loop is closed", or wait for a loop that does not run.
        if self._loop is not asyncio.get_running_loop():
            message = "an AsyncClient belongs to the event loop of its first request: create another one in this loop"
            raise RuntimeError(message)
