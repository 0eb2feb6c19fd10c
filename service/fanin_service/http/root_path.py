"""The path below which a proxy has the service, such as `/team/weights`."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PLACES = (b"location", b"content-location")
"""Response headers whose value is a path of the service."""


def below(root_path: str | None, app: ASGIApp) -> ASGIApp:
    """Return the application for clients that see it below this path.

    Proxies that remove the path and those that forward it both work. The application itself does not know the path: it
    is removed from requests, and added to the headers that contain a path.
    """
    if root_path is None:
        return app
    root = root_path.encode()

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_below(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, root + value if name.lower() in _PLACES and value.startswith(b"/") else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        # Only an application for HTTP is wrapped, so both members are there.
        path, raw_path = scope["path"], scope["raw_path"]
        if path.startswith(f"{root_path}/") and raw_path.startswith(root + b"/"):
            scope = {**scope, "path": path[len(root_path) :], "raw_path": raw_path[len(root) :]}
        await app(scope, receive, send_below)

    return wrapped
