/** Mean, standard deviation and bounds of a draw, by formulas and without drawing. The port of fanin.draws.moments. */

import { pow2 } from "./bits.js";
import { fill } from "./draws/plain.js";
import { type Draw, type Mapped, type MappedFunction, type Waves, blockLength } from "./draws/index.js";
import { type DType, dtypeOf } from "./dtypes.js";
import { Rational } from "./rational.js";
import * as scalars from "./scalars.js";

/** Moments of an element, which is picked at random if elements have different distributions. */
export interface Moments {
  readonly mean: number;
  /** Standard deviation. For complex elements, the root of E|z - mean|^2. */
  readonly std: number;
  /** No element is less; null if unbounded. For complex elements, neither is a real or imaginary part. */
  readonly low: number | null;
  readonly high: number | null;
}

/** Points at which a function without a closed formula is integrated (Gauss and Legendre). */
const NODES = 200;
const F64 = dtypeOf("F64");
const double = (value: Rational) => scalars.rounded(value, F64);
const finite = (bound: number) => (Number.isFinite(bound) ? bound : null);

/** Return the moments of a draw: mean and deviation before the rounding to the storage type, bounds after it. */
export function momentsOf(draw: Draw, dtype: DType): Moments | null {
  const found = real(draw, dtype);
  if (!found || dtype.kind !== "complex" || found.low === null || found.high === null) return found;
  // The imaginary part of a real number is 0.
  return { ...found, low: Math.min(found.low, 0), high: Math.max(found.high, 0) };
}

function real(draw: Draw, dtype: DType): Moments | null {
  switch (draw.kind) {
    case "fill": {
      const value = Number(draw.value);
      return { mean: value, std: 0, low: value, high: value };
    }
    case "uniform":
      return { mean: draw.center, std: draw.halfWidth / Math.sqrt(3), low: finite(draw.low), high: finite(draw.high) };
    case "normal":
      return {
        mean: draw.mean,
        std: draw.std * (dtype.kind === "complex" ? Math.SQRT2 : 1),
        low: null,
        high: null,
      };
    case "truncated":
      return truncated(draw.mean, draw.std, draw.low, draw.high);
    case "polar": {
      if (draw.mass === 0) return { mean: 0, std: draw.scale / Math.SQRT2, ...within(draw.scale, dtype) };
      if (draw.mass === 1) return { mean: 0, std: draw.scale, low: null, high: null };
      const radius = Math.sqrt(-Math.log1p(-draw.mass));
      const std = draw.scale * double(scalars.complexTruncatedStd(Rational.fromNumber(radius)));
      return { mean: 0, std, ...within(draw.scale * radius, dtype) };
    }
    case "blocks": {
      const shares = draw.draws.map((_, j) => Number(blockLength(draw, j)) / Number(draw.period));
      return mixture(draw.draws.map((each, j) => [shares[j]!, momentsOf(each, dtype)]));
    }
    case "sparse":
      return mixture([
        [1 - draw.zeros / draw.size, momentsOf(draw.draw, dtype)],
        [draw.zeros / draw.size, { mean: 0, std: 0, low: 0, high: 0 }],
      ]);
    case "table":
      return ofNumbers(draw.numbers);
    case "arange": {
      const last = draw.start + draw.step * (draw.size - 1n);
      const ends = [draw.start, last].map((end) =>
        dtype.kind === "integer" ? Number(end) : Number(fill(Rational.of(end), dtype).value),
      );
      const size = Number(draw.size);
      return {
        mean: Number(draw.start + last) / 2,
        std: Math.abs(Number(draw.step)) * Math.sqrt((size * size - 1) / 12),
        low: Math.min(...ends),
        high: Math.max(...ends),
      };
    }
    case "mapped":
      return { ...ofFunction(draw), low: finite(draw.low), high: finite(draw.high) };
    case "waves":
      return { ...ofWaves(draw), ...within(Math.max(...draw.amplitudes.map(Math.abs)), dtype) };
    case "stack":
      return real(draw.matrix, dtype);
    case "quantized":
      return null; // codes and scales depend on the random numbers
    case "orthogonal": {
      // At F64, an element of Q may exceed 1 by its rounding errors. The other types round them away.
      const most = draw.gain * (dtype.name === "F64" ? 1 + pow2(-45) : 1);
      return { mean: 0, std: draw.gain / Math.sqrt(Math.max(draw.rows, draw.columns, 1)), ...within(most, dtype) };
    }
  }
}

