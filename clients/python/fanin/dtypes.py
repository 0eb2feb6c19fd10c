"""Storage types: what a tensor's elements are stored as.

Every draw is computed in its compute type (float64 for F64, float32 for all others) and rounded once, to nearest
even, to the storage type (SPEC.md section 7). Integer types take exact integers only, and nothing is rounded to them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any, Literal

import ml_dtypes
import numpy as np

DTypeName = Literal[
    "F64", "C64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0", "F4",
    "U64", "I64", "U32", "I32", "U16", "I16", "I8", "U8", "BOOL",
]  # fmt: skip
DTypeLike = DTypeName | Any
"""A name or alias of a storage type, or a type of NumPy, ml_dtypes, torch or JAX, as `storage_name` takes it."""


@dataclass(frozen=True, slots=True)
class DType:
    """A binary floating-point storage format, pairs of numbers of one, or integers."""

    name: DTypeName
    itemsize: int
    """Bytes of one item in memory: an element, or two of them if the type `is_packed`."""
    precision: int
    """Significand bits, the hidden one included. 0 for integers."""
    min_exponent: int
    """Exponent of the smallest normal number 2**min_exponent. 0 for integers."""
    largest: float
    """Largest finite number; an `int` for integers."""
    numpy: np.dtype
    """Little-endian NumPy type of an item, of `ml_dtypes` where NumPy has none."""
    is_packed: bool = False
    """True if a byte has two elements, the first of them in its lowest bits. Arrays have one element in a byte."""

    @property
    def bits(self) -> int:
        """Bits of one element."""
        return 4 if self.name == "F4" else 8 * self.itemsize

    @property
    def elements(self) -> int:
        """Elements of one item."""
        return 2 if self.is_packed else 1

    @property
    def in_file(self) -> DType:
        """The type of the items in a file. It is this one, unless a byte of a file has two elements."""
        return PACKED.get(self.name, self)

    @property
    def in_memory(self) -> DType:
        """The type of the items of an array, which are elements."""
        return STORAGE[self.name]

    def file_bytes(self, count: int) -> int:
        """Return the bytes of `count` elements in a file, rounded upwards."""
        return -(-count * self.bits // 8)

    @property
    def is_complex(self) -> bool:
        """True if an element is two numbers of the compute type, the real part and the imaginary one."""
        return self.numpy.kind == "c"

    def encoded(self, value: float) -> bytes:
        """Return the bytes of an item whose elements are a real number that the type holds exactly, and not -0.0.

        No float operation can return a subnormal number in a thread that flushes them to zero, as `-ffast-math` and
        `torch.set_flush_denormal` make it do.
        """
        if self.is_integer:
            return int(value).to_bytes(self.itemsize, "little", signed=value < 0)
        if self.name == "F64":
            return struct.pack("<d", value)
        numerator, denominator = abs(value).as_integer_ratio()
        fraction = denominator.bit_length() - 1
        exponent = max(numerator.bit_length() - 1 - fraction, self.min_exponent)
        if self.is_scale:
            return bytes([exponent - self.min_exponent])
        shift = self.precision - 1 - exponent - fraction
        significand = numerator << shift if shift >= 0 else numerator >> -shift
        # The hidden bit adds one to the exponent field, which is 0 for subnormal numbers.
        bits = significand + ((exponent - self.min_exponent) << (self.precision - 1)) if numerator else 0
        size = self.compute.bits if self.is_complex else self.bits
        bits |= (value < 0) << (size - 1)
        if self.is_packed:
            bits |= bits << size
        return bits.to_bytes(self.itemsize, "little")

    @property
    def is_integer(self) -> bool:
        """True if elements are integers, or booleans, which are 0 and 1."""
        return self.precision == 0

    @property
    def has_one_zero(self) -> bool:
        """True if a negative number that rounds to zero becomes +0."""
        return self.is_integer or self.name.endswith("FNUZ")

    @property
    def is_scale(self) -> bool:
        """True if elements are powers of two, without zero and sign. Nothing is rounded to them."""
        return self.precision == 1

    @property
    def is_random(self) -> bool:
        """True if random numbers can be stored."""
        return self.precision > 1

    @property
    def least(self) -> float:
        """Least finite number; an `int` for integers."""
        return -self.largest - 1 if self.numpy.kind == "i" else 0 if self.is_integer else -self.largest

    @property
    def compute(self) -> DType:
        """The type that draws for this storage type are computed in."""
        return DTYPES["F64" if self.name == "F64" else "F32"]


DTYPES: dict[str, DType] = {
    dtype.name: dtype
    for dtype in (
        DType("F64", 8, 53, -1022, float(np.finfo(np.float64).max), np.dtype("<f8")),
        DType("F32", 4, 24, -126, float(np.finfo(np.float32).max), np.dtype("<f4")),
        DType("BF16", 2, 8, -126, float.fromhex("0x1.fep127"), np.dtype(ml_dtypes.bfloat16)),
        DType("F16", 2, 11, -14, 65504.0, np.dtype("<f2")),
        DType("F8_E4M3", 1, 4, -6, 448.0, np.dtype(ml_dtypes.float8_e4m3fn)),
        DType("F8_E5M2", 1, 3, -14, 57344.0, np.dtype(ml_dtypes.float8_e5m2)),
    )
}
"""The real types that kernels know."""
CONVERTED: dict[str, DType] = {
    dtype.name: dtype
    for dtype in (
        DType("F8_E5M2FNUZ", 1, 3, -15, 57344.0, np.dtype(ml_dtypes.float8_e5m2fnuz)),
        DType("F8_E4M3FNUZ", 1, 4, -7, 240.0, np.dtype(ml_dtypes.float8_e4m3fnuz)),
        DType("F4", 1, 2, 0, 6.0, np.dtype(ml_dtypes.float4_e2m1fn)),
    )
}
"""Real types that kernels do not know: elements are generated in F32 and then converted."""
PACKED: dict[str, DType] = {"F4": replace(CONVERTED["F4"], numpy=np.dtype(np.uint8), is_packed=True)}
"""The types of files that differ from those of arrays, by name."""
SCALE = DType("F8_E8M0", 1, 1, -127, 2.0**127, np.dtype(ml_dtypes.float8_e8m0fnu))
"""The type of the scales of blocks in microscaling formats (OCP MX): powers of two."""
FLOATING: dict[str, DType] = {
    "F64": DTYPES["F64"],
    "C64": DType("C64", 8, 24, -126, DTYPES["F32"].largest, np.dtype("<c8")),
    **DTYPES,
    **CONVERTED,
}
"""The real and the complex types: those that random numbers can have."""
INTEGERS: dict[str, DType] = {
    dtype.name: dtype
    for dtype in (
        DType("U64", 8, 0, 0, 2**64 - 1, np.dtype("<u8")),
        DType("I64", 8, 0, 0, 2**63 - 1, np.dtype("<i8")),
        DType("U32", 4, 0, 0, 2**32 - 1, np.dtype("<u4")),
        DType("I32", 4, 0, 0, 2**31 - 1, np.dtype("<i4")),
        DType("U16", 2, 0, 0, 2**16 - 1, np.dtype("<u2")),
        DType("I16", 2, 0, 0, 2**15 - 1, np.dtype("<i2")),
        DType("I8", 1, 0, 0, 2**7 - 1, np.dtype("i1")),
        DType("U8", 1, 0, 0, 2**8 - 1, np.dtype("u1")),
        DType("BOOL", 1, 0, 0, 1, np.dtype(np.bool_)),
    )
}
"""The integer types."""
_ORDER = "U64 I64 F64 C64 F32 U32 I32 BF16 F16 U16 I16 F8_E5M2FNUZ F8_E4M3FNUZ F8_E8M0 F8_E4M3 F8_E5M2 I8 U8 F4 BOOL"
STORAGE: dict[str, DType] = {name: {**FLOATING, **INTEGERS, "F8_E8M0": SCALE}[name] for name in _ORDER.split()}
"""All types, in the order of upstream safetensors, which lays tensors out by descending type."""
DTYPE_NAMES: dict[str, DTypeName] = {dtype.numpy.name: dtype.name for dtype in STORAGE.values()}
"""Storage types by the names that NumPy, torch, JAX and Keras have for them, such as `float32` and `float8_e4m3fn`."""
FLOATING_NAMES: dict[str, DTypeName] = {dtype.numpy.name: dtype.name for dtype in FLOATING.values()}
"""The real and the complex ones among them."""
ALIASES: dict[str, DTypeName] = {
    **FLOATING_NAMES,
    SCALE.numpy.name: SCALE.name,
    **{dtype.name.lower(): dtype.name for dtype in STORAGE.values()},
}
"""Other spellings of the storage types in a recipe (SPEC.md section 2.2).

