/**
 * Real-number arithmetic for the few scalars of a draw (SPEC.md section 5). A scalar is a real-number formula, rounded
 * once. Rational arithmetic is exact; roots and functions have more than 120 decimal digits.
 */

import { pow2 } from "./bits.js";
import type { DType } from "./dtypes.js";
import { HALF, ONE, Rational, TWO, ZERO, bitLength, integerRoot } from "./rational.js";

/** Bits of precision: 154 decimal digits. */
const BITS = 512;
/** Fractional bits of fixed-point numbers. */
const FRACTION = BITS + 64;
const W = BigInt(FRACTION);
const UNIT = 1n << W;
/** A bound beyond this many standard deviations is treated as infinite. */
export const FAR = Rational.of(13);
/** Largest integer exponent of an exact power. */
const EXACT_POWER = 64;
/** A power of 2 beyond this exponent is treated as this one: no number of a storage type is near. */
const MOST_EXPONENT = 8192;

/** A bound in standard deviations; null where there is none. */
export type Bound = Rational | null;
export type Rounding = "nearest" | "down" | "up";

/** Cache the results of a function by the text of its arguments. */
function cached<A extends unknown[], R>(make: (...args: A) => R): (...args: A) => R {
  const known = new Map<string, R>();
  return (...args) => {
    const key = args.join();
    let found = known.get(key);
    if (found === undefined) {
      if (known.size >= 1024) known.clear();
      known.set(key, (found = make(...args)));
    }
    return found;
  };
}

/** Return a number of more than BITS significant bits, m 2^e, that is near the quotient of two integers. */
function rough(n: bigint, d: bigint): { m: bigint; e: number } {
  if (n === 0n) return { m: 0n, e: 0 };
  const shift = FRACTION - (bitLength(n < 0n ? -n : n) - bitLength(d));
  return { m: shift >= 0 ? (n << BigInt(shift)) / d : n / (d << BigInt(-shift)), e: -shift };
}

/** Return the value as a fixed-point number of FRACTION fractional bits, rounded down. */
function fixed(value: Rational, bits = W): bigint {
  return (value.n << bits) / value.d;
}

/** Return a rational number of about BITS significant bits near the value, so that later operations stay fast. */
export function trimmed(value: Rational): Rational {
  if (bitLength(value.d) + bitLength(value.n < 0n ? -value.n : value.n) < 2 * BITS) return value;
  const { m, e } = rough(value.n, value.d);
  return Rational.dyadic(m, e);
}

/** Return a quotient: exact, or near it where its integers have many digits, which take long to reduce. */
export function quotient(a: Rational, b: Rational): Rational {
  const [n, d] = b.n < 0n ? [-a.n * b.d, -a.d * b.n] : [a.n * b.d, a.d * b.n];
  if (bitLength(n < 0n ? -n : n) + bitLength(d) < 2 * BITS) return Rational.of(n, d);
  const { m, e } = rough(n, d);
  return Rational.dyadic(m, e);
}

/** Return the root of a number >= 0, exact if it is rational: a bound of 1 must not become the number below 1. */
export function root(value: Rational, degree: number): Rational {
  const top = exactRoot(value.n, degree),
    bottom = exactRoot(value.d, degree);
  if (top !== null && bottom !== null) return Rational.of(top, bottom);
  const length = bitLength(value.n) - bitLength(value.d);
  const shift = Math.max(Math.ceil((BITS * degree - length) / degree), 0);
  return Rational.dyadic(integerRoot((value.n << BigInt(shift * degree)) / value.d, degree), -shift);
}

function exactRoot(n: bigint, degree: number): bigint | null {
  const found = integerRoot(n, degree);
  return found ** BigInt(degree) === n ? found : null;
}

/** Return 2 atanh(n / d) = ln((d + n) / (d - n)) for |n / d| <= 1/3, with all bits also near 0. */
function logOfRatio(n: bigint, d: bigint): Rational {
  const { m, e } = rough(n, d);
  const square = fixed(Rational.dyadic(m * m, 2 * e));
  let term = UNIT,
    total = UNIT;
  for (let k = 3n; term; k += 2n) {
    term = (term * square) >> W;
    total += term / k;
  }
  return Rational.dyadic(2n * m * total, e - FRACTION);
}

const LN2 = logOfRatio(1n, 3n);

