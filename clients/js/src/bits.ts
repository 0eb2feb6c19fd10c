/** Exact powers of two, and the parts of float64 numbers. `2 ** n` is not exact in every engine. */

const VIEW = new DataView(new ArrayBuffer(8));

/** Return 2^n, n from -1074 to 1023. */
export function pow2(n: number): number {
  VIEW.setBigUint64(0, n >= -1022 ? BigInt(n + 1023) << 52n : 1n << BigInt(n + 1074));
  return VIEW.getFloat64(0);
}

/** Return m and e with x = m 2^e and 1/2 <= m < 1, for a positive normal number. */
export function frexp(x: number): [number, number] {
  VIEW.setFloat64(0, x);
  const high = VIEW.getUint32(0);
  VIEW.setUint32(0, (high & 0x800fffff) | 0x3fe00000);
  return [VIEW.getFloat64(0), ((high >>> 20) & 0x7ff) - 1022];
}

/** Round to an integer, ties to even. */
export function roundEven(x: number): number {
  const low = Math.floor(x),
    rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}