/** Return the moments of an element that has each of these with its probability; null if one is null. */
export function mixture(all: readonly (readonly [number, Moments | null])[]): Moments | null {
  const parts = all.filter(([weight]) => weight) as [number, Moments][];
  if (parts.some(([, each]) => each === null)) return null;
  const mean = parts.reduce((sum, [weight, each]) => sum + weight * each.mean, 0);
  const spreads = parts.map(([weight, each]) => [weight, Math.hypot(each.std, each.mean - mean)] as const);
  const most = Math.max(...spreads.map(([, spread]) => spread));
  // Scaled first: the square of a large number is infinite.
  const variance = most ? spreads.reduce((sum, [weight, spread]) => sum + weight * (spread / most) ** 2, 0) : 0;
  const lows = parts.map(([, each]) => each.low),
    highs = parts.map(([, each]) => each.high);
  return {
    mean,
    std: most * Math.sqrt(variance),
    low: lows.includes(null) ? null : Math.min(...(lows as number[])),
    high: highs.includes(null) ? null : Math.max(...(highs as number[])),
  };
}

/** Return the bounds of stored elements whose magnitude is at most `most` before they are rounded. */
function within(most: number, dtype: DType): { low: number; high: number } {
  const high = Number(fill(Rational.fromNumber(most), dtype).value);
  return { low: -high, high };
}

function truncated(mean: number, std: number, low: number, high: number): Moments {
  if (low === high) return { mean: low, std: 0, low, high };
  const [from, to] = [low, high].map((bound) => standard(bound, mean, std)) as [scalars.Bound, scalars.Bound];
  const bounds = { low: finite(low), high: finite(high) };
  if (from && to && from.equals(to)) {
    return { mean: low + (high - low) / 2, std: (high - low) / Math.sqrt(12), ...bounds };
  }
  // A bound that was rounded inwards can lie beyond every number of the draw. Then all are clamped to it.
  if (from && scalars.FAR.less(from)) return { mean: low, std: 0, ...bounds };
  if (to && to.less(scalars.FAR.neg())) return { mean: high, std: 0, ...bounds };
  return {
    mean: mean + std * double(scalars.truncatedMean(from, to)),
    std: std * double(scalars.truncatedStd(from, to)),
    ...bounds,
  };
}

/** Return a bound in standard deviations from the mean, to 14 digits, at which -2 is -2 again. */
function standard(bound: number, mean: number, std: number): scalars.Bound {
  return Number.isFinite(bound) ? Rational.fromNumber(Number(((bound - mean) / std).toPrecision(14))) : null;
}

/** Return the moments of numbers whose squares may exceed float64. */
function ofNumbers(values: readonly number[]): Moments {
  const low = Math.min(...values),
    high = Math.max(...values);
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const mean = values.reduce((sum, value) => sum + value / most, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value / most - mean) ** 2, 0) / values.length;
  return { mean: mean * most, std: Math.sqrt(variance) * most, low, high };
}

/** Return the mean and the standard deviation of a clamped function of a uniform number. */
function ofFunction(draw: Mapped): { mean: number; std: number } {
  const { center, halfWidth } = draw;
  const inside = (value: number) => Math.min(Math.max((argument(draw.function, value) - center) / halfWidth, -1), 1);
  const start = inside(draw.low),
    stop = inside(draw.high),
    half = Math.abs(stop - start) / 2;
  // The smooth part is integrated. The clamped parts are two constants, each with its share of the interval (-1, 1).
  const shares = stop < start ? [1 - start, 1 + stop] : [1 + start, 1 - stop];
  const parts = legendre().map(([node, weight]): [number, number] => [
    image(draw.function, center + halfWidth * ((start + stop) / 2 + half * node)),
    (weight * half) / 2,
  ]);
  parts.push([draw.low, shares[0]! / 2], [draw.high, shares[1]! / 2]);
  const kept = parts.filter(([, weight]) => weight > 0); // a bound may be infinite
  const mean = kept.reduce((sum, [value, weight]) => sum + value * weight, 0);
  return { mean, std: Math.sqrt(kept.reduce((sum, [value, weight]) => sum + (value - mean) ** 2 * weight, 0)) };
}