/** Return the natural logarithm of a number > 0. */
export const log = cached((value: Rational): Rational => {
  let exponent = value.floorLog2();
  let part = value.mul(TWO.pow(-exponent));
  if (part.mul(part).compare(TWO) > 0) {
    part = part.mul(HALF);
    exponent++;
  }
  const rest = logOfRatio(part.n - part.d, part.n + part.d);
  return exponent ? rest.add(LN2.mul(Rational.of(exponent))) : rest;
});

/** Return ln(1 + x), x > -1, with all bits also near 0. */
export function log1p(value: Rational): Rational {
  return log(ONE.add(value));
}

/** Return e^x. */
export function exp(value: Rational): Rational {
  const estimate = value.div(LN2);
  const limit = Rational.of(MOST_EXPONENT);
  if (estimate.compare(limit) > 0) return TWO.pow(MOST_EXPONENT);
  if (estimate.compare(limit.neg()) < 0) return TWO.pow(-MOST_EXPONENT);
  const n = estimate.round();
  // The eighth halving makes the series short. Squaring eight times undoes it.
  const halvings = 8;
  const x = fixed(value.sub(LN2.mul(Rational.of(n)))) >> BigInt(halvings);
  let term = UNIT,
    total = UNIT;
  for (let k = 1n; term && term !== -1n; k++) {
    term = ((term * x) >> W) / k;
    total += term;
  }
  for (let k = 0; k < halvings; k++) total = (total * total) >> W;
  return Rational.dyadic(total, Number(n) - FRACTION);
}

/** Return e^x - 1, by its series near 0, where the difference would lose digits. */
export function expm1(value: Rational): Rational {
  if (value.abs().compare(HALF) > 0) return exp(value).sub(ONE);
  const { m, e } = rough(value.n, value.d);
  const x = fixed(Rational.dyadic(m, e));
  let term = UNIT,
    total = UNIT;
  for (let k = 2n; term && term !== -1n; k++) {
    term = ((term * x) >> W) / k;
    total += term;
  }
  return Rational.dyadic(m * total, e - FRACTION);
}

/** Return a number > 0 to a real power, exact where the result is a rational number of few digits. */
export function power(base: Rational, exponent: Rational): Rational {
  if (exponent.isInteger && exponent.abs().compare(Rational.of(EXACT_POWER)) <= 0) return base.pow(Number(exponent.n));
  const degree = Number(exponent.d);
  if (degree <= EXACT_POWER && exponent.abs().compare(Rational.of(EXACT_POWER)) <= 0) {
    const top = exactRoot(base.n, degree),
      bottom = exactRoot(base.d, degree);
    if (top !== null && bottom !== null) return Rational.of(top, bottom).pow(Number(exponent.n));
  }
  return exp(log(base).mul(exponent));
}

/** Return base^exponent - 1 for a base > 0, with all digits also if the power is near 1. */
export function powerLessOne(base: Rational, exponent: Rational): Rational {
  return expm1(log(base).mul(exponent));
}

/** Return ln(e^x - 1) for x > 0. */
export function inverseSoftplus(value: Rational): Rational {
  return log(trimmed(expm1(value)));
}

/** Return pi, by Machin 1706: pi = 16 atan(1/5) - 4 atan(1/239). */
export const pi = cached((): Rational => {
  const arctan = (n: bigint): bigint => {
    let term = (UNIT << 64n) / n,
      total = term;
    for (let k = 3n; term && term !== -1n; k += 2n) {
      term = -term / (n * n);
      total += term / k;
    }
    return total;
  };
  return Rational.dyadic(16n * arctan(5n) - 4n * arctan(239n), -FRACTION - 64);
});

/** Return cos(2 pi x) for x turns; exact if its absolute value is 0, 1/2 or 1. */
export const cosine = cached((turns: Rational): Rational => {
  const near = turns.sub(Rational.of(turns.round())).abs();
  const quarter = Rational.of(1, 4);
  if (near.compare(quarter) > 0) return cosine(HALF.sub(near)).neg();
  if (near.isZero) return ONE;
  if (near.equals(Rational.of(1, 6))) return HALF;
  if (near.equals(quarter)) return ZERO;
  const angle = pi().mul(TWO).mul(near);
  const square = fixed(angle.mul(angle));
  let term = UNIT,
    total = UNIT;
  for (let n = 1n; term && term !== -1n; n += 2n) {
    term = -((term * square) >> W) / (n * (n + 1n));
    total += term;
  }
  return Rational.dyadic(total, -FRACTION);
});

