/** Draws whose elements depend on their words alone, and the ranges of their numbers (SPEC.md sections 5, 6 and 6.13). */

import { pow2 } from "../bits.js";
import { type DType, computeType, dtypeOf, isRandom } from "../dtypes.js";
import { DrawError } from "../errors.js";
import { HALF, Rational, TWO, ZERO, max } from "../rational.js";
import * as scalars from "../scalars.js";
import type { Bound } from "../scalars.js";
import type { Fill, Normal, Polar, Side, TruncatedNormal, Uniform } from "./types.js";

const power2 = (exponent: number) => TWO.pow(exponent);
const SMALLEST = pow2(-90),
  LARGEST = pow2(90);
const SMALLEST_BOUND = pow2(-126);
const SMALLEST_STEP = power2(-120);
const SMALLEST_MASS = power2(-90);
const SMALLEST_DISK = power2(-24);
const SMALLEST_SCALED_STEP = power2(-125);
const NEAREST = Rational.of(9);
const CENTRAL = HALF.sub(power2(-12));
export const EXACT = 2n ** 53n - 1n;
const WORDS = Rational.of(2n ** 32n);

/** The zero of blocks and of tensors without elements. */
export const NOTHING: Fill = { kind: "fill", value: 0 };

/** Return a constant, rounded to the compute type, then to the storage type. Integer types round nothing. */
export function fill(value: Rational, dtype: DType, field = "value"): Fill {
  if (dtype.kind === "scale" && (value.n <= 0n || !isNumberOf(value, dtype))) {
    throw new DrawError(
      field,
      `${short(value)} is not a power of 2 from 2^-127 to 2^127, the numbers of ${dtype.name}`,
    );
  }
  if (dtype.kind === "integer") {
    if (value.abs().compare(Rational.of(EXACT)) > 0) {
      throw new DrawError(field, `${short(value)} is out of range: as a real, an integer has at most 53 bits`);
    }
    return whole(field, value, dtype);
  }
  const computed = scalars.rounded(value, computeType(dtype));
  const stored = Number.isFinite(computed) ? scalars.rounded(Rational.fromNumber(computed), dtype) : computed;
  if (!Number.isFinite(stored)) throw tooLarge(field, value, dtype);
  return { kind: "fill", value: stored };
}

function isNumberOf(value: Rational, dtype: DType): boolean {
  const found = scalars.rounded(value, dtype);
  return Number.isFinite(found) && Rational.fromNumber(found).equals(value);
}

/** Return an integer as a constant of an integer type. */
export function whole(field: string, value: Rational, dtype: DType): Fill {
  if (!value.isInteger || value.less(dtype.least) || dtype.largest.less(value)) {
    throw new DrawError(
      field,
      `${short(value)} is not one of the integers of ${dtype.name}, ${dtype.least} to ${dtype.largest}`,
    );
  }
  return { kind: "fill", value: value.n };
}

export function checkRandom(dtype: DType): void {
  if (isRandom(dtype)) return;
  const only = dtype.kind === "scale" ? "powers of 2" : "integers";
  throw new DrawError("dtype", `${dtype.name} has ${only} only, and this scheme has real numbers`);
}

/** Return the uniform distribution on [low, high]. Complex: on the disk |z| <= high, and low must be -high. */
export function uniform(low: Rational, high: Rational, dtype: DType): Uniform | Polar {
  checkRandom(dtype);
  checkOrder(low, high);
  if (dtype.kind === "complex") {
    checkCentred("low", low.add(high), "low must be -high, because the distribution is that of a disk");
    return { kind: "polar", scale: scalar("high", high, dtypeOf("F64")), mass: 0 };
  }
  for (const [field, end] of [
    ["low", low],
    ["high", high],
  ] as const) {
    if (end.abs().compare(dtype.largest) > 0) throw tooLarge(field, end, dtype);
  }
  const center = scalar("low", low.add(high).mul(HALF), dtype);
  const halfWidth = scalar("high", high.sub(low).mul(HALF), dtype);
  return { kind: "uniform", center, halfWidth, ...inside(low, high, dtype) };
}

/** Return the normal distribution. Complex: that of the real and of the imaginary part, each with half of the variance. */
export function normal(mean: Rational, std: Rational, dtype: DType): Normal {
  checkRandom(dtype);
  if (dtype.kind === "complex") {
    checkCentred("mean", mean, "it must be 0");
    std = scalars.root(scalars.trimmed(std.mul(std)).mul(HALF), 2);
  }
  checkReach(mean, std, null, null, dtype);
  return { kind: "normal", mean: scalar("mean", mean, dtype), std: scalar("std", std, dtype) };
}

/** Return the normal distribution restricted to mean + std * [low, high]. Complex: to |z| <= std * high. */
export function truncatedNormal(
  mean: Rational,
  std: Rational,
  low: Bound,
  high: Bound,
  dtype: DType,
): TruncatedNormal | Polar {
  checkRandom(dtype);
  checkInterval(low, high, dtype);
  if (dtype.kind === "complex" && high !== null) {
    checkCentred("mean", mean, "it must be 0");
    const double = dtypeOf("F64");
    return {
      kind: "polar",
      scale: scalar("std", std, double),
      mass: scalar("high", scalars.complexMass(high), double),
    };
  }
  const at = (end: Bound) => (end === null ? null : mean.add(std.mul(end)));
  const bounds = inside(at(low), at(high), dtype);
  const from = low === null || low.less(scalars.FAR.neg()) ? null : low;
  const to = high === null || scalars.FAR.less(high) ? null : high;
  checkReach(mean, std, from, to, dtype);
  let split: number;
  if (from !== null && from.n >= 0n) split = 0;
  else if (to !== null && to.n <= 0n) split = 2 ** 32;
  else {
    const [below, above] = [from, to].map((end) => scalars.centre(end && end.abs()));
    split = Number(scalars.quotient(WORDS.mul(below!), below!.add(above!)).round());
  }
  return {
    kind: "truncated",
    mean: scalar("mean", mean, dtype),
    std: scalar("std", std, dtype),
    ...bounds,
    negative: side(split, to === null ? ZERO : max(to.neg(), ZERO), from && from.neg(), std, dtype),
    positive: side(2 ** 32 - split, from === null ? ZERO : max(from, ZERO), to, std, dtype),
  };
}

