"""Surfaces: parts of the service for clients that know nothing of it, where errors are in their words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fanin_service.http import problems

Translation = Callable[[int, MutableHeaders, dict[str, Any]], tuple[int, bytes]]
"""Of status, headers and problem: changes the headers, and gives the status and the body that are sent."""


class Surface:
    """ASGI middleware: problems below a path are translated."""

    def __init__(self, app: ASGIApp, root: str, translate: Translation) -> None:
        self._app, self._root, self._translate = app, root, translate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_below(scope["path"], self._root):
            await self._app(scope, receive, send)
            return
        start: Message | None = None

        async def translated(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
            elif start is None:
                await send(message)
            else:
                # A problem has one piece of body.
                headers = MutableHeaders(raw=list(start["headers"]))
                status, body = self._translate(start["status"], headers, json.loads(message["body"]))
                headers["content-length"] = str(len(body))
                await send({**start, "status": status, "headers": headers.raw})
                start = None
                await send({**message, "body": body})

        await self._app(scope, receive, translated)


def is_below(path: str, root: str) -> bool:
    """Whether this path is `root`, or one below it."""
    return f"{path}/".startswith(f"{root}/")


def _is_problem(message: Message) -> bool:
    return MutableHeaders(raw=message["headers"]).get("content-type") == problems.MEDIA_TYPE