/** Return P(|Z| > z) of the standard normal distribution, z >= 0; exactly 0 beyond FAR. */
export function tail(z: Bound): Rational {
  return ONE.sub(centre(z));
}

/** Return P(|Z| < z) = erf(z / sqrt 2), z >= 0; exactly 1 beyond FAR. */
export function centre(z: Bound): Rational {
  return z === null || z.compare(FAR) > 0 ? ONE : erf(z);
}

/** Return erf(z / sqrt 2), by a series without cancellation (Abramowitz & Stegun 7.1.6). */
const erf = cached((value: Rational): Rational => {
  if (value.isZero) return ZERO;
  const z = trimmed(value);
  const square = fixed(z.mul(z));
  let term = UNIT,
    total = UNIT;
  for (let n = 1n; term; n++) {
    term = ((term * square) >> W) / (2n * n + 1n);
    total += term;
  }
  return Rational.dyadic(total, -FRACTION).mul(z).mul(density(z)).mul(TWO);
});

function density(z: Rational): Rational {
  return exp(z.mul(z).mul(HALF).neg()).div(root(pi().mul(TWO), 2));
}

/** Return the density at an end, and the end times the density. */
function moments(end: Bound): [Rational, Rational] {
  if (end === null || end.abs().compare(FAR) > 0) return [ZERO, ZERO];
  const at = density(trimmed(end));
  return [at, end.mul(at)];
}

/**
 * Return the standard deviation of the standard normal distribution truncated to [low, high]. For [-2, 2] it is
 * 0.87962566103423975... (Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1, section 13.10.1.)
 */
export const truncatedStd = cached((low: Bound, high: Bound): Rational => {
  const within = mass(low, high);
  const [atLow, lowMoment] = moments(low),
    [atHigh, highMoment] = moments(high);
  const mean = atLow.sub(atHigh).div(within);
  return root(trimmed(ONE.add(lowMoment.sub(highMoment).div(within)).sub(mean.mul(mean))), 2);
});

/** Return the mean of the standard normal distribution truncated to [low, high]. */
export const truncatedMean = cached((low: Bound, high: Bound): Rational =>
  quotient(moments(low)[0].sub(moments(high)[0]), mass(low, high)),
);

/** Return P(|Z| < high) of the standard complex normal distribution, E|Z|^2 = 1. */
export function complexMass(high: Rational): Rational {
  return expm1(high.mul(high).neg()).neg();
}

/** Return sqrt(E|Z|^2) of the standard complex normal distribution truncated to |Z| < high: 0.96196... for 2. */
export const complexTruncatedStd = cached((high: Rational): Rational => {
  const square = high.mul(high);
  return root(trimmed(ONE.add(square.mul(exp(square.neg())).div(expm1(square.neg())))), 2);
});

/** Return P(low < Z < high) of the standard normal distribution. */
export function mass(low: Bound, high: Bound): Rational {
  return massFromZero(high, 1).sub(massFromZero(low, -1));
}

function massFromZero(end: Bound, side: number): Rational {
  if (end === null) return Rational.of(side, 2);
  const half = centre(end.abs()).mul(HALF);
  return end.n > 0n ? half : half.neg();
}

/**
 * Return a value rounded once to a type, to nearest even, or down or up to the next number of the type. It is infinite
 * beyond the largest finite number, and never -0.
 */
export function rounded(value: Rational, dtype: DType, rounding: Rounding = "nearest"): number {
  if (value.isZero) return 0;
  const log2 = value.abs().floorLog2();
  if (log2 > 2000) return value.n > 0n ? Infinity : -Infinity;
  const quantum = Math.max(log2, dtype.minExponent) - dtype.precision + 1;
  const steps = value.mul(TWO.pow(-quantum));
  const whole = rounding === "nearest" ? steps.round() : rounding === "down" ? steps.floor() : steps.ceil();
  if (whole === 0n) return 0;
  if (Rational.of(whole).mul(TWO.pow(quantum)).abs().compare(dtype.largest) > 0)
    return whole > 0n ? Infinity : -Infinity;
  // 2^quantum may be subnormal, but the product of the two is exact.
  return Number(whole) * pow2(quantum);
}
