"""Pickles of objects whose modules are not imported, with the same bytes in every version of Python.

The standard pickler needs the classes themselves, and its bytes depend on which equal strings are one object.
"""

from __future__ import annotations

import pickle  # nosec B403 (its opcodes alone: nothing is loaded)
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Global(NamedTuple):
    """A function or class, by its module and name."""

    module: str
    name: str


class Call(NamedTuple):
    """The result of a function with these arguments."""

    function: Global
    arguments: tuple[Any, ...] = ()


class Instance(NamedTuple):
    """An object of a class, with the state that its `__setstate__` takes, or else its attributes."""

    of: Global
    state: Any


class Pairs(NamedTuple):
    """A dictionary with these keys and values, which are taken one after another."""

    pairs: Iterable[tuple[Any, Any]]


class Persistent(NamedTuple):
    """An object that the unpickler finds by this identifier."""

    identifier: tuple[Any, ...]


def dumps(value: Any) -> bytes:
    """Return the pickle of `value` in protocol 2, which `torch.load` requires.

    `value` consists of None, bool, int, str, tuple, list, dict and the classes of this module.

    Raises:
        KeyError: it has an object of another type.
    """
    pickler = _Pickler()
    pickler.put(value)
    return pickle.PROTO + b"\x02" + pickler.out + pickle.STOP


class _Pickler:
    def __init__(self) -> None:
        self.out = bytearray()
        self._places: dict[str | Global, bytes] = {}
        self._puts: dict[type, Callable[[Any], None]] = {
            type(None): lambda _: self.out.extend(pickle.NONE),
            bool: lambda value: self.out.extend(pickle.NEWTRUE if value else pickle.NEWFALSE),
            int: self._put_int,
            str: self._put_name,
            Global: self._put_name,
            tuple: lambda value: self._put(pickle.MARK, value, pickle.TUPLE),
            list: lambda value: self._put(pickle.EMPTY_LIST + pickle.MARK, value, pickle.APPENDS),
            dict: lambda value: self._put_pairs(value.items()),
            Pairs: lambda value: self._put_pairs(value.pairs),
            Call: lambda value: self._put(b"", value, pickle.REDUCE),
            Instance: self._put_instance,
            Persistent: lambda value: self._put(b"", value, pickle.BINPERSID),
        }

    def put(self, value: Any) -> None:
        self._puts[type(value)](value)

    def _put(self, before: bytes, values: Iterable[Any], after: bytes) -> None:
        self.out += before
        for value in values:
            self._puts[type(value)](value)
        self.out += after

    def _put_pairs(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        self._put(pickle.EMPTY_DICT + pickle.MARK, (part for pair in pairs for part in pair), pickle.SETITEMS)

    def _put_instance(self, value: Instance) -> None:
        self.put(value.of)
        self._put(pickle.EMPTY_TUPLE + pickle.NEWOBJ, (value.state,), pickle.BUILD)

    def _put_int(self, value: int) -> None:
        octets = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        self.out += pickle.LONG1 + bytes((len(octets),)) + octets

    def _put_name(self, value: str | Global) -> None:
        """Put a name; the second time refer to the first one."""
        place = self._places.get(value)
        if place is not None:
            self.out += place
            return
        number = len(self._places).to_bytes(4, "little")
        self._places[value] = pickle.LONG_BINGET + number
        if isinstance(value, str):
            octets = value.encode()
            self.out += pickle.BINUNICODE + len(octets).to_bytes(4, "little") + octets
        else:
            self.out += pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode()
        self.out += pickle.LONG_BINPUT + number
