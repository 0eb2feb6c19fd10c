"""The native backend: the C kernels, called through ctypes (which lets go of the GIL)."""

from __future__ import annotations

import ctypes
import math
from dataclasses import astuple
from functools import lru_cache
from importlib import resources

from fanin.backends.reference import repeat
from fanin.draws import WHOLE_SIDE, Draw, Fill, Normal, TruncatedNormal, Uniform
from fanin.dtypes import DTYPES, DType
from fanin.errors import BackendError
from fanin.streams import Stream

ABI = 1
_UNIFORM, _NORMAL = 0, 1
_DTYPES = {name: number for number, name in enumerate(DTYPES)}


class _Side(ctypes.Structure):
    _fields_ = [
        ("count", ctypes.c_uint64),
        ("tail_count", ctypes.c_uint64),
        ("tail_offset", ctypes.c_double),
        ("central_offset", ctypes.c_double),
        ("step", ctypes.c_double),
    ]


class _Draw(ctypes.Structure):
    _fields_ = [
        ("offset", ctypes.c_double),
        ("scale", ctypes.c_double),
        ("low", ctypes.c_double),
        ("high", ctypes.c_double),
        ("negative", _Side),
        ("positive", _Side),
    ]


class NativeBackend:
    """C, one thread."""

    name = "native"

    def __init__(self) -> None:
        """Load the compiled kernels.

        Raises:
            BackendError: the package was installed without them, or they belong to another version of it.
        """
        # By resources, not by path: an editable install keeps built files apart from the source.
        library = str(resources.files("fanin.backends").joinpath("_native.so"))
        try:
            kernels = ctypes.CDLL(library)
        except OSError as error:
            raise BackendError(f"the native backend was not built with this package: {error}") from error
        if kernels.fanin_abi() != ABI:
            raise BackendError(f"{library} belongs to another version of this package")
        self._fill = kernels.fanin_fill
        self._fill.restype = None
        self._fill.argtypes = [
            ctypes.POINTER(_Draw),
            ctypes.c_int,
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_uint32),
            ctypes.c_uint64,
            ctypes.c_int,
            ctypes.c_uint64,
            ctypes.c_void_p,
        ]

    def fill(self, draw: Draw, stream: Stream, dtype: DType, first: int, out: memoryview) -> None:
        if not out:
            return
        if isinstance(draw, Fill):
            repeat(draw.value, dtype, out)
            return
        law, parameters = _parameters(draw, dtype.compute.name)
        low = stream.key("low") if dtype.name == "F64" else (0, 0, 0, 0)
        keys = (ctypes.c_uint32 * 8)(*stream.key("main"), *low)
        block, skip = divmod(first, 4)
        address = ctypes.addressof(ctypes.c_char.from_buffer(out))
        self._fill(parameters, law, _DTYPES[dtype.name], keys, block, skip, len(out) // dtype.itemsize, address)


@lru_cache(maxsize=1024)
def _parameters(draw: Draw, compute: str) -> tuple[int, _Draw]:
    """The law and the numbers of a random draw, as the kernels take them."""
    match draw:
        case Uniform(center, half_width, low, high):
            return _UNIFORM, _Draw(center, half_width, low, high)
        case Normal(mean, std):
            side = _Side(*astuple(WHOLE_SIDE[compute]))
            return _NORMAL, _Draw(mean, std, -math.inf, math.inf, side, side)
        case TruncatedNormal(mean, std, low, high, negative, positive):
            sides = _Side(*astuple(negative)), _Side(*astuple(positive))
            return _NORMAL, _Draw(mean, std, low, high, *sides)
    raise TypeError(f"not a random draw: {draw!r}")
