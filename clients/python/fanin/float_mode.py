"""Settings of a thread's floating-point unit that would change results without an error.

Other libraries in the process can change them: `fesetround` sets the rounding, and code that was compiled with
`-ffast-math`, or `torch.set_flush_denormal`, makes operations return zero in place of subnormal numbers.
"""

from __future__ import annotations

import struct

ROUNDING = (
    "this thread does not round to nearest, so that results would differ: another library has called fesetround;"
    " restore FE_TONEAREST"
)
FLUSHED = "a number below 2^-1022, which this thread takes for zero: -ffast-math or torch.set_flush_denormal set it so"

# Variables, since Python computes expressions of literals before this thread runs.
_ONE, _HALF_STEP = 1.0, 2.0**-53
_SMALLEST_NORMAL = 2.0**-1022
_ZEROS = struct.pack("d", 0.0), struct.pack("d", -0.0)


def rounds_to_nearest() -> bool:
    """Return whether operations of this thread round to nearest, ties to even."""
    return _ONE + _HALF_STEP == _ONE and _ONE - _HALF_STEP / 2 == _ONE


def flushes() -> bool:
    """Return whether this thread takes subnormal numbers of float64 for zero."""
    return _SMALLEST_NORMAL / 2 == 0


def is_flushed(value: float) -> bool:
    """Return whether a number has other bits than zero, for one that may be equal to zero in this thread."""
    return struct.pack("d", value) not in _ZEROS
