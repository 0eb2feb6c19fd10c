#!/usr/bin/env python3
"""Check normal_f64.inc against mpmath: error, edges, monotonicity (float64).

Usage: python check_normal_f64.py [points]      (default 400000; needs numpy and mpmath)

The exact relative error of z is one Newton step on erfc (or erf) evaluated in
multiple precision at the exact probability (2 * k64 + 1) / 2^64.

Exit status 0 only if the largest error is <= 1e-15 and nothing is out of order.
"""

import pathlib
import re
import sys

import numpy as np
from mpmath import mp, mpf

mp.dps = 40
INC = pathlib.Path(__file__).resolve().parent.parent / "python/fanin/backends/csrc/normal_f64.inc"
ROWS = 128
K = (1 << 30) - (1 << 19)
N64 = 1 << 63
TABLE = np.array(
    [
        float.fromhex(h)
        for line in INC.read_text().splitlines()
        if not line.startswith("//")
        for h in re.findall(r"0x[0-9a-f.]+p[+-]\d+", line)
    ]
).reshape(ROWS, -1)


def tail(x):
    bits = x.view(np.uint64)
    row = 1022 - (bits >> np.uint64(52)).astype(np.int64)
    m = ((bits & np.uint64((1 << 52) - 1)) | np.uint64(1023 << 52)).view(np.float64)
    v = 2.0 - m
    q = TABLE[row, -1]
    for i in range(TABLE.shape[1] - 2, -1, -1):
        q = q * v
        q = q + TABLE[row, i]
    return q


def central(x):
    y = x * x
    q = np.full_like(x, TABLE[0, -1])
    for i in range(TABLE.shape[1] - 2, -1, -1):
        q = q * y
        q = q + TABLE[0, i]
    return x * q


def normal(k64):
    """Return |z| of the plain distribution for an array of uint64 in [0, 2^63)."""
    k64 = np.asarray(k64, np.uint64)
    is_tail = (k64 >> np.uint64(32)) < np.uint64(K)
    half = np.float64(0.5)
    xt = (np.where(is_tail, k64, np.uint64(0)).astype(np.float64) + half) * 2.0**-63
    xr = (np.where(is_tail, np.uint64(0), np.uint64(N64 - 1) - k64).astype(np.float64) + half) * 2.0**-63
    return np.where(is_tail, tail(xt), central(xr)), is_tail


def error(z, p, is_tail):
    """Signed relative error of z at the exact probability p of its region."""
    z = mpf(float(z))
    s = z / mp.sqrt(2)
    e = (mp.erfc(s) - p) if is_tail else (p - mp.erf(s))
    return float(-e / (mp.sqrt(2 / mp.pi) * mp.exp(-s * s)) / z)


def worst(name, z, probs, is_tail):
    errs = [abs(error(a, p, b)) for a, p, b in zip(z, probs, is_tail)]
    i = int(np.argmax(errs))
    print(
        f"{name}: {len(errs)} points, max relative error {errs[i]:.3e} "
        f"(t = {mp.nstr(probs[i] if is_tail[i] else 1 - probs[i], 6)})",
        flush=True,
    )
    return errs[i]


def words(points, rng):
    """Random k64 spread over the octaves of both regions, plus edges."""
    ks = []
    for _ in range(points):
        b = int(rng.integers(1, 64))
        k = (1 << (b - 1)) | int(rng.integers(0, 1 << (b - 1))) if b > 1 else 1
        ks.append(k if rng.integers(0, 2) else N64 - 1 - k)
    for c in [0, 1, 2, N64 - 1, N64 // 2, K << 32] + [1 << b for b in range(63)] + [N64 - (1 << b) for b in range(63)]:
        ks += [c + d for d in range(-3, 4) if 0 <= c + d < N64]
    return sorted(set(ks))


def main():
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 400000
    rng = np.random.default_rng(1)
    print(f"table {TABLE.shape}, columns in use {np.flatnonzero(TABLE.any(0)).tolist()}")
    bad = int((TABLE < 0).sum())

    ks = words(points * 3 // 4, rng)
    z, is_tail = normal(np.array(ks, np.uint64))
    down = int((np.diff(z) > 0).sum())  # |z| must not increase with k
    scale = mpf(2) ** -64
    probs = [(2 * k + 1) * scale if t else (2 * (N64 - 1 - k) + 1) * scale for k, t in zip(ks, is_tail)]
    err = worst("words", z, probs, is_tail)

    x = np.ldexp(1 + rng.random(points // 4), -2 - np.arange(points // 4) % 127)
    z = tail(x)
    err = max(err, worst("rows 1..127, polynomial alone", z, [mpf(float(a)) for a in x], [True] * len(x)))
    z, x = z[np.argsort(x)], np.sort(x)
    down += int((np.diff(z) > 0).sum())

    # Dense order checks: consecutive doubles around every row border, consecutive and
    # strided k64 around the region border, neighbouring doubles at random places.
    near = np.arange(-5000, 5000)
    for r in range(1, 127):
        b = np.float64(2.0 ** -(r + 1)).view(np.uint64).astype(np.int64)
        down += int((np.diff(tail((b + near).astype(np.uint64).view(np.float64))) > 0).sum())
    for stride in (1, 64, 4096, 1 << 20, 1 << 36):
        k = [(K << 32) + stride * int(i) for i in np.arange(-20000, 20000)]
        down += int((np.diff(normal(np.array(k, np.uint64))[0]) > 0).sum())
    b = rng.integers(np.float64(2.0**-128).view(np.int64), np.float64(0.5).view(np.int64) - 1, 2_000_000)
    down += int((tail(b.view(np.float64)) < tail((b + 1).view(np.float64))).sum())
    k = rng.integers(0, N64 - 1, 2_000_000, dtype=np.uint64)
    down += int((normal(k)[0] < normal(k + np.uint64(1))[0]).sum())

    ok = err <= 1e-15 and down == 0 and bad == 0
    print(f"max relative error {err:.3e}, order violations {down}, negative coefficients {bad}")
    print("OK" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
