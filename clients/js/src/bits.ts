/** Exact powers of two, and the parts of floating-point numbers. `2 ** n` is not exact in every engine. */

// Typed arrays on the same memory are several times as fast as a DataView.
const DOUBLE = new Float64Array(1);
const HALVES = new Uint32Array(DOUBLE.buffer);
/** The place of the half with sign and exponent. */
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0;
const FLOAT = new Float32Array(1);
const WORD = new Uint32Array(FLOAT.buffer);

/** Return 2^n, n from -1074 to 1023. */
export function pow2(n: number): number {
  HALVES[0] = HALVES[1] = 0;
  if (n >= -1022) HALVES[HIGH] = (n + 1023) << 20;
  else if (n >= -1042) HALVES[HIGH] = 1 << (n + 1042);
  else HALVES[1 - HIGH] = 1 << (n + 1074);
  return DOUBLE[0]!;
}

/** Return m and e with x = m 2^e and 1/2 <= m < 1, for a positive normal number. */
export function frexp(x: number): [number, number] {
  DOUBLE[0] = x;
  const high = HALVES[HIGH]!;
  HALVES[HIGH] = (high & 0x800fffff) | 0x3fe00000;
  return [DOUBLE[0], ((high >>> 20) & 0x7ff) - 1022];
}

/** Return the bits of a float32 number. */
export function floatBits(x: number): number {
  FLOAT[0] = x;
  return WORD[0]!;
}

/** Return the float32 number of these bits. */
export function bitsFloat(bits: number): number {
  WORD[0] = bits;
  return FLOAT[0]!;
}

/** Round to an integer, ties to even. */
export function roundEven(x: number): number {
  const low = Math.floor(x),
    rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}
