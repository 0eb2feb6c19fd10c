"""Write the worked example of SPEC.md, section 11: python clients/vectors/example.py

Each step is done here by itself, an operation at a time, as a client in another language does it. A test compares the
page with this text, and the bits with those that the library makes.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fanin.dtypes import DTYPES
from fanin.scalars import centre, rounded, tail

HERE = Path(__file__).parent
SPECIFICATION = HERE.parent / "SPEC.md"
BEGIN, END = "<!-- example -->\n", "<!-- end of example -->\n"
NORMAL = {"seed": 42, "shape": [8], "dtype": "BF16", "scheme": "normal", "std": 0.02}
TRUNCATED = {**NORMAL, "dtype": "F32", "scheme": "truncated_normal", "mean": 0.1, "std": 0.5, "low": -1, "high": 2}
ELEMENTS = (7, 1)
"""Elements of the first tensor and of the second: one in a tail, one in the centre."""
F32 = DTYPES["F32"]
Side = dict[str, Any]


def text() -> str:
    return "\n".join([*_key(), *_normal(), *_truncated()]) + "\n"


def page(specification: str) -> str:
    """The specification with the example in its place."""
    before, rest = specification.split(BEGIN)
    return before + BEGIN + text() + END + rest.split(END)[1]


def key(seed: int, name: str, purpose: str) -> tuple[bytes, list[int]]:
    """The message of section 4 and the words of its key."""
    message = b"".join(
        part
        for content in (b"fanin/1", None, name.encode(), purpose.encode())
        for part in ([struct.pack("<Q", seed)] if content is None else [struct.pack("<I", len(content)), content])
    )
    return message, list(struct.unpack("<4I", hashlib.sha256(message).digest()[:16]))


def philox(counter: list[int], key: list[int]) -> list[list[int]]:
    """The counter, and it after each round."""
    (c0, c1, c2, c3), (k0, k1), found = counter, key, [counter]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = p1 >> 32 ^ c1 ^ k0, p1 % 2**32, p0 >> 32 ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
        found.append([c0, c1, c2, c3])
    return found


def word(element: int) -> int:
    """The word of an element of the tensor `weight` at seed 42."""
    *_, (k0, k1, h0, h1) = key(42, "weight", "main")
    block = element // 4
    return philox([block % 2**32, block >> 32, h0, h1], [k0, k1])[10][element % 4]


def _hex(value: Any) -> str:
    digits, exponent = float(value).hex().split("p")
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}p{exponent}"


def _words(words: list[int]) -> str:
    return " ".join(f"{each:08x}" for each in words)


def _key() -> list[str]:
    message, words = key(42, "weight", "main")
    lines = [
        "The recipe of the first element:",
        "",
        f"    {json.dumps(NORMAL)}",
        "",
        "The key and the words are those of both elements.",
        "",
        f"    message     {message.hex()}",
        f"    SHA-256     {hashlib.sha256(message).hexdigest()}",
        f"    k0 k1 h0 h1 {_words(words)}",
        "",
    ]
    for element in ELEMENTS:
        block = element // 4
        rounds = philox([block, 0, *words[2:]], words[:2])
        lines += [f"Block {block}, which has element {element}:", ""]
        lines += [
            f"    round {n:2}    {_words(each)}" if n else f"    counter     {_words(each)}"
            for n, each in enumerate(rounds)
        ]
        lines += [
            "",
            f"The word of element {element} is number {element % 4} of these: w = {rounds[10][element % 4]:08x}.",
            "",
        ]
    return lines


def _horner(coefficients: list[Any], v: Any) -> tuple[Any, list[str]]:
    s = coefficients[-1]
    lines = [f"    s = c[8]    {_hex(s)}"]
    for j in range(len(coefficients) - 2, -1, -1):
        s = s * v + coefficients[j]
        lines.append(f"    s, c[{j}]     {_hex(s)}")
    return s, lines


def _row(number: int) -> list[Any]:
    row = (HERE / "normal_f32_table.txt").read_text().splitlines()[number]
    return [np.float32(float.fromhex(each)) for each in row.split()]


def _z(w: int, negative: Side, positive: Side) -> tuple[Any, list[str]]:
    """z of section 6.5 in float32, and its steps."""
    below = w < negative["count"]
    side, k = (negative, w) if below else (positive, w ^ 0xFFFFFFFF)
    half, step = np.float32(0.5), np.float32(side["step"])
    lines = [f"    side        {'negative: w < T' if below else 'positive: w >= T'}", f"    k           {k}"]
    if k < side["tail_count"]:
        t = np.float32(side["tail_offset"]) + step * (np.float32(k) + half)
        mantissa, exponent = math.frexp(t)
        v = np.float32(2) - np.float32(2 * mantissa)
        lines += [
            "    region      tail: k < tail_count",
            f"    (float)k    {_hex(np.float32(k))}",
            f"    + 0.5       {_hex(np.float32(k) + half)}",
            f"    * step      {_hex(step * (np.float32(k) + half))}",
            f"    t           {_hex(t)}",
            f"    R           {-exponent}",
            f"    m           {_hex(2 * mantissa)}",
            f"    v = 2 - m   {_hex(v)}",
        ]
        magnitude, steps = _horner(_row(-exponent), v)
    else:
        near = side["count"] - 1 - k
        r = np.float32(side["central_offset"]) + step * (np.float32(near) + half)
        lines += [
            "    region      centre: k >= tail_count",
            f"    count-1-k   {near}",
            f"    (float)     {_hex(np.float32(near))}",
            f"    + 0.5       {_hex(np.float32(near) + half)}",
            f"    * step      {_hex(step * (np.float32(near) + half))}",
            f"    r           {_hex(r)}",
            f"    v = r * r   {_hex(r * r)}",
        ]
        polynomial, steps = _horner(_row(0), r * r)
        magnitude = r * polynomial
    z = -magnitude if below else magnitude
    return z, [*lines, *steps, f"    z           {_hex(z)}"]


def _value(mean: float, std: float, z: Any) -> tuple[Any, list[str]]:
    m, s = np.float32(mean), np.float32(std)
    value = m + s * z
    lines = [
        f"    mean        {_hex(m)}",
        f"    std         {_hex(s)}",
        f"    std * z     {_hex(s * z)}",
        f"    value       {_hex(value)}",
    ]
    return value, lines


def _bits(value: Any) -> int:
    return int.from_bytes(struct.pack(">f", value), "big")


def normal() -> tuple[int, list[str]]:
    """The stored bits of the first element, and the steps to them."""
    side = {"count": 2**31, "tail_count": 2**30 - 2**19, "tail_offset": 0.0, "central_offset": 0.0, "step": 2.0**-31}
    z, steps = _z(word(ELEMENTS[0]), side, side)
    value, last = _value(0.0, float(NORMAL["std"]), z)
    bits = _bits(value)
    stored = bits + 0x7FFF + (bits >> 16 & 1) >> 16
    return stored, [*steps, *last, f"    float32     {bits:08x}", f"    BF16        {stored:04x}"]


def _normal() -> list[str]:
    stored, steps = normal()
    begin = (
        f"Element {ELEMENTS[0]} of the first recipe. Both sides are the full side of section 6.3, so T = 2147483648."
    )
    end = f"The file has the bytes `{stored.to_bytes(2, 'little').hex(' ')}` of this element."
    return [begin, "", *steps, "", end, ""]


def side(count: int, near: Fraction, far: Fraction) -> Side:
    """The constants of section 6.4."""
    p = (tail(near) - tail(far)) / count
    tail_count = math.ceil((Fraction(1, 2) - Fraction(1, 2**12) - tail(far)) / p - Fraction(1, 2))
    return {
        "count": count,
        "p": p,
        "tail_count": min(max(tail_count, 0), count),
        "tail_offset": rounded(tail(far), F32),
        "central_offset": rounded(centre(near), F32),
        "step": rounded(p, F32),
    }


def truncated() -> tuple[int, list[str]]:
    """The stored bits of the second element, and the steps to them."""
    a, b = Fraction(TRUNCATED["low"]), Fraction(TRUNCATED["high"])
    mean, std = Fraction(TRUNCATED["mean"]), Fraction(TRUNCATED["std"])
    lowest, highest = rounded(mean + std * a, F32, "up"), rounded(mean + std * b, F32, "down")
    exact = 2**32 * centre(-a) / (centre(-a) + centre(b))
    split = round(exact)
    negative, positive = side(split, Fraction(0), -a), side(2**32 - split, Fraction(0), b)
    lines = [
        f"    centre(1)   {float(centre(-a)):.17g}",
        f"    centre(2)   {float(centre(b)):.17g}",
        f"    2^32 ...    {float(exact):.17g}",
        f"    T           {split}",
        f"    lo          {_hex(lowest)}",
        f"    hi          {_hex(highest)}",
    ]
    for name, each in (("negative", negative), ("positive", positive)):
        lines += [
            f"    {name} side:",
            f"      count           {each['count']}",
            f"      p               {float(each['p']):.17g}",
            f"      tail_count      {each['tail_count']}",
            f"      tail_offset     {_hex(each['tail_offset'])}",
            f"      central_offset  {_hex(each['central_offset'])}",
            f"      step            {_hex(each['step'])}",
        ]
    z, steps = _z(word(ELEMENTS[1]), negative, positive)
    value, last = _value(float(mean), float(std), z)
    assert lowest <= value <= highest
    bits = _bits(value)
    return bits, [*lines, *steps, *last, "    lo <= value <= hi: it stays", f"    F32         {bits:08x}"]


def _truncated() -> list[str]:
    bits, steps = truncated()
    begin = f"Element {ELEMENTS[1]} of this recipe, with a = -1 and b = 2:"
    end = f"The file has the bytes `{bits.to_bytes(4, 'little').hex(' ')}` of this element."
    return [begin, "", f"    {json.dumps(TRUNCATED)}", "", *steps, "", end]


if __name__ == "__main__":
    SPECIFICATION.write_text(page(SPECIFICATION.read_text("utf-8")), "utf-8")
