/** The density of a draw's elements, before they are rounded to the storage type. */

import { type Draw, type TruncatedNormal, blockLength } from "../../src/draws/index.js";
import type { DType } from "../../src/dtypes.js";
import { dtypeOf } from "../../src/dtypes.js";
import { argument } from "../../src/moments.js";
import { Rational } from "../../src/rational.js";
import * as scalars from "../../src/scalars.js";

export interface Law {
  /** Probability of a unit of length at x. */
  readonly at: (x: number) => number;
  /** Values with a probability above 0, and that probability. */
  readonly atoms: readonly (readonly [number, number])[];
}

const F64 = dtypeOf("F64");
const none = () => 0;

/** Return the distribution of an element; null where elements have no density: tables, waves, codes. */
export function lawOf(draw: Draw, dtype: DType): Law | null {
  switch (draw.kind) {
    case "fill":
      return { at: none, atoms: [[Number(draw.value), 1]] };
    case "uniform": {
      const { center, halfWidth } = draw;
      return { at: (x) => (Math.abs(x - center) <= halfWidth ? 0.5 / halfWidth : 0), atoms: [] };
    }
    case "normal":
      return { at: normal(draw.mean, draw.std), atoms: [] };
    case "truncated":
      return truncated(draw);
    case "blocks":
      return mixture(
        draw.draws.map((each, j) => [Number(blockLength(draw, j)) / Number(draw.period), lawOf(each, dtype)]),
      );
    case "sparse": {
      const share = draw.zeros / draw.size;
      return mixture([
        [1 - share, lawOf(draw.draw, dtype)],
        [share, { at: none, atoms: [[0, 1]] }],
      ]);
    }
    case "mapped": {
      const { low, high, halfWidth, center } = draw;
      const at = (x: number) => {
        if (x < low || x > high) return 0;
        const step = Math.max(Math.abs(x), (high - low) / 100) * 1e-5;
        const inside = argument(draw.function, x);
        if (Math.abs(inside - center) > halfWidth) return 0;
        return Math.abs(argument(draw.function, x + step) - argument(draw.function, x - step)) / (4 * step * halfWidth);
      };
      return { at, atoms: [] };
    }
    case "polar": {
      // The density of a real or imaginary part.
      const { scale, mass } = draw;
      if (mass === 1) return { at: normal(0, scale / Math.SQRT2), atoms: [] };
      if (mass !== 0) return null;
      return {
        at: (x) => (Math.abs(x) < scale ? (2 / (Math.PI * scale * scale)) * Math.sqrt(scale * scale - x * x) : 0),
        atoms: [],
      };
    }
    case "stack":
      return lawOf(draw.matrix, dtype);
    case "orthogonal":
      return sphere(Math.max(draw.rows, draw.columns), draw.gain);
    default:
      return null;
  }
}

function normal(mean: number, std: number): (x: number) => number {
  return (x) => Math.exp(-0.5 * ((x - mean) / std) ** 2) / (std * Math.sqrt(2 * Math.PI));
}

function truncated({ mean, std, low, high }: TruncatedNormal): Law {
  const [from, to] = [low, high].map((bound) =>
    Number.isFinite(bound) ? Rational.fromNumber((bound - mean) / std) : null,
  ) as [scalars.Bound, scalars.Bound];
  const mass = scalars.rounded(scalars.mass(from, to), F64),
    whole = normal(mean, std);
  if (!(mass > 0)) return { at: none, atoms: [[low, 1]] };
  return { at: (x) => (x < low || x > high ? 0 : whole(x) / mass), atoms: [] };
}

function mixture(all: readonly (readonly [number, Law | null])[]): Law | null {
  const parts = all.filter(([weight]) => weight);
  if (parts.some(([, law]) => law === null)) return null;
  const laws = parts as [number, Law][];
  const atoms = new Map<number, number>();
  for (const [weight, law] of laws)
    for (const [value, mass] of law.atoms) atoms.set(value, (atoms.get(value) ?? 0) + weight * mass);
  return { at: (x) => laws.reduce((sum, [weight, law]) => sum + weight * law.at(x), 0), atoms: [...atoms] };
}

/** Return the distribution of one coordinate of a point on the sphere of radius `gain` in n dimensions. */
function sphere(n: number, gain: number): Law {
  if (n < 2) return { at: none, atoms: [[-gain, 0.5], [gain, 0.5]] }; // prettier-ignore
  const log = logGamma(n / 2) - logGamma((n - 1) / 2) - 0.5 * Math.log(Math.PI) - Math.log(gain);
  return {
    at: (x) => (Math.abs(x) < gain ? Math.exp(log + ((n - 3) / 2) * Math.log1p(-((x / gain) ** 2))) : 0),
    atoms: [],
  };
}

/** Return ln Gamma(x), x > 0, by Stirling's series. */
function logGamma(x: number): number {
  let shift = 0;
  for (; x < 10; x++) shift -= Math.log(x);
  return shift + (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * x) - 1 / (360 * x ** 3);
}