function image(name: MappedFunction, u: number): number {
  switch (name) {
    case "log":
      return Math.log(u);
    case "inverseSoftplusExp":
      return Math.exp(u) + Math.log(-Math.expm1(-Math.exp(u)));
    case "inverseSoftplusLog":
      return Math.log(Math.expm1(-Math.log(u) / 2));
    case "inverseSoftplusLog8":
      return Math.log(Math.expm1(-Math.log(u) / 8));
    case "logLog":
      return Math.log(-Math.log(u) / 2);
    case "logit":
      return Math.log(u / (1 - u));
  }
}

/** Return the number of which the function has this value. */
export function argument(name: MappedFunction, value: number): number {
  const softplus = value > 0 ? value + Math.log1p(Math.exp(-value)) : Math.log1p(Math.exp(value));
  switch (name) {
    case "log":
      return Math.exp(value);
    case "inverseSoftplusExp":
      return Math.log(softplus);
    case "inverseSoftplusLog":
      return Math.exp(-2 * softplus);
    case "inverseSoftplusLog8":
      return Math.exp(-8 * softplus);
    case "logLog":
      return Math.exp(-2 * Math.exp(value));
    case "logit":
      return Math.exp(value - softplus);
  }
}

let nodes: [number, number][] | null = null;

/** Return the nodes and weights of Gauss and Legendre on (-1, 1), by Newton's iteration. */
function legendre(): readonly [number, number][] {
  if (nodes) return nodes;
  nodes = Array.from({ length: NODES }, (_, k): [number, number] => {
    let x = Math.cos((Math.PI * (k + 0.75)) / (NODES + 0.5)),
      slope = 1;
    for (let step = 0; step < 20; step++) {
      let [before, value] = [1, x];
      for (let n = 2; n <= NODES; n++) [before, value] = [value, ((2 * n - 1) * x * value - (n - 1) * before) / n];
      slope = (NODES * (x * value - before)) / (x * x - 1);
      const change = value / slope;
      x -= change;
      if (Math.abs(change) < 1e-16) break;
    }
    return [x, 2 / ((1 - x * x) * slope * slope)];
  });
  return nodes;
}

const TURN = 1n << 96n;
/** Return an angle in units of 2^-96 turns in radians. Angles are exact integers until a function takes them. */
const radians = (angle: bigint) => (Number(angle) / Number(TURN)) * 2 * Math.PI;

/** Return mean and standard deviation of all elements of a table of waves. */
function ofWaves(draw: Waves): { mean: number; std: number } {
  const columns = draw.frequencies.map((frequency, n) => [frequency, BigInt(draw.quarters[n]!)] as const);
  const count = Number(draw.rows) * columns.length;
  let total = 0,
    squares = 0;
  for (const [frequency, quarter] of columns) {
    const start = (draw.first * frequency + quarter * (TURN / 4n)) % TURN;
    if (draw.amplitudes.length === 1) {
      const size = draw.amplitudes[0]!;
      total += size * series(frequency, start, draw.rows)[1];
      squares += (size * size * (Number(draw.rows) - series(2n * frequency, 2n * start, draw.rows)[0])) / 2;
      continue;
    }
    for (let row = 0; row < Number(draw.rows); row++) {
      const size = draw.amplitudes[(Number(draw.first) + row) % draw.amplitudes.length]!;
      const wave = size * Math.sin(radians((start + BigInt(row) * frequency) % TURN));
      total += wave;
      squares += wave * wave;
    }
  }
  const mean = total / count;
  return { mean, std: Math.sqrt(Math.max(squares / count - mean * mean, 0)) };
}

/** Return the sums of cos and sin of start, start + step, ..., `count` angles in 2^-96 turns. */
function series(step: bigint, start: bigint, count: bigint): [number, number] {
  step %= TURN;
  const half = (angle: bigint) => radians(angle % (2n * TURN)) / 2;
  const middle = half(2n * start + (count - 1n) * step);
  const size = step === 0n ? Number(count) : Math.sin(half(count * step)) / Math.sin(half(step));
  return [size * Math.cos(middle), size * Math.sin(middle)];
}
