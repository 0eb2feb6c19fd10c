#!/usr/bin/env python3
"""Fit the frozen inverse-normal tables normal_f32.inc and normal_f64.inc.

What is fitted
    |z| as a function of the two-sided tail probability t = P(|Z| > |z|), that is
    the inverse complementary error function |z| = sqrt(2) * erfcinv(t).

      tail row R >= 1   t = m * 2^-(R+1), m in [1, 2).  |z| = P_R(v), v = 2 - m (exact).
      central row 0     r = 1 - t in [0, 1/2 + 2^-11].  |z| = r * P_0(y), y = r * r.
    Every row is a plain Horner polynomial with ascending coefficients.

Why this form
    Evaluation needs only add, multiply, bit operations and a small table: no log,
    sqrt, division or FMA, hence the same bits on every IEEE machine.  All
    coefficients and arguments are non-negative, and rounding is monotone, so each
    row is monotone in its argument for any rounding.  Alternatives are
    Wichura's AS241 (1988) and Giles' single-precision erfinv (2010); both need log
    or sqrt and have coefficients of mixed sign.

Which powers
    In v, |z| has only non-negative Taylor coefficients but its singularity is at
    v = 2; the unconstrained minimax polynomial has negative coefficients.  The best
    polynomial with coefficients >= 0 leaves out some powers (a lacunary, or Muentz,
    polynomial).  POWERS lists the powers that remain. Columns left out are structural zeros,
    so plain Horner over the full row and Horner that skips those additions give
    identical bits (q + 0 == q for q >= 0).

How
    Remez exchange in multiple precision on a dense Chebyshev grid, error weighted by
    the spacing of float32 (f32) or relative (f64).  Coefficients are then rounded in
    ascending order, each rounding error being projected onto the next few powers.
    The constant term c0 of each row is raised if needed so that no row starts below the end of the row
    before it: the complete function is monotone, not just each row.

Usage: python fit_normal.py [--out DIR]     (needs numpy and mpmath; deterministic)
"""

import argparse
import math
import pathlib
import sys

import numpy as np
from mpmath import mp, mpf

mp.dps = 60
GRID = 300  # Chebyshev points per row
SPLIT = mpf(2) ** -12  # the regions meet at t = 1/2 - SPLIT, r = 1/2 + SPLIT
# Spacings of |z| by which row 1 must start above the end of row 0.  0 makes the plain
# distribution monotone.  Truncated distributions reach the split by two differently
# rounded routes and can be out of order there by a spacing or two.  A margin of 2 makes
# that rare (not impossible) for half a spacing more error.
MARGIN = 0
POWERS = {32: (0, 1, 2, 3, 4, 5, 8), 64: (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 18, 24)}
CENTRAL = {32: POWERS[32], 64: POWERS[64][:13]}  # in y fewer terms do
ROWS = {32: 96, 64: 128}
BITS = {32: 24, 64: 53}
FLOAT = {32: np.float32, 64: np.float64}


def z_of_t(t):
    """|z| with P(|Z| > |z|) = t: Newton on log(erfc) in doubles, then Halley in mp."""
    tf = float(t)
    z = math.sqrt(-2 * math.log(tf)) if tf < 0.1 else 1.0
    for _ in range(60):
        g = math.erfc(z / math.sqrt(2))
        d = math.log(g / tf) * g / (math.sqrt(2 / math.pi) * math.exp(-z * z / 2))
        z = max(z + d, 1e-9)
        if abs(d) < 1e-12:
            break
    z = mpf(z)
    for _ in range(2):  # cubic: 1e-15 -> 1e-45 -> working precision
        e = (mp.erfc(z / mp.sqrt(2)) - t) / (mp.sqrt(2 / mp.pi) * mp.exp(-z * z / 2))
        z += e / (1 - z * e / 2)
    return z


def samples(row):
    """Grid arguments of the polynomial and the exact function values there."""
    u = [(1 - mp.cos(mp.pi * i / (GRID - 1))) / 2 for i in range(GRID)]
    if row:
        return u, [z_of_t((2 - v) * mpf(2) ** -(row + 1)) for v in u]
    r = [v * (mpf(1) / 2 + 2 * SPLIT) for v in u]
    f = [z_of_t(1 - x) / x if x > mpf(10) ** -9 else mp.sqrt(mp.pi / 2) * (1 + mp.pi * x * x / 12) for x in r]
    return [x * x for x in r], f


def weights(bits, row, x, f):
    if bits == 64:
        return [1 / a for a in f]
    r = [mp.sqrt(a) if row == 0 else mpf(1) for a in x]  # z = r * f
    return [s / mpf(2) ** (mp.floor(mp.log(s * a, 2)) - 23) if s else mpf(0) for s, a in zip(r, f)]


def remez(x, f, w, powers, start):
    """Weighted minimax over the grid.  Returns coefficients, error and reference."""
    n = len(powers)
    basis = [[a**p for p in powers] for a in x]
    ref = start or [round((1 - math.cos(math.pi * (i + 0.5) / (n + 1))) / 2 * (len(x) - 1)) for i in range(n + 1)]
    for _ in range(60):
        a = mp.matrix(n + 1)
        b = mp.matrix(n + 1, 1)
        for i, k in enumerate(ref):
            for j in range(n):
                a[i, j] = basis[k][j]
            a[i, n] = (-1) ** i / w[k]
            b[i] = f[k]
        s = mp.lu_solve(a, b)
        c = [s[j] for j in range(n)]
        err = [(mp.fdot(c, q) - g) * h for q, g, h in zip(basis, f, w)]
        level = abs(s[n])
        if max(map(abs, err)) <= level * mpf("1.0001"):
            break
        runs = []  # the largest error of every run of equal sign
        for k, e in enumerate(err):
            if e == 0:
                continue
            if runs and (err[runs[-1]] > 0) == (e > 0):
                if abs(e) > abs(err[runs[-1]]):
                    runs[-1] = k
            else:
                runs.append(k)
        if len(runs) < n + 1:
            raise RuntimeError("too few alternations")
        while len(runs) > n + 1:
            runs.pop(0 if abs(err[runs[0]]) < abs(err[runs[-1]]) else -1)
        ref = runs
    else:
        raise RuntimeError("Remez did not converge")
    return c, max(map(abs, err)), ref


