"""The page that shows recipes and their weights in a browser: its files, their media types and their headers.

`make js` builds the files from `clients/js/page`. The page stands at a path that ends with a slash, its other files
below `page/`. All of its URLs are relative, so any server can serve it under any prefix.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from importlib.resources import files as resources
from typing import Any

INDEX = "index.html"
"""Name of the page itself. All other files are what it loads."""
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
"""Media types of the page's files. Browsers compile WebAssembly while they load it only with its own type."""
_POLICY = {
    "default-src": "'none'",
    # Compiles WebAssembly, and evaluates no text.
    "script-src": "'self' 'wasm-unsafe-eval'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "worker-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # The names of the files stay the same in all versions. A browser must not combine files of two versions.
    "Cache-Control": "no-cache",
}
"""Headers of every response with a file of the page."""


@dataclass(frozen=True)
class PageFile:
    """One file of the page."""

    content: bytes
    media_type: str

    @cached_property
    def tag(self) -> str:
        """Strong entity tag without its quotes: the SHA-256 of the content."""
        return sha256(self.content).hexdigest()


@cache
def files() -> Mapping[str, PageFile]:
    """Return all files of the page by name, `INDEX` among them."""
    return {
        entry.name: PageFile(entry.read_bytes(), TYPES[suffix])
        for entry in resources(__name__).iterdir()
        if (suffix := entry.name[entry.name.rfind(".") :]) in TYPES
    }


def start(*, service: bool, recipe: Any = None, title: str | None = None) -> PageFile:
    """Return `start.json`, which tells the page where it is.

    Args:
        service: Whether the page may call a Fanin service at its own address.
        recipe: JSON values of the recipe to show first; `None` for the page's own example.
        title: Where the recipe is from.
    """
    document = {"service": service, "recipe": recipe, "title": title}
    return PageFile(json.dumps(document, ensure_ascii=False).encode(), TYPES[".json"])
