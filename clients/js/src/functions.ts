/** Functions of float64 numbers in exactly rounded operations (SPEC.md section 6.6). */

import { frexp, pow2, roundEven } from "./bits.js";
import { dtypeOf } from "./dtypes.js";
import { ONE, Rational, TWO } from "./rational.js";
import * as scalars from "./scalars.js";

const F64 = dtypeOf("F64");
const double = (value: Rational) => scalars.rounded(value, F64);

function factorial(n: number): bigint {
  let found = 1n;
  for (let k = 2n; k <= n; k++) found *= k;
  return found;
}

/** Return the coefficients of terms 0 to count - 1, rounded once. */
const series = (count: number, term: (k: number) => Rational) =>
  Array.from({ length: count }, (_, k) => double(term(k)));

/** Powers of 2 pi. They are not exact, because this module is evaluated whenever the package is loaded. */
const powers = [ONE];
while (powers.length < 20) powers.push(scalars.trimmed(powers.at(-1)!.mul(scalars.pi()).mul(TWO)));
/** Return (-1)^k (2 pi)^n / n!. */
const wave = (k: number, n: number) => {
  const found = scalars.quotient(powers[n]!, Rational.of(factorial(n)));
  return k % 2 ? found.neg() : found;
};
const LOG = series(11, (k) => Rational.of(2, 2 * k + 1));
const EXP = series(15, (k) => Rational.of(1n, factorial(k)));
const EXPM1 = series(19, (k) => Rational.of(1n, factorial(k + 1)));
const SINE = series(10, (k) => wave(k, 2 * k + 1));
const COSINE = series(10, (k) => wave(k, 2 * k));
const exactLn2 = scalars.log(TWO),
  LN2 = double(exactLn2);
/** The upper 32 bits of ln 2: products with small integers are exact. */
const LN2_HIGH = Math.floor(LN2 * pow2(32)) * pow2(-32);
const LN2_LOW = double(exactLn2.sub(Rational.fromNumber(LN2_HIGH)));
/** Turns of one unit of a phase. */
const TURN = pow2(-64);
const ROOT_HALF = double(scalars.root(ONE.div(TWO), 2));

function horner(coefficients: readonly number[], v: number): number {
  let total = coefficients[coefficients.length - 1]!;
  for (let k = coefficients.length - 2; k >= 0; k--) total = total * v + coefficients[k]!;
  return total;
}

/** Return ln x, x > 0. */
export function log(x: number): number {
  let [m, e] = frexp(x);
  if (m < ROOT_HALF) {
    m *= 2;
    e--;
  }
  const f = (m - 1) / (m + 1);
  return e * LN2 + f * horner(LOG, f * f);
}

/** Return e^x, |x| <= 700. */
export function exp(x: number): number {
  const n = roundEven(x * (1 / LN2));
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  return horner(EXP, r) * pow2(n);
}

/** Return ln(e^x - 1), 0 < x <= 700. */
export function inverseSoftplus(x: number): number {
  return log(x < 1 ? x * horner(EXPM1, x) : exp(x) - 1);
}

/** Return sin(2 pi t) of t = phase 2^-64 turns. `high` and `low` are the halves of the phase, of 32 bits each. */
export function sine(high: number, low: number): number {
  const quarter = ((high + 0x20000000) >>> 0) >>> 30; // the nearest
  const turns = (((high - (quarter << 30)) | 0) * 0x100000000 + low) * TURN;
  const square = turns * turns;
  const value = quarter % 2 ? horner(COSINE, square) : turns * horner(SINE, square);
  return quarter >= 2 ? -value : value;
}

/** Return cos(2 pi t) of t = phase 2^-64 turns. */
export function cosine(high: number, low: number): number {
  return sine((high + 0x40000000) >>> 0, low);
}

/** Return the upper half of the product of two numbers below 2^32. `Math.imul` returns the lower one. */
export function highProduct(a: number, b: number): number {
  const al = a & 0xffff,
    ah = a >>> 16,
    bl = b & 0xffff,
    bh = b >>> 16;
  const lower = al * bh,
    upper = ah * bl;
  const middle = Math.floor((al * bl) / 0x10000) + (lower % 0x10000) + (upper % 0x10000);
  return ah * bh + Math.floor(lower / 0x10000) + Math.floor(upper / 0x10000) + Math.floor(middle / 0x10000);
}