def projections(powers, scale, reach=3):
    """For each power, its least-squares image on the next `reach` powers."""
    u = [(1 - mp.cos(mp.pi * (i + mpf(1) / 2) / 64)) / 2 * scale for i in range(64)]
    out = []
    for i, p in enumerate(powers):
        nxt = powers[i + 1 : i + 1 + reach]
        if not nxt:
            out.append([])
            continue
        g = mp.matrix(len(nxt))
        h = mp.matrix(len(nxt), 1)
        for a, pa in enumerate(nxt):
            h[a] = sum(t ** (p + pa) for t in u)
            for b, pb in enumerate(nxt):
                g[a, b] = sum(t ** (pa + pb) for t in u)
        s = mp.lu_solve(g, h)
        out.append([s[a] for a in range(len(nxt))])
    return out


def nearest(x, bits):
    with mp.workprec(BITS[bits]):
        return +x


def evaluate(bits, row, arg):
    """Horner exactly as specified, every operation rounded to the type."""
    typ = FLOAT[bits]
    q, arg = typ(0), typ(arg)
    for c in reversed(row):
        q = q * arg + typ(c)
    return q


def round_row(bits, c, powers, proj, floor=None):
    """Round ascending, c0 not below `floor`; returns the full-width row."""
    c, row = list(c), [0.0] * (POWERS[bits][-1] + 1)
    for i, p in enumerate(powers):
        q = nearest(c[i], bits)
        if i == 0 and floor is not None:
            q = max(q, mpf(float(floor)))
        assert q >= 0, ("negative coefficient", p, c[i])
        for k, s in enumerate(proj[i]):
            c[i + 1 + k] += (c[i] - q) * s
        row[p] = float(q)
    return row


def fit(bits, cache, log):
    powers, table, ref = POWERS[bits], [], None
    proj_c = projections(CENTRAL[bits], (mpf(1) / 2 + 2 * SPLIT) ** 2)
    proj_t = projections(powers, mpf(1))
    for r in range(ROWS[bits]):
        if r not in cache:
            cache[r] = samples(r)
        x, f = cache[r]
        w = weights(bits, r, x, f)
        c, err, ref = remez(x, f, w, powers if r else CENTRAL[bits], ref if r > 1 else None)
        if r == 0:
            row = round_row(bits, c, CENTRAL[bits], proj_c)
        elif r == 1:  # meet the central row where the regions meet
            xr = FLOAT[bits](float(mpf(1) / 2 + SPLIT))
            floor, step = None, float(mpf(2) ** -BITS[bits])
            end = float(xr * evaluate(bits, table[0], xr * xr)) + MARGIN * step
            row = round_row(bits, c, powers, proj_t)
            while float(evaluate(bits, row, float(4 * SPLIT))) < end:
                floor = (floor or row[0]) + step
                row = round_row(bits, c, powers, proj_t, floor)
        else:
            row = round_row(bits, c, powers, proj_t, evaluate(bits, table[-1], 1.0))
        after = max(abs((mp.fdot(row, [a**p for p in range(len(row))]) - g) * h) for a, g, h in zip(x, f, w))
        log(
            f"f{bits} row {r:3d}  minimax {mp.nstr(err, 3):>9}  rounded {mp.nstr(after, 3):>9}"
            + ("  (float32 spacings)" if bits == 32 else "  (relative)")
        )
        table.append(row)
    return table


def write(path, bits, table):
    suffix = "f" if bits == 32 else ""
    zero = [p for p in range(len(table[0])) if p not in POWERS[bits]]
    lines = [
        "// Generated by clients/fit/fit_normal.py; frozen: changing one bit changes every weight ever drawn.",
        f"// float{bits}: {len(table)} rows of {len(table[0])} coefficients, ascending powers, all >= 0.",
        f"// Columns {', '.join(map(str, zero))} are zero in every row, so Horner may skip those additions.",
        "// Row 0: |z| = r * P(r * r), r = P(|Z| < |z|) <= 1/2 + 2^-11.",
        "// Row R: |z| = P(2 - m), t = P(|Z| > |z|) = m * 2^-(R + 1), 1 <= m < 2.",
    ]
    lines += [", ".join(hexf(c) + suffix for c in row) + "," for row in table]
    path.write_text("\n".join(lines) + "\n")


def hexf(c):
    """C hex float without trailing zeros: 0x1.8p+0."""
    if c == 0:
        return "0x0p+0"
    head, exp = float(c).hex().split("p")
    return (head.rstrip("0").rstrip(".") if "." in head else head) + "p" + exp


def main():
    here = pathlib.Path(__file__).resolve().parent
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--out", type=pathlib.Path, default=here.parent / "python/fanin/backends/csrc")
    args = ap.parse_args()
    cache = {}
    for bits in (32, 64):
        table = fit(bits, cache, lambda s: print(s, file=sys.stderr, flush=True))
        write(args.out / f"normal_f{bits}.inc", bits, table)


if __name__ == "__main__":
    main()
