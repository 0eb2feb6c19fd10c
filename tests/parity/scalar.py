"""SPEC.md sections 6.6 to 6.11 with Python's own numbers, an element at a time: what the library must give."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import mpmath
import numpy as np

from fanin import backends
from fanin.backends.philox import words
from fanin.draws import Draw, Mapped, Polar, Sparse, Uniform, Waves
from fanin.dtypes import DTYPES, DType
from fanin.streams import Stream

TURN = 2**64

with mpmath.workdps(60):
    LOG = [2 / (2 * k + 1) for k in range(11)]
    EXP = [1 / math.factorial(k) for k in range(15)]
    EXPM1 = [1 / math.factorial(k + 1) for k in range(19)]
    SINE = [float((-1) ** k * (2 * mpmath.pi) ** (2 * k + 1) / math.factorial(2 * k + 1)) for k in range(10)]
    COSINE = [float((-1) ** k * (2 * mpmath.pi) ** (2 * k) / math.factorial(2 * k)) for k in range(10)]
    LN2 = float(mpmath.log(2))
    HIGH = float(mpmath.floor(2**32 * mpmath.log(2)) / 2**32)
    LOW = float(mpmath.log(2) - HIGH)


def horner(coefficients: list[float], v: float) -> float:
    total = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * v + coefficient
    return total


def log(x: float) -> float:
    m, e = math.frexp(x)
    if m < math.sqrt(0.5):
        m, e = 2 * m, e - 1
    f = (m - 1) / (m + 1)
    return e * LN2 + f * horner(LOG, f * f)


def exp(x: float) -> float:
    n = round(x * (1 / LN2))
    return math.ldexp(horner(EXP, (x - n * HIGH) - n * LOW), n)


def inverse_softplus(x: float) -> float:
    return log(x * horner(EXPM1, x)) if x < 1 else log(exp(x) - 1)


def sine(s: int) -> float:
    q = (s + 2**61) % TURN // 2**62
    d = (s - 2**62 * q) % TURN
    y = float(d - TURN if d >= TURN // 2 else d) * 2.0**-64
    a = horner(COSINE, y * y) if q % 2 else y * horner(SINE, y * y)
    return -a if q >= 2 else a


def place(stream: Stream, size: int, line: int, row: int) -> int:
    """Return the place, from 0, of a row in the permutation of its line of `size` rows."""
    a = math.ceil(mpmath.sqrt(size))
    b = math.ceil(Fraction(size, a))
    rounds = 6 if a > 1 else 0
    while rounds and a ** (rounds - 6) < 2**36:
        rounds += 2
    x, y = divmod(row, b)
    for j in range(rounds):
        block = 2**22 * line + 2**16 * j + (x if j % 2 else y)
        word = int(words(stream.key("sparse"), 4 * block, 1)[0])
        if j % 2:
            y = (y + (word * b >> 32)) % b
        else:
            x = (x + (word * a >> 32)) % a
    found = x * b + y
    return found if found < size else place(stream, size, line, found)


def unit(stream: Stream, dtype: DType, index: int) -> float:
    """v of section 6.2."""
    out = bytearray(dtype.itemsize)
    backends.load("reference").fill(Uniform(0, 1, -1, 1), stream, dtype, index, memoryview(out))
    return float(np.frombuffer(out, dtype.numpy)[0])


def stored(value: float, dtype: DType) -> bytes:
    computed = value if dtype.name == "F64" else struct.unpack("<f", struct.pack("<f", value))[0]
    return np.array(computed, dtype.compute.numpy).astype(dtype.numpy).tobytes()


def element(draw: Draw, stream: Stream, dtype: DType, index: int, position: int) -> bytes:
    """A draw of sections 6.7 to 6.11."""
    match draw:
        case Waves(first, rows, frequencies, quarters, amplitudes, run):
            t, column = position // (len(frequencies) * run) % rows + first, position % len(frequencies)
            exact = Fraction(t * frequencies[column] + quarters[column] * 2**94, 2**32)
            value = amplitudes[t % len(amplitudes)] * sine(math.floor(exact + Fraction(1, 2)) % TURN)
            return stored(value + 0.0, dtype)
        case Mapped(function, center, half_width, low, high):
            u = center + half_width * unit(stream, dtype.compute, index)
            match function:
                case "log":
                    value = log(u)
                case "inverse_softplus_exp":
                    value = inverse_softplus(exp(u))
                case "inverse_softplus_log":
                    value = inverse_softplus(-0.5 * log(u))
                case "inverse_softplus_log_8":
                    value = inverse_softplus(-0.125 * log(u))
                case "log_log":
                    value = log(-0.5 * log(u))
                case "logit":
                    value = log(u / (1 - u))
            return stored(min(max(value, low), high), dtype)
        case Polar(scale, mass):
            v, turns = (unit(stream, DTYPES["F32"], 2 * index + n) for n in (0, 1))
            u = (v + 1) * 0.5
            radius = scale * math.sqrt(-log(1 - mass * u) if mass else u)
            phase = int(turns * 2**63) % TURN
            parts = radius * sine((phase + 2**62) % TURN), radius * sine(phase)
            return struct.pack("<2f", *parts)
        case Sparse(plain, size, inner, zeros):
            row, line = position // inner % size, position // (inner * size) * inner + position % inner
            out = bytearray(dtype.itemsize)
            if place(stream, size, line, row) >= zeros:
                backends.load("reference").fill(plain, stream, dtype, index, memoryview(out))
            return bytes(out)
    raise TypeError(f"not a draw of sections 6.7 to 6.11: {draw!r}")
