/** Mean, deviation and bounds by formula: of the elements as they are drawn, and as the storage type holds them. */

import { descriptionOf, drawAt } from "../../src/description.js";
import type { Draw } from "../../src/draws/index.js";
import { type DType, dtypeOf } from "../../src/dtypes.js";
import { DrawError, Invalid } from "../../src/errors.js";
import { momentsOf } from "../../src/moments.js";
import type { Tensor } from "../../src/schemes/base.js";
import type { Expected } from "../protocol.js";
import { type Law, lawOf } from "./density.js";
import { numberAt, place } from "./grid.js";

const F64 = dtypeOf("F64");
/** Draws whose density is smooth between its ends, so that its integrals are exact to the digits that are shown. */
const SMOOTH = ["uniform", "normal", "truncated"];
/** Draws of values that are rounded to the storage type when the recipe is read. */
const VALUES = ["fill", "table"];
/** Standard deviations from the mean beyond which the probability is nothing. */
const REACH = 10;
/** Standard deviations by which a mean differs through the errors of the sums alone. */
const NOTHING = 1e-12;
/** Significand bits from which on rounding does not change a digit that is shown of mean and deviation. */
const FINE = 24;

/** Return what the formulas say of a tensor; null for codes and scales. */
export function expected(tensor: Tensor): { drawn: Expected; stored: Expected } | null {
  const { moments } = descriptionOf(tensor),
    { dtype } = tensor;
  if (!moments) return null;
  const { mean, std, low, high } = moments,
    kept = { drawn: moments, stored: moments };
  if (dtype.kind === "integer" || dtype.name === "F64") return kept; // nothing is rounded
  const finer = dtype.kind === "real" ? drawIn(tensor, F64) : null;
  const before = finer && momentsOf(finer, F64);
  if (VALUES.includes(tensor.draw.kind)) return { drawn: before ?? {}, stored: moments };
  // A bound that is missing is missing in every type.
  const ends = before ?? { ...(low === null && { low }), ...(high === null && { high }) };
  const drawn = { ...ends, mean, std };
  if (dtype.precision >= FINE) return { drawn, stored: moments };
  if (!finer || !std || !SMOOTH.includes(tensor.draw.kind)) return { drawn, stored: { low, high } };
  return { drawn, stored: { low, high, ...roundedMoments(lawOf(finer, F64)!, moments, ends, dtype) } };
}

function drawIn(tensor: Tensor, dtype: DType): Draw | null {
  try {
    return drawAt(tensor, dtype);
  } catch (error) {
    if (error instanceof DrawError || error instanceof Invalid) return null; // the finer type refuses the scheme
    throw error;
  }
}

/** Nodes and weights of Gauss and Legendre on (-1, 1). */
const NODES: readonly (readonly [number, number])[] = [
  [0, 0.5688888888888889],
  [-0.5384693101056831, 0.47862867049936647],
  [0.5384693101056831, 0.47862867049936647],
  [-0.906179845938664, 0.23692688505618908],
  [0.906179845938664, 0.23692688505618908],
];

/**
 * Return mean and deviation of rounded elements: each number of the type counts with the probability of the interval that
 * is rounded to it. `ends` are those of the distribution, and `low` and `high` those of stored elements, to which others are clamped.
 */
function roundedMoments(
  law: Law,
  { mean, std, low, high }: { mean: number; std: number; low: number | null; high: number | null },
  ends: Expected,
  dtype: DType,
): { mean: number; std: number } {
  const from = Math.max(mean - REACH * std, ends.low ?? -Infinity),
    to = Math.min(mean + REACH * std, ends.high ?? Infinity);
  let mass = 0,
    first = 0,
    second = 0;
  const stop = place(to, dtype);
  for (let at = place(from, dtype), left = from; at <= stop; at++) {
    const value = numberAt(at, dtype),
      right = at === stop ? to : Math.min((value + numberAt(at + 1, dtype)) / 2, to);
    const part = Math.max(right - left, 0) / 2;
    let share = 0;
    for (const [node, weight] of NODES) share += weight * part * law.at(left + part * (1 + node));
    const far = (Math.min(Math.max(value, low ?? -Infinity), high ?? Infinity) - mean) / std;
    mass += share;
    first += share * far;
    second += share * far * far;
    left = Math.max(left, right);
  }
  const found = first / mass,
    shift = Math.abs(found) < NOTHING ? 0 : found;
  return { mean: mean + std * shift, std: std * Math.sqrt(Math.max(second / mass - shift * shift, 0)) };
}
