"""Every exception of the library, in one tree.

FaninError
├── RecipeError        the recipe is wrong; carries one `Fault` per offending field
│   ├── RecordError        a model's own initialization is nothing that a recipe says
│   └── ModuleError        a model's tensors are not those of the recipe
├── BackendError       the backend asked for is not available here
│   ├── NotBuiltError      this package was installed without it
│   └── NoDeviceError      there is no device for it
├── MissingPackageError  a package of an extra is not installed
├── FileError          a file is not a Fanin file, or is damaged before any tensor
├── MismatchError      bytes differ from what the recipe says
└── ServiceError       a request to a Fanin service failed, or its response makes no sense
    ├── RefusedError       the service refused the request: the same request will fail again
    └── UnavailableError   a later attempt may succeed
        ├── UnreachableError     no connection was possible
        ├── ConnectionLostError  the connection ended before the response was complete
        └── BusyError            the service responded with 429, 502, 503 or 504
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_NAME = 2048
"""Characters of a name in a pointer: twice as many as the name of a tensor may have (`names.MAX_NAME_BYTES`)."""
_VALUE = 80
"""Characters of a value that an error repeats."""


class FaninError(Exception):
    """Base of every error this library raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a recipe."""

    pointer: str
    """JSON pointer (RFC 6901) of the offending field; empty for the whole document."""
    detail: str
    """What is wrong and what is allowed."""
    value: Any = None
    """The value found, shortened; `None` where there is none to show."""

    def __str__(self) -> str:
        return f"{self.pointer or '(recipe)'}: {self.detail}"


def pointer(path: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901 section 3) that can be printed, whatever the names are.

    A longer name than any tensor may have is cut: otherwise an error would repeat a document of megabytes.
    """
    text = "".join("/" + _cut(str(part), _NAME).replace("~", "~0").replace("/", "~1") for part in path)
    return text.encode("utf-8", "backslashreplace").decode()


def shown(value: Any) -> Any:
    """Return `value` if it is short, else the start of its text: what an error says that it found."""
    if value is None or isinstance(value, bool | float):
        return value
    text = repr(value) if not isinstance(value, str) else value
    text = text.encode("utf-8", "backslashreplace").decode()
    return value if isinstance(value, int) and len(text) <= _VALUE else _cut(text, _VALUE)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


class RecipeError(FaninError, ValueError):
    """A recipe that cannot be honoured."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[RecipeError], tuple[tuple[Fault, ...]]]:
        """Pickled by its faults: a worker process hands it to its parent."""
        return type(self), (self.faults,)


class RecordError(RecipeError):
    """A model whose own initialization no recipe says; one fault per parameter or buffer."""

    @classmethod
    def of(cls, detail: str) -> RecordError:
        """One fault, of the whole model."""
        return cls([Fault("", detail)])

    @classmethod
    def from_recipe(cls, error: RecipeError) -> RecordError:
        """The faults of a recorded recipe, each with the name of its tensor as the pointer."""
        return cls([Fault(each.pointer.removeprefix("/tensors"), each.detail, each.value) for each in error.faults])


class ModuleError(RecipeError):
    """A module, model or pytree whose tensors are not those of the recipe; one fault per tensor."""


class BackendError(FaninError):
    """The backend asked for is unknown or not usable on this machine."""


class NotBuiltError(BackendError):
    """The backend is not part of this installation."""


class NoDeviceError(BackendError):
    """The backend is for a device that is not in this machine, or cannot be used."""


class MissingPackageError(FaninError, ModuleNotFoundError):
    """A package that an extra installs is missing; the message names the extra."""


class FileError(FaninError):
    """A file that is not a complete Fanin safetensors file."""


class MismatchError(FaninError):
    """Bytes that differ from what the recipe says."""

    def __init__(self, message: str, *, tensor: str | None = None, element: int | None = None) -> None:
        self.tensor = tensor
        """Name of the first tensor that differs; `None` when the header does."""
        self.element = element
        """Row-major index of its first differing element."""
        super().__init__(message)


class ServiceError(FaninError):
    """A request to a Fanin service that failed, or a response that makes no sense."""

    def __init__(self, message: str, *, status: int | None = None, problem: dict[str, Any] | None = None) -> None:
        self.status = status
        """HTTP status, or `None` if no response arrived."""
        self.problem = problem or {}
        """The RFC 9457 document of the response, if it had one."""
        super().__init__(message)


class RefusedError(ServiceError):
    """The service refused the request: the same request will fail again."""


class UnavailableError(ServiceError):
    """The service did not serve the request, but a later attempt may succeed."""


class UnreachableError(UnavailableError):
    """No connection to the service was possible."""


class ConnectionLostError(UnavailableError):
    """The connection to the service ended, or was silent for too long, before the response was complete."""


class BusyError(UnavailableError):
    """The service responded with 429, 502, 503 or 504."""

    retry_after: float | None = None
    """Seconds to wait, if the response said so in `Retry-After`."""


def needed(extra: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """Return the error of importing an adapter, such as `fanin.jax`, whose package is not installed."""
    if error.name != extra:
        return error
    how = f"in a checkout of Fanin, run: pip install '.[{extra}]'"
    return MissingPackageError(f"fanin.{extra} needs the package {extra}, which is not installed; {how}", name=extra)
