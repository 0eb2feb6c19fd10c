"""Values that cannot be changed: a recipe's digest, once read, stays true of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from pydantic import BaseModel, ConfigDict

K = TypeVar("K")
V = TypeVar("V")


if TYPE_CHECKING or sys.version_info >= (3, 12):
    computed_once = cached_property
else:

    class computed_once(cached_property):  # noqa: N801 (has the name that the other branch gives to cached_property)
        """`functools.cached_property` without the lock of Python 3.11, which all objects of a class share.

        With it, a thread that needs the digest of a small recipe waits for a thread that computes a large one.
        """

        def __get__(self, instance: Any, owner: Any = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.attrname] = self.func(instance)
            return value


class FrozenDict(dict[K, V]):
    """A dict without the methods that change one; `copy()` and `|` give plain ones."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a recipe cannot be changed: with_tensors, without, renamed and seeded return a new one")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: Any) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


def frozen(value: Any) -> Any:
    """`value` with its mappings, lists and tuples, at every depth, as what cannot be changed."""
    if isinstance(value, Mapping):
        return FrozenDict({key: frozen(member) for key, member in value.items()})
    if isinstance(value, list | tuple):
        return tuple(map(frozen, value))
    return value


class FrozenModel(BaseModel):
    """A model whose attributes, those that are computed once among them, cannot be set.

    Python's own ways round every class, `__dict__` and `object.__setattr__`, are not closed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, ignored_types=(computed_once,))

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: model_copy returns a changed model")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self

    def copy(self, *, update: Mapping[str, Any] | None = None, **_: Any) -> Self:
        """`model_copy`: pydantic's own `copy` keeps what was computed of the original."""
        return self.model_copy(update=update)