/** Check that the normal distribution can be restricted to [low, high], in standard deviations. */
export function checkInterval(low: Bound, high: Bound, dtype: DType): void {
  if (low !== null && high !== null) checkOrder(low, high);
  for (const [field, isTooFar] of [
    ["low", low !== null && NEAREST.less(low)],
    ["high", high !== null && high.less(NEAREST.neg())],
  ] as const) {
    if (isTooFar) throw new DrawError(field, "the interval is more than 9 standard deviations from the mean");
  }
  if (dtype.kind === "complex") {
    if (low === null || high === null || !low.equals(high.neg())) {
      throw new DrawError("low", "low must be -high for complex numbers, because the distribution is that of a disk");
    }
    if (scalars.complexMass(high).less(SMALLEST_DISK)) {
      throw new DrawError("high", `${short(high)} is too small: for complex storage types high is at least 0.00025`);
    }
  } else if (scalars.mass(low, high).less(SMALLEST_MASS)) {
    throw new DrawError("low", "low and high are too close to each other");
  }
}

/** Return a side of `count` words with equal probability, over near < |z| < far. */
function side(count: number, near: Rational, far: Bound, std: Rational, dtype: DType): Side {
  if (count === 0) return { count: 0, tailCount: 0, tailOffset: 0, centralOffset: 0, step: 0 };
  const farTail = scalars.tail(far);
  const step = scalars.quotient(scalars.tail(near).sub(farTail), Rational.of(count));
  if (step.less(SMALLEST_STEP) || std.mul(step).less(SMALLEST_SCALED_STEP)) {
    throw new DrawError("low", "low and high are too close to each other");
  }
  const tailCount = Number(scalars.quotient(CENTRAL.sub(farTail), step).sub(HALF).ceil());
  const compute = computeType(dtype);
  return {
    count,
    tailCount: Math.min(Math.max(tailCount, 0), count),
    tailOffset: scalars.rounded(farTail, compute),
    centralOffset: scalars.rounded(scalars.centre(near), compute),
    step: scalars.rounded(compute.name === "F64" ? step.div(WORDS) : step, compute),
  };
}

/** Return a scalar of a draw, rounded once to the compute type. */
export function scalar(field: string, value: Rational, dtype: DType): number {
  const found = scalars.rounded(value, computeType(dtype));
  if (!value.isZero && !(Math.abs(found) >= SMALLEST && Math.abs(found) <= LARGEST)) {
    throw new DrawError(field, `${short(value)} is out of range: a nonzero scalar lies in +-[2^-90, 2^90]`);
  }
  return found;
}

/** Return [low, high] rounded inwards to numbers of the storage type. An end beyond all of them is infinite. */
export function inside(low: Bound, high: Bound, dtype: DType): { low: number; high: number } {
  const lowest = low === null ? -Infinity : scalars.rounded(low, dtype, "up");
  const highest = high === null ? Infinity : scalars.rounded(high, dtype, "down");
  for (const [field, end] of [
    ["low", lowest],
    ["high", highest],
  ] as const) {
    if (end !== 0 && Math.abs(end) < SMALLEST_BOUND) {
      throw new DrawError(field, `${end} is out of range: a nonzero bound is at least 2^-126 in magnitude`);
    }
  }
  if (lowest > highest)
    throw new DrawError("low", `no ${dtype.name} number lies between ${short(low)} and ${short(high)}`);
  return { low: lowest, high: highest };
}

function checkCentred(field: string, value: Rational, wanted: string): void {
  if (!value.isZero) throw new DrawError(field, `for complex storage types ${wanted}`);
}

function checkOrder(low: Rational, high: Rational): void {
  if (low.compare(high) >= 0) throw new DrawError("low", `low (${short(low)}) must be less than high (${short(high)})`);
}

/** Check that 13 standard deviations fit the storage type, so that no value is infinite. */
function checkReach(mean: Rational, std: Rational, low: Bound, high: Bound, dtype: DType): void {
  for (const end of [low ?? scalars.FAR.neg(), high ?? scalars.FAR]) {
    const value = mean.add(std.mul(end));
    if (value.abs().compare(dtype.largest) > 0) throw tooLarge("std", value, dtype);
  }
}

export function tooLarge(field: string, value: Rational, dtype: DType): DrawError {
  return new DrawError(field, `a value of ${short(value)} is beyond the largest finite ${dtype.name}`);
}

/** Format a number for an error. It can be too large for a float64. */
export function short(value: Bound): string {
  if (value === null) return "infinity";
  if (value.isZero) return "0";
  const exponent = value.abs().floorLog2();
  return Math.abs(exponent) < 1000
    ? String(Number(scalars.rounded(value, dtypeOf("F64")).toPrecision(9)))
    : `about 2^${exponent}`;
}