NumPy's names of the integers are missing: the public vectors of fanin/1 refuse `int8`.
"""
MODULES = ("torch", "np", "numpy", "jnp", "jax.numpy", "ml_dtypes")
"""Modules that may stand in front of an alias, with a dot, as in `torch.bfloat16`."""
ALIAS_PATTERN = f"^(?:(?:{'|'.join(MODULES)})[.])?(?:{'|'.join(ALIASES)})$".replace("jax.", "jax[.]")
"""Regular expression of all aliases."""


def storage_name(value: Any) -> Any:
    """Return the name of the storage type that `value` stands for; return any other value unchanged.

    Args:
        value: A name or alias, or a type of NumPy, ml_dtypes, torch or JAX, such as `torch.bfloat16` and `np.float32`.
            Python's `float` is not a storage type: NumPy takes it for float64, torch and JAX for float32.
    """
    if isinstance(value, str):
        module, dot, name = value.rpartition(".")
        return ALIASES.get(name, value) if not dot or module in MODULES else value
    if type(value).__module__ == "torch" and type(value).__name__ == "dtype":
        return DTYPE_NAMES.get(str(value).removeprefix("torch."), value)
    if isinstance(value, type):  # JAX's types are classes with a NumPy type
        value = np.dtype(value) if issubclass(value, np.generic) else getattr(value, "dtype", value)
    if isinstance(value, np.dtype) and value.newbyteorder("<") == value:
        return DTYPE_NAMES.get(value.name, value)
    return value
