"""Every exception of the library, in one tree.

FaninError
├── RecipeError        the recipe is wrong; carries one `Fault` per offending field
│   ├── RecordError        a model's own initialization is nothing that a recipe says
│   └── ModuleError        a model's tensors are not those of the recipe
├── BackendError       the backend asked for is not available here
│   ├── NotBuiltError      this package was installed without it
│   └── NoDeviceError      there is no device for it
├── FileError          a file is not a Fanin file, or is damaged before any tensor
├── MismatchError      bytes differ from what the recipe says
└── ServiceError       a request to a Fanin service failed
    └── UnavailableError   it could not be reached, or was too busy: another time it may do
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
    """A request that a Fanin service refused, or that never reached one."""

    def __init__(self, message: str, *, status: int | None = None, problem: dict[str, Any] | None = None) -> None:
        self.status = status
        """HTTP status, or `None` when no answer came."""
        self.problem = problem or {}
        """The RFC 9457 document the service sent, if it sent one."""
        super().__init__(message)


class UnavailableError(ServiceError):
    """A service that could not be reached, or was too busy, for as long as the client was told to try."""
