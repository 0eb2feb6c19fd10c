"""Every exception of the library, in one tree.

Each class, with its meaning:

    FaninError
    ├── RecipeError        the recipe is wrong; carries one `Fault` per wrong field
    │   ├── RecordError        no recipe describes the model's own initialization
    │   └── ModuleError        the tensors of a model differ from those of the recipe
    ├── BackendError       the requested backend is not available here
    │   ├── NotBuiltError      the installation was built without it
    │   └── NoDeviceError      the machine has no device for it
    ├── MissingPackageError  a package of an extra is not installed
    ├── FileError          a file is not a Fanin file, or its header is damaged
    ├── MismatchError      bytes differ from those of the recipe
    ├── ArtifactError      an artifact cannot be created, read or completed
    │   ├── ConflictError      the destination has other content than the artifact
    │   ├── IncompleteError    parts of the artifact are missing
    │   ├── NotBegunError      the destination has no artifact yet
    │   └── SignatureError     the artifact is not the signed one, or its signature is invalid
    ├── DestinationError   a bucket cannot be read or written; also an `OSError`
    ├── EngineError        a cluster cannot be reached, or lost its workers; also an `OSError`
    └── ServiceError       a request to a Fanin service failed, or its response is invalid
        ├── RefusedError       the service refused the request: the same request will fail again
        └── UnavailableError   a later attempt may succeed
            ├── UnreachableError     no connection was possible
            ├── ConnectionLostError  the connection ended before the response was complete
            └── BusyError            the service responded with 429, 502, 503 or 504
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

_NAME = 2048
"""Maximum number of characters of a name in a pointer: twice `names.MAX_NAME_BYTES`."""
_VALUE = 80
"""Maximum number of characters of a value that an error repeats."""

SignatureReason = Literal[
    "unsigned",  # the artifact has no signature
    "format",  # the signature or the provenance is not of a kind that is supported
    "key",  # the signature names another key
    "signature",  # the signature does not fit the statement
    "another",  # the signature is of another artifact
    "extra",  # there are files that were not signed
    "missing",  # signed files are absent
    "changed",  # the content of a file differs
    "recipe",  # the recipe is another than the one that was expected or signed
    "provenance",  # the provenance is about other files
]
"""Reasons to refuse a signature."""


class FaninError(Exception):
    """Base class of all errors that this library raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a recipe."""

    pointer: str
    """JSON pointer (RFC 6901) of the wrong field; empty for the document itself."""
    detail: str
    """Description of the fault and of the allowed values."""
    value: Any = None
    """The wrong value, shortened; `None` if there is none to show."""

    def __str__(self) -> str:
        return f"{self.pointer or '(recipe)'}: {self.detail}"


def pointer(path: Iterable[str | int]) -> str:
    """Return a JSON pointer (RFC 6901 section 3) that can be printed: characters that UTF-8 lacks are escaped.

    Names are cut at twice the longest valid name. Otherwise an error would repeat a document of megabytes.
    """
    text = "".join("/" + _cut(str(part), _NAME).replace("~", "~0").replace("/", "~1") for part in path)
    return text.encode("utf-8", "backslashreplace").decode()


def shown(value: Any) -> Any:
    """Return `value` if it is short, else the start of its text, for an error that repeats it."""
    if value is None or isinstance(value, bool | float):
        return value
    text = repr(value) if not isinstance(value, str) else value
    text = text.encode("utf-8", "backslashreplace").decode()
    return value if isinstance(value, int) and len(text) <= _VALUE else _cut(text, _VALUE)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


class RecipeError(FaninError, ValueError):
    """The recipe is invalid; `faults` has one `Fault` per wrong field."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[RecipeError], tuple[tuple[Fault, ...]]]:
        """Pickle the faults alone, so that a worker process can pass the error to its parent."""
        return type(self), (self.faults,)


class RecordError(RecipeError):
    """No recipe describes the model's own initialization; one fault per parameter or buffer."""

    @classmethod
    def of(cls, detail: str) -> RecordError:
        """Return an error with one fault of the model itself."""
        return cls([Fault("", detail)])

    @classmethod
    def from_recipe(cls, error: RecipeError) -> RecordError:
        """Return the faults of a recorded recipe, each with the name of its tensor as the pointer."""
        return cls([Fault(each.pointer.removeprefix("/tensors"), each.detail, each.value) for each in error.faults])


class ModuleError(RecipeError):
    """The tensors of a module, model or pytree differ from those of the recipe; one fault per tensor."""


class BackendError(FaninError):
    """The requested backend is unknown, or this machine cannot use it."""


class NotBuiltError(BackendError):
    """The installation was built without the backend."""


class NoDeviceError(BackendError):
    """The machine has no usable device for the backend."""


class MissingPackageError(FaninError, ModuleNotFoundError):
    """A package that an extra installs is missing; the message names the extra."""


class FileError(FaninError):
    """The file is not a complete Fanin safetensors file."""


class MismatchError(FaninError):
    """Bytes differ from those that the recipe defines."""

    def __init__(self, message: str, *, tensor: str | None = None, element: int | None = None) -> None:
        self.tensor = tensor
        """Name of the first tensor that differs; `None` if the header differs."""
        self.element = element
        """Row-major index of its first differing element."""
        super().__init__(message)


class ArtifactError(FaninError):
    """An artifact cannot be created, read or completed. The same call fails again until someone changes its cause."""


class ConflictError(ArtifactError):
    """The destination has other content than the artifact. Nothing was replaced."""


class NotBegunError(ArtifactError):
    """The destination has no artifact, or its plan was not yet written to the end."""


class IncompleteError(ArtifactError):
    """Parts of the artifact are missing in the destination."""


class SignatureError(ArtifactError):
    """An artifact is not the one that was signed, or its signature is invalid, absent or by another key."""

    def __init__(self, message: str, *, reason: SignatureReason = "signature") -> None:
        self.reason: SignatureReason = reason
        """The kind of the fault, for programs: see `SignatureReason`."""
        super().__init__(message)


class DestinationError(FaninError, OSError):
    """A bucket cannot be read or written."""

    def __init__(self, message: str, *, may_pass: bool = True) -> None:
        self.may_pass = may_pass
        """True if a later attempt may succeed, so that engines try again."""
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep `may_pass` in a pickle, because workers pass the error to their parent."""
        return _destination_error, (str(self), self.may_pass)


def _destination_error(message: str, may_pass: bool) -> DestinationError:
    return DestinationError(message, may_pass=may_pass)


class EngineError(FaninError, OSError):
    """An engine cannot reach its cluster, or the cluster lost the workers of an item. Written items stay."""


class ServiceError(FaninError):
    """A request to a Fanin service failed, or the response is invalid."""

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
    """Seconds to wait, from the response's `Retry-After`; `None` if it has none."""


def needed(extra: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """Return the error of importing an adapter, such as `fanin.jax`, whose package is not installed."""
    if error.name != extra:
        return error
    how = f"in a checkout of Fanin, run: pip install '.[{extra}]'"
    return MissingPackageError(f"fanin.{extra} needs the package {extra}, which is not installed; {how}", name=extra)
