"""Literals of a model: tensors that its recipe does not describe, uploaded with it and served as one more file."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fanin import RecipeError
from fanin.file.shards import LITERALS, LITERALS_SEED
from fanin.recipe import MAX_SEED, parse_json
from fanin_service.models.errors import ModelError

_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}
"""Bytes of an element, by the names of safetensors' types."""
_METADATA = "__metadata__"
_FORMAT = {"format": "pt"}
"""Metadata that older versions of transformers require in every file."""
_MAX_HEADER_BYTES = 8 << 20
_MAX_SIZE = 1 << 62


@dataclass(frozen=True, slots=True)
class Literal:
    """One tensor of the file."""

    dtype: str
    count: int
    """Number of elements."""

    @property
    def size(self) -> int:
        """Bytes of all elements."""
        return self.count * _BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Literals:
    """A safetensors file of literals."""

    content: bytes
    """The file as it is stored and served."""
    tensors: Mapping[str, Literal]
    seed: int | None
    """The only seed to which the values belong; None if they are valid for all seeds."""

    @classmethod
    def read(cls, text: bytes) -> Literals:
        """Return the literals in an uploaded file. Its header is rewritten.

        Raises:
            ModelError: the file is not a safetensors file, or a tensor has a type that is not accepted.
        """
        header, data = _parted(text)
        metadata = header.pop(_METADATA, {})
        tensors, places, at = {}, {}, 0
        for name, said in sorted(header.items(), key=lambda item: _offsets(*item)):
            literal = _literal(name, said)
            start, stop = _offsets(name, said)
            if (start, stop) != (at, at + literal.size):
                raise _wrong(f"{name!a:.80}: data_offsets [{start}, {stop}], not [{at}, {at + literal.size}]")
            tensors[name], at = literal, stop
            places[name] = {"dtype": said["dtype"], "shape": said["shape"], "data_offsets": [start, stop]}
        if at != len(data):
            raise _wrong(f"{len(data)} bytes of tensors, where the header says {at}")
        seed = _seed(metadata)
        kept = _FORMAT if seed is None else {**_FORMAT, LITERALS_SEED: str(seed)}
        return cls(_header({_METADATA: kept, **places}) + data, tensors, seed)


def _parted(text: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header of a safetensors file, and the bytes after it."""
    length = struct.unpack_from("<Q", text)[0] if len(text) >= 8 else len(text)
    if length > min(_MAX_HEADER_BYTES, len(text) - 8):
        raise _wrong("not a safetensors file, or one with a header of more than 8 MiB")
    try:
        header = parse_json(text[8 : 8 + length])
    except RecipeError as error:
        raise _wrong(f"its header: {error.faults[0].detail}") from None
    if not isinstance(header, dict):
        raise _wrong("its header must be a JSON object")
    return dict(header), text[8 + length :]


def _literal(name: str, said: Any) -> Literal:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise _wrong(f"{name!a:.80}: a name has no lone surrogates") from None
    dtype, shape = said["dtype"], said["shape"]
    if not isinstance(dtype, str) or dtype not in _BYTES:
        raise _wrong(f"{name!a:.80}: dtype {dtype!a:.80}, not one of {', '.join(_BYTES)}")
    if not isinstance(shape, list) or not all(_is_size(size) for size in shape):
        raise _wrong(f"{name!a:.80}: shape must be a list of sizes from 0 to 2^62")
    product = 1
    for size in shape:
        # Check at every size: a product of thousands of large ones would take minutes.
        if (product := product * (size or 1)) > _MAX_SIZE:
            raise _wrong(f"{name!a:.80}: the sizes multiply to more than 2^62")
    return Literal(dtype, 0 if 0 in shape else product)


def _offsets(name: str, said: Any) -> tuple[int, int]:
    if not isinstance(said, dict) or said.keys() != {"dtype", "shape", "data_offsets"}:
        raise _wrong(f"{name!a:.80}: must have the fields dtype, shape and data_offsets alone")
    offsets = said["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(offset) for offset in offsets):
        raise _wrong(f"{name!a:.80}: data_offsets must be two integers from 0 to 2^62")
    return offsets[0], offsets[1]


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_SIZE


def _seed(metadata: Any) -> int | None:
    text = metadata.get(LITERALS_SEED) if isinstance(metadata, dict) else None
    if text is None:
        return None
    if not isinstance(text, str) or not (text.isascii() and text.isdecimal() and len(text) <= 20):
        raise _wrong(f"{LITERALS_SEED} {text!a:.80}: must be a seed, 0 to 2^64 - 1")
    if (seed := int(text)) > MAX_SEED:
        raise _wrong(f"{LITERALS_SEED} {text}: must be a seed, 0 to 2^64 - 1")
    return seed


def _header(table: Mapping[str, Any]) -> bytes:
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _wrong(detail: str) -> ModelError:
    return ModelError(f"{LITERALS}: {detail}")
