"""The library's catalogue as models of the service, in front of a model store. They are read-only and not stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakValueDictionary

from fanin import models
from fanin.errors import RecipeError
from fanin.models import NAMESPACE
from fanin.quantization import FORMATS
from fanin_service.models.content import Content
from fanin_service.models.errors import UploadsRefusedError
from fanin_service.models.objects import Objects
from fanin_service.models.store import ModelStore
from fanin_service.settings import Settings, variable

_DEFAULTS = Settings.model_construct()
"""Default settings, whose limits the models meet. The limits of the operator are for recipes of clients."""


class StoreWithCatalogue(ModelStore):
    """A model store that also has the catalogue's models, as `catalogue/NAME`.

    `catalogue/NAME-FORMAT` is a quantized model, which is not listed. Stored models with such a name are hidden.
    """

    def __init__(self, objects: Objects, max_bytes: int) -> None:
        super().__init__(objects, max_bytes)
        self._making = threading.Lock()
        self._digests: dict[str, str] = {}
        """Digests of contents that were created, by the name of their model."""
        self._contents: WeakValueDictionary[str, Content] = WeakValueDictionary()
        """Contents in use, by the name of their model."""
        self._newest: Content | None = None
        """The content that was created last. `main` creates it, and `get` returns it next."""
        self._unquantized: set[str] = set()
        """Names of known models with a format that cannot quantize them, which takes up to a second to find."""

    def names(self) -> list[str]:
        stored = [name for name in super().names() if not _is_in_catalogue(name)]
        return sorted([*stored, *(f"{NAMESPACE}{name}" for name in models.names())])

    def advice(self, name: str) -> str:
        if not _is_in_catalogue(name):
            return super().advice(name)
        if found := models.quantized(name):
            model, form = found
            return f"the format {form} does not apply to {model.name}, which is {NAMESPACE}{model.name}"
        similar = " or ".join(f"{NAMESPACE}{each}" for each in models.near(name))
        formats = ", ".join(each.replace("_", "-") for each in FORMATS)
        known = f"did you mean {similar}?" if similar else "GET /v1/catalogue lists the names."
        return f"{known} {NAMESPACE}NAME-FORMAT is a quantized model; FORMAT is one of {formats}"

    def main(self, name: str) -> str | None:
        if not _is_in_catalogue(name):
            return super().main(name)
        if name not in self._digests:
            self._content(name)
        return self._digests.get(name)

    def modified(self, name: str, digest: str | None = None) -> float | None:
        # Nobody uploaded them. The times of installed files would differ between replicas.
        return None if _is_in_catalogue(name) else super().modified(name, digest)

    def digest_of(self, name: str, key: bytes) -> str | None:
        if not _is_in_catalogue(name):
            return super().digest_of(name, key)
        content = self._content(name)
        return content.digest if content is not None and content.key == key else None

    def get(self, name: str, digest: str) -> Content | None:
        if not _is_in_catalogue(name):
            return super().get(name, digest)
        content = self._content(name)
        return content if content is not None and content.digest == digest else None

    def put(self, name: str, content: Content, check: Callable[[bool], None] = lambda _: None) -> bool:
        _check_writable(name)
        return super().put(name, content, check)

    def delete(self, name: str) -> bool:
        _check_writable(name)
        return super().delete(name)

    def _content(self, name: str) -> Content | None:
        """Return the content of a model; `None` if there is none. Creating it takes milliseconds to a second."""
        with self._making:
            content = self._contents.get(name)
            if content is None:
                files = None if name in self._unquantized else _files(name)
                if files is None:
                    if models.quantized(name):
                        self._unquantized.add(name)
                    return None
                content = self._newest = self._contents[name] = Content.put(files, _DEFAULTS)
                self._digests[name] = content.digest
            return content


def _is_in_catalogue(name: str) -> bool:
    return name.startswith(NAMESPACE)


def _files(name: str) -> dict[str, bytes] | None:
    """Return the files of a model; `None` if the name is unknown, or the format cannot quantize the model."""
    if name.removeprefix(NAMESPACE) in models.names():
        return models.get(name).files()
    if (found := models.quantized(name)) is None:
        return None
    model, form = found
    try:
        return model.files(form)
    except (ValueError, RecipeError):
        return None


def _check_writable(name: str) -> None:
    """Refuse to change a model of the catalogue.

    Raises:
        UploadsRefusedError: the name is one of the catalogue's.
    """
    if _is_in_catalogue(name):
        detail = f"names that begin with {NAMESPACE} belong to the catalogue, which {variable('catalogue')}=true serves"
        raise UploadsRefusedError(f"{name}: {detail}")
