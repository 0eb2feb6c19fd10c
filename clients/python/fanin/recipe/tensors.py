"""The tensors of a recipe by name, and what does not depend on its seed."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, NoReturn

import rfc8785

from fanin.frozen import FrozenDict
from fanin.names import count, written_out
from fanin.schemes.base import Tensor

quoted = json.encoder.encode_basestring
"""A text as JSON, which for a tensor's name is also RFC 8785's."""


class Tensors(Mapping[str, Tensor]):
    """Tensors by name, in the order in which a recipe has them. They cannot be changed.

    Repeated names stay as they are until a name is needed, and are then written out. `distinct`, `lines` and the
    length cost no more than the recipe has lines. Recipes that differ in their seeds share one object of this class.
    """

    __slots__ = ("_canonical", "_distinct", "_plain", "_repeated", "_sorted", "_texts", "_written", "order")

    def __init__(self, plain: Mapping[str, Tensor], repeated: Mapping[str, Tensor] | None = None) -> None:
        """`plain` has tensors by name, `repeated` by repeated name. No name stands for a tensor of another."""
        self._plain: dict[str, Tensor] = dict(plain)
        self._repeated: dict[str, Tensor] = dict(repeated or {})
        self._written: dict[str, Tensor] | None = None if self._repeated else self._plain
        self._distinct: dict[int, Tensor] | None = None
        self._texts: dict[int, str] | None = None
        self._sorted: tuple[str, ...] | None = None
        self._canonical: bytes | None = None
        self.order: Any = None
        """The `FileOrder` of these tensors, once it exists. Its class is in a layer above, which imports this one."""

    def lines(self) -> Iterator[tuple[str, Tensor, int]]:
        """Yield a name, plain or repeated, its tensor, and for how many names it stands."""
        for name, tensor in self._plain.items():
            yield name, tensor, 1
        for name, tensor in self._repeated.items():
            yield name, tensor, count(name)

    @property
    def distinct(self) -> dict[int, Tensor]:
        """The tensors by their ids: those with several names once."""
        if self._distinct is None:
            tensors = itertools.chain(self._plain.values(), self._repeated.values())
            self._distinct = {id(tensor): tensor for tensor in tensors}
        return self._distinct

    @property
    def sorted_names(self) -> tuple[str, ...]:
        """All names, in the order of their code points."""
        if self._sorted is None:
            self._sorted = tuple(sorted(self))
        return self._sorted

    @property
    def texts(self) -> dict[int, str]:
        """The canonical JSON of each distinct tensor, by its id."""
        if self._texts is None:
            self._texts = {key: rfc8785.dumps(tensor.canonical()).decode() for key, tensor in self.distinct.items()}
        return self._texts

    @property
    def canonical(self) -> bytes:
        """The canonical JSON of all, in UTF-8."""
        if self._canonical is None:
            # Members are in the order of their names' UTF-16 code units.
            names = self.sorted_names
            tensors, texts = self._all, self.texts
            ordered = names if "".join(names).isascii() else sorted(names, key=lambda name: name.encode("utf-16-be"))
            members = [f"{quoted(name)}:{texts[id(tensors[name])]}" for name in ordered]
            self._canonical = f"{{{','.join(members)}}}".encode()
        return self._canonical

    @property
    def _all(self) -> dict[str, Tensor]:
        if self._written is None:
            written = dict(self._plain)
            for name, tensor in self._repeated.items():
                written.update(dict.fromkeys(written_out(name), tensor))
            self._written = written
        return self._written

    def __getitem__(self, name: str) -> Tensor:
        return self._all[name]

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._plain) + sum(map(count, self._repeated))

    def keys(self) -> KeysView[str]:
        return self._all.keys()

    def values(self) -> ValuesView[Tensor]:
        return self._all.values()

    def items(self) -> ItemsView[str, Tensor]:
        return self._all.items()

    def copy(self) -> dict[str, Tensor]:
        """Return a plain dict of the tensors."""
        return dict(self._all)

    def __or__(self, other: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**self._all, **other}

    def __ror__(self, other: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**other, **self._all}

    def __ior__(self, other: Mapping[str, Tensor]) -> NoReturn:
        raise TypeError("a recipe cannot be changed: with_tensors returns a new one")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Tensors):
            return self is other or self._all == other._all
        return self._all == other

    def __hash__(self) -> int:
        return hash(FrozenDict(self._all))

    def __repr__(self) -> str:
        return repr(self._all)

    def __copy__(self) -> Tensors:
        return self

    def __deepcopy__(self, _: Any) -> Tensors:
        return self

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + sys.getsizeof(self._all)

    def __reduce__(self) -> tuple[Any, ...]:
        return Tensors, (self._plain, self._repeated)
